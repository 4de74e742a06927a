# SPDX-License-Identifier: MIT
# Plugins that break one rule each, without sanitizers, and the kit that must find it.
set(faulty_dir ${CMAKE_CURRENT_BINARY_DIR}/faulty)
set(faulty_plugins)
foreach(fault none export stack relro library summary default doc moving extension longer service mute hang leak descriptor
    memory crash never twice rows cancel stop pressure block lost attempt abort poll command secret health die
    silent number name unsaid easy slow busy tacit)
  string(TOUPPER ${fault} upper)
  add_library(faulty_${fault} MODULE check/faulty.c)
  list(APPEND faulty_plugins faulty_${fault})
  target_link_libraries(faulty_${fault} PRIVATE pbay_sdk)
  target_compile_definitions(faulty_${fault} PRIVATE FAULT_${upper} FAULTY_NAME="faulty_${fault}"
    _GNU_SOURCE)
  target_compile_options(faulty_${fault} PRIVATE -Wall -Wextra -fPIC -fno-sanitize=all -Wno-unused-parameter)
  target_link_options(faulty_${fault} PRIVATE -fno-sanitize=all -Wl,-z,now,-z,relro,-z,noexecstack)
  set_target_properties(faulty_${fault} PROPERTIES PREFIX "" SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${faulty_dir}
    C_VISIBILITY_PRESET hidden)
endforeach()
target_link_options(faulty_stack PRIVATE -Wl,-z,execstack)
target_link_options(faulty_relro PRIVATE -Wl,-z,lazy,-z,norelro)
target_link_libraries(faulty_library PRIVATE -Wl,--no-as-needed crypto)

set(sound)
foreach(plugin counter echo local_endpoint moving_average rest_json sagemaker qlik_saas snowflake modeldb)
  if(TARGET ${plugin})
    list(APPEND sound $<TARGET_FILE:${plugin}>)
  endif()
endforeach()

add_test(NAME unit/check/faults COMMAND ${PB_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/check/faults.py
  $<TARGET_FILE:patchbay-check> ${faulty_dir} ${faulty_dir}/faulty_none.so ${sound})
set_tests_properties(unit/check/faults PROPERTIES LABELS unit TIMEOUT 600 ENVIRONMENT "${PB_TEST_ENV}"
  ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
