# SPDX-License-Identifier: MIT
# Tests of the tree and of what was built, rather than of code: who includes what, how binaries are linked, whether
# the SDK's headers stand alone and an installed SDK is enough. Each check that reads something has a self-test.
set(here ${CMAKE_CURRENT_LIST_DIR})

function(pb_check name)
  add_test(NAME unit/${name} COMMAND ${ARGN})
  set_tests_properties(unit/${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT "${PB_TEST_ENV}"
    ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
endfunction()

pb_check(rooms/includes ${PB_PYTHON} ${here}/../rooms/check_rooms.py ${PROJECT_SOURCE_DIR})
pb_check(rooms/self_test ${PB_PYTHON} ${here}/../rooms/check_rooms.py --self-test)

set(binary_options --no-path ${PROJECT_SOURCE_DIR}/)
if(CMAKE_BUILD_TYPE MATCHES "^Rel" AND NOT PATCHBAY_SANITIZE AND NOT PATCHBAY_FUZZ AND NOT PATCHBAY_COVERAGE)
  list(APPEND binary_options --fortified)
endif()
pb_check(build/hardening_self_test ${PB_PYTHON} ${here}/check_binary.py --self-test cc)
if(TARGET patchbay)
  pb_check(build/hardening_patchbay
    ${PB_PYTHON} ${here}/check_binary.py --kind program ${binary_options} $<TARGET_FILE:patchbay>)
endif()
get_property(plugins GLOBAL PROPERTY PBAY_PLUGINS)
foreach(plugin IN LISTS plugins)
  pb_check(build/hardening_${plugin}
    ${PB_PYTHON} ${here}/check_binary.py --kind plugin ${binary_options} $<TARGET_FILE:${plugin}>)
endforeach()

find_program(PB_CXX NAMES c++ g++ clang++)
if(NOT PB_CXX)
  message(FATAL_ERROR "the tests of the SDK's headers need a C++ compiler: install g++ (apt install g++)")
endif()
file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/sdk/include
  ${PROJECT_SOURCE_DIR}/sdk/include/patchbay/*.h)
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER ${header} id)
  pb_check(sdk/header_${id} ${here}/check_header.sh ${CMAKE_C_COMPILER} ${PB_CXX} ${PROJECT_SOURCE_DIR}/sdk <${header}>)
endforeach()
file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/sdk ${PROJECT_SOURCE_DIR}/sdk/kit/*.h)
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER ${header} id)
  pb_check(sdk/header_${id}
    ${here}/check_header.sh ${CMAKE_C_COMPILER} ${PB_CXX} ${PROJECT_SOURCE_DIR}/sdk "\"${header}\"")
endforeach()

# An example plugin, copied out of the tree and built against an installed SDK, both ways.
if(TARGET local_endpoint)
  pb_check(sdk/installed ${here}/check_install.sh ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR}
    ${PROJECT_SOURCE_DIR}/sdk/examples/local_endpoint ${CMAKE_C_COMPILER} ${PB_PYTHON} ${here}/check_binary.py)
endif()
