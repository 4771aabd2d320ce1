# lookback_add_addon(<target> <core> <folder>): the bridge over a core, as <folder>/lookback.node.
function(lookback_add_addon target core folder)
  add_library(${target} MODULE ${LOOKBACK_BRIDGE_SOURCES} ${CMAKE_JS_SRC})
  lookback_options(${target})
  set_target_properties(${target} PROPERTIES
    PREFIX ""
    OUTPUT_NAME lookback
    SUFFIX ".node"
    LIBRARY_OUTPUT_DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}")
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_JS_INC})
  target_compile_definitions(${target} PRIVATE
    NAPI_VERSION=9
    NAPI_CPP_EXCEPTIONS
    NODE_ADDON_API_DISABLE_DEPRECATED
    NODE_ADDON_API_REQUIRE_BASIC_FINALIZERS
    NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
    BUILDING_NODE_EXTENSION
    LOOKBACK_VERSION="${LOOKBACK_VERSION}"
    LOOKBACK_BUILD="cmake ${CMAKE_BUILD_TYPE}")
  target_link_libraries(${target} PRIVATE ${core} ${CMAKE_JS_LIB})
  if(APPLE)
    target_link_options(${target} PRIVATE -undefined dynamic_lookup)
  else()
    target_link_options(${target} PRIVATE -Wl,--no-undefined-version -Wl,--gc-sections)
  endif()
endfunction()
