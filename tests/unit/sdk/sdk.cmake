# SPDX-License-Identifier: MIT
# The mock host: drives examples, and notices what a plugin must not do.
pbay_unit_test(sdk/test_mockhost)
target_link_libraries(unit_sdk_test_mockhost PRIVATE pb_mockhost)
foreach(plugin counter moving_average rest_json)
  string(TOUPPER ${plugin} id)
  target_compile_definitions(unit_sdk_test_mockhost PRIVATE ${id}_SO="$<TARGET_FILE:${plugin}>")
  add_dependencies(unit_sdk_test_mockhost ${plugin})
endforeach()
pbay_unit_test(sdk/test_mockhost_odd SOURCES sdk/odd.c)
target_link_libraries(unit_sdk_test_mockhost_odd PRIVATE pb_mockhost)
pbay_unit_test(sdk/test_declared ROOMS app)
target_link_libraries(unit_sdk_test_declared PRIVATE pb_declared)
