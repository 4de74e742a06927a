# SPDX-License-Identifier: MIT
# pbay_add_plugin(NAME [KIT] SOURCES file... [LIBS lib...])
#
# Builds the plugin NAME.so, of C or C++: hidden symbols, none left undefined, and one export, pbay_plugin_entry.
# KIT links the kit (SigV4, ...: <kit/...>); LIBS are private libraries of the plugin. The target is NAME.
# Output: the directory in PBAY_PLUGIN_OUTPUT_DIR when set, else CMake's usual place.
set(PBAY_PLUGIN_VERSION_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/plugin.map)

function(pbay_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "KIT" "" "SOURCES;LIBS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
    message(FATAL_ERROR "pbay_add_plugin(${name}): wants [KIT] SOURCES file... [LIBS lib...] ${arg_UNPARSED_ARGUMENTS}")
  endif()
  add_library(${name} MODULE ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES
    PREFIX "" SUFFIX ".so" POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS ${PBAY_PLUGIN_VERSION_SCRIPT})
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_options(${name} PRIVATE -fstack-protector-strong)
  target_link_options(${name} PRIVATE
    -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--version-script,${PBAY_PLUGIN_VERSION_SCRIPT})
  # clang's sanitizers leave their runtime to the executable, which -z defs would refuse.
  if(NOT (CMAKE_C_COMPILER_ID MATCHES "Clang" AND (PATCHBAY_SANITIZE OR PATCHBAY_FUZZ)))
    target_link_options(${name} PRIVATE -Wl,-z,defs)
  endif()
  target_link_libraries(${name} PRIVATE Patchbay::sdk)
  if(arg_KIT)
    target_link_libraries(${name} PRIVATE Patchbay::kit)
  endif()
  foreach(lib IN LISTS arg_LIBS)
    if(COMMAND pbay_dep)
      pbay_dep(lib ${lib})
    endif()
    target_link_libraries(${name} PRIVATE ${lib})
  endforeach()
  if(TARGET pb_flags) # inside the project's own tree: its warnings and checks hold for plugins too
    target_link_libraries(${name} PRIVATE pb_flags)
  endif()
  set_property(GLOBAL APPEND PROPERTY PBAY_PLUGINS ${name})
  if(PBAY_PLUGIN_OUTPUT_DIR)
    set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PBAY_PLUGIN_OUTPUT_DIR})
  endif()
endfunction()
