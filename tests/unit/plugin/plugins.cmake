# SPDX-License-Identifier: MIT
# The tests of host/plugin, and plugins for them, built into their own folder (PB_TEST_PLUGIN_DIR) like any plugin is.
set(PB_TEST_PLUGIN_DIR ${CMAKE_CURRENT_BINARY_DIR}/plugins)
set(PB_TEST_FAULTS
  action argument crash create descriptor_size duplicate every_id exit functions_size hang host_option lookup magic
  major name no_entry null option route scheme shape source stride submit truncated undefined verb)

function(pb_test_plugin name source)
  set(target test_plugin_${name})
  add_library(${target} MODULE plugin/plugins/${source})
  target_link_libraries(${target} PRIVATE pb_flags pbay_sdk)
  target_compile_definitions(${target} PRIVATE ${ARGN})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} PREFIX "" SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${PB_TEST_PLUGIN_DIR})
endfunction()

pb_test_plugin(good good.c)
pb_test_plugin(newer newer.c)
foreach(fault IN LISTS PB_TEST_FAULTS)
  string(TOUPPER ${fault} id)
  pb_test_plugin(fault_${fault} faulty.c FAULT_${id})
endforeach()

# The program that probes: what `patchbay plugin-probe` is, without the rest.
add_executable(pb_test_probe plugin/probe_main.c)
target_link_libraries(pb_test_probe PRIVATE pb_flags pb_plugin)

function(pb_plugin_test name)
  pbay_unit_test(plugin/${name} ROOMS plugin ${ARGN})
  set_property(TARGET unit_plugin_${name} APPEND PROPERTY COMPILE_DEFINITIONS
    PB_TEST_PLUGINS="${PB_TEST_PLUGIN_DIR}" PB_TEST_PROBE="$<TARGET_FILE:pb_test_probe>")
  add_dependencies(unit_plugin_${name} test_plugin_good test_plugin_newer pb_test_probe)
  foreach(fault IN LISTS PB_TEST_FAULTS)
    add_dependencies(unit_plugin_${name} test_plugin_fault_${fault})
  endforeach()
endfunction()

pb_plugin_test(test_apart SOURCES plugin/harness.c)
pb_plugin_test(test_commands SOURCES plugin/harness.c)
pb_plugin_test(test_loader)
pb_plugin_test(test_operation SOURCES plugin/harness.c)
pb_plugin_test(test_secrets SOURCES plugin/harness.c)
pb_plugin_test(test_service_net SOURCES plugin/harness.c)
pb_plugin_test(test_services SOURCES plugin/harness.c)
pbay_unit_test(plugin/test_layout)
pbay_unit_test(plugin/test_pipe ROOMS plugin)

# The plugins that the ABI has to carry, as far as they can be written down: compiled, with all warnings, never run.
file(GLOB sketches CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/sketches/*.c)
add_library(test_sketches OBJECT ${sketches})
target_link_libraries(test_sketches PRIVATE pb_flags pbay_sdk)

# The guide shows the example as it is.
pb_check(sdk/guide ${PB_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/check_guide.py ${PROJECT_SOURCE_DIR})

# Every plugin of the tree passes the checks of loading.
get_property(plugins GLOBAL PROPERTY PBAY_PLUGINS)
foreach(plugin IN LISTS plugins)
  pb_check(plugin/loads_${plugin} $<TARGET_FILE:pb_test_probe> plugin-probe $<TARGET_FILE:${plugin}>)
endforeach()

# Again with the plugin in a process of its own (the harness says `isolation = process`).
foreach(name test_secrets test_service_net)
  add_test(NAME unit/plugin/apart_${name} COMMAND unit_plugin_${name})
  set_tests_properties(unit/plugin/apart_${name} PROPERTIES LABELS unit TIMEOUT 300
    ENVIRONMENT "${PB_TEST_ENV};PB_TEST_APART=1" ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
endforeach()
