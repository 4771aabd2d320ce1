# The way in for machines without CMake: the CPU addon and nothing else. CMakeLists.txt is the truth; this file repeats
# its source lists and flags, and test/unit/build.test.ts holds the two equal.
{
  "variables": {
    "eigen_dir%": "<!(node scripts/lib/eigen.cjs)",
    "lookback_version": "<!(node -p \"require('./package.json').version\")",
    "lookback_flags": ["-O3", "-ffp-contract=off", "-fno-math-errno"],
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags_cc": ["-std=c++20", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "<@(lookback_flags)"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti", "-O2"],
    "cflags!": ["-O2", "-fno-omit-frame-pointer"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "MACOSX_DEPLOYMENT_TARGET": "11.0",
      "OTHER_CPLUSPLUSFLAGS": ["<@(lookback_flags)"],
    },
  },
  "targets": [
    {
      "target_name": "lookback_kernels_generic",
      "type": "static_library",
      "sources": ["native/backend/cpu/kernels_generic.cc"],
      "defines": ["LOOKBACK_ISA=generic"],
    },
    {
      "target_name": "lookback_core",
      "type": "static_library",
      "include_dirs": ["<(eigen_dir)"],
      "defines": ["EIGEN_MPL2_ONLY"],
      "sources": [
        "native/base/error.cc",
        "native/base/memory.cc",
        "native/base/spec.cc",
        "native/backend/cpu/isa.cc",
        "native/backend/cpu/threads.cc",
        "native/backend/cpu/recurrence.cc",
        "native/backend/cpu/cpu_backend.cc",
        "native/backend/cpu/elementwise.cc",
        "native/ops/linalg.cc",
        "native/model/recurrent.cc",
        "native/model/dense.cc",
        "native/model/dropout.cc",
        "native/model/model.cc",
        "native/model/trainer.cc",
        "native/model/dataset.cc",
      ],
      "dependencies": ["lookback_kernels_generic"],
      "conditions": [["target_arch=='x64'", {
        "dependencies": ["lookback_kernels_avx2", "lookback_kernels_avx512"],
      }]],
    },
    {
      "target_name": "lookback",
      "sources": [
        "native/bridge/addon.cc",
        "native/bridge/engine.cc",
        "native/bridge/cell.cc",
        "native/bridge/errors.cc",
        "native/bridge/convert.cc",
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_ADDON_API_REQUIRE_BASIC_FINALIZERS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "LOOKBACK_VERSION=\"<(lookback_version)\"",
        "LOOKBACK_BUILD=\"node-gyp Release\"",
      ],
      "dependencies": ["lookback_core"],
    },
  ],
  "conditions": [["target_arch=='x64'", {
    "targets": [
      {
        "target_name": "lookback_kernels_avx2",
        "type": "static_library",
        "sources": ["native/backend/cpu/kernels_avx2.cc"],
        "defines": ["LOOKBACK_ISA=avx2"],
        "variables": {"isa_flags": ["-mavx2", "-mfma"]},
        "cflags_cc": ["<@(isa_flags)"],
        "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<@(isa_flags)"]},
      },
      {
        "target_name": "lookback_kernels_avx512",
        "type": "static_library",
        "sources": ["native/backend/cpu/kernels_avx512.cc"],
        "defines": ["LOOKBACK_ISA=avx512"],
        "variables": {
          "isa_flags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
        },
        "cflags_cc": ["<@(isa_flags)"],
        "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["<@(isa_flags)"]},
      },
    ],
  }]],
}
