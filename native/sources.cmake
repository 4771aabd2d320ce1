# Every source of the native build, by name. CMakeLists.txt reads this file, binding.gyp repeats its lists of core, kernels and bridge,
# and test/unit/build.test.ts holds the two equal.

# Everything above the Node bridge, compiled for the baseline instruction set.
set(LOOKBACK_CORE_SOURCES
  native/base/error.cc
  native/base/file_lock.cc
  native/base/large_blocks.cc
  native/base/memory.cc
  native/base/memory_space.cc
  native/base/spec.cc
  native/base/system_memory.cc
  native/backend/barrier.cc
  native/backend/cell_host.cc
  native/backend/cpu/cancel.cc
  native/backend/cpu/cell_recurrence.cc
  native/backend/cpu/cell_gradients.cc
  native/backend/cpu/cell_statistics.cc
  native/backend/cpu/cpu_backend.cc
  native/backend/cpu/elementwise.cc
  native/backend/cpu/isa.cc
  native/backend/cpu/kernels.cc
  native/backend/cpu/plan.cc
  native/backend/cpu/recurrence.cc
  native/backend/cpu/rows.cc
  native/backend/cpu/threads.cc
  native/backend/cuda/blas.cc
  native/backend/cuda/block_explain.cc
  native/backend/cuda/block_plan.cc
  native/backend/cuda/block_times.cc
  native/backend/cuda/block_weights.cc
  native/backend/cuda/cuda_backend.cc
  native/backend/cuda/cuda_call.cc
  native/backend/cuda/cuda_gradients.cc
  native/backend/cuda/cuda_loops.cc
  native/backend/cuda/cuda_recurrence.cc
  native/backend/cuda/device.cc
  native/backend/cuda/device_algebra.cc
  native/backend/cuda/launch_record.cc
  native/backend/cuda/library.cc
  native/backend/cuda/orthogonal_weights.cc
  native/backend/cuda/record.cc
  native/backend/cuda/recurrence.cc
  native/backend/cuda/skew_map.cc
  native/backend/derived.cc
  native/backend/instantiate_cell.cc
  native/backend/layer_stack.cc
  native/backend/layer_stack_backward.cc
  native/backend/make_backend.cc
  native/backend/segmented.cc
  native/ops/linalg.cc
  native/ops/lu.cc
  native/parametrization/attention_weights.cc
  native/parametrization/cayley.cc
  native/parametrization/complex_cayley.cc
  native/parametrization/enrnn_weights.cc
  native/parametrization/exponential.cc
  native/parametrization/operations.cc
  native/parametrization/scaled_cayley.cc
  native/parametrization/spectral.cc
  native/parametrization/trivialisation.cc
  native/model/carried.cc
  native/model/cell_call.cc
  native/model/chain.cc
  native/model/dataset.cc
  native/model/dense.cc
  native/model/dropout.cc
  native/model/engine.cc
  native/model/initialize.cc
  native/model/layer.cc
  native/model/layers/bidirectional.cc
  native/model/layers/embedding.cc
  native/model/layers/layer_norm.cc
  native/model/layers/pool.cc
  native/model/layers/residual.cc
  native/model/loss.cc
  native/model/model.cc
  native/model/open_loop.cc
  native/model/optimizer.cc
  native/model/recurrent.cc
  native/model/stream.cc
  native/model/trainer.cc
  native/model/trainer_update.cc
)

# Compiled once for each instruction set, with its flags: one source a cell, so that a change to one recompiles it alone.
set(LOOKBACK_KERNEL_ISAS generic avx2 avx512)
set(LOOKBACK_KERNEL_SOURCES
  native/backend/cpu/kernels/bnlstm.cc
  native/backend/cpu/kernels/elman.cc
  native/backend/cpu/kernels/gru.cc
  native/backend/cpu/kernels/larnn.cc
  native/backend/cpu/kernels/lstm.cc
  native/backend/cpu/kernels/rnn.cc
  native/backend/cpu/kernels/rra.cc
  native/backend/cpu/kernels/scurnn.cc
  native/backend/cpu/kernels/table.cc
)

# The Node addon; the only sources that see napi.h.
set(LOOKBACK_BRIDGE_SOURCES
  native/bridge/addon.cc
  native/bridge/cell.cc
  native/bridge/convert.cc
  native/bridge/engine.cc
  native/bridge/engine_streams.cc
  native/bridge/errors.cc
  native/bridge/job_threads.cc
  native/bridge/operation.cc
  native/bridge/result_arrays.cc
  native/bridge/worker.cc
)

# The device 'emulated' (GPU kernel bodies on the host): test builds only, never in the released addon.
set(LOOKBACK_EMULATED_SOURCES
  native/backend/cuda/emulated_device.cc
  native/backend/cuda/emulated_recurrent.cc
)

# Every cell twice, for the host: small rather than fast.
set_source_files_properties(native/backend/cuda/emulated_recurrent.cc PROPERTIES
  COMPILE_OPTIONS -O1 COMPILE_DEFINITIONS LOOKBACK_PLAIN_INLINE=1)

# The CUDA library, compiled by nvcc where it is found; the addon loads it.
set(LOOKBACK_CUDA_SOURCES
  native/backend/cuda/blas.cc
  native/backend/cuda/launch.cu
  native/backend/cuda/library.cu
  native/backend/cuda/loops/bnlstm.cu
  native/backend/cuda/loops/enrnn.cu
  native/backend/cuda/loops/exprnn.cu
  native/backend/cuda/loops/gru.cu
  native/backend/cuda/loops/larnn_batch.cu
  native/backend/cuda/loops/larnn_layer.cu
  native/backend/cuda/loops/larnn_none.cu
  native/backend/cuda/loops/lstm.cu
  native/backend/cuda/loops/rnn.cu
  native/backend/cuda/loops/rra.cu
  native/backend/cuda/loops/scornn.cu
  native/backend/cuda/loops/scurnn.cu
  native/backend/cuda/recurrent.cu
)

# Sources whose text depends on LOOKBACK_EMULATED; compiled a second time for the test addon.
set(LOOKBACK_EMULATED_AWARE_SOURCES
  native/backend/make_backend.cc
  native/bridge/addon.cc
)
