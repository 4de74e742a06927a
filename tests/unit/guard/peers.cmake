# SPDX-License-Identifier: MIT
# What other implementations make, judged by ours: jwt_checker.c reads it, jwt_peer.py runs both.
add_executable(unit_guard_jwt_checker guard/jwt_checker.c)
pb_link_rooms(unit_guard_jwt_checker guard)
target_link_libraries(unit_guard_jwt_checker PRIVATE pb_flags pbay_sdk)
add_test(NAME unit/guard/jwt_peer
  COMMAND ${PB_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/guard/jwt_peer.py $<TARGET_FILE:unit_guard_jwt_checker>)
set_tests_properties(unit/guard/jwt_peer PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT "${PB_TEST_ENV}"
  ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
if(NOT PATCHBAY_STRICT_TESTS)
  set_tests_properties(unit/guard/jwt_peer PROPERTIES SKIP_RETURN_CODE 77)
endif()
