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

# What the documentation shows, against the program; the check plants faults of its own first.
if(TARGET patchbay AND TARGET sagemaker)
  pb_check(docs/shown ${PB_PYTHON} ${here}/../docs/check_docs.py ${PROJECT_SOURCE_DIR} $<TARGET_FILE:patchbay>)
endif()

# pb_check_binaries(PREFIX BUILD option...): the program and every plugin of a build directory.
function(pb_check_binaries prefix build)
  set(check ${PB_PYTHON} ${here}/check_binary.py ${ARGN})
  if(TARGET patchbay)
    pb_check(${prefix}_patchbay ${check} --kind program ${build}/patchbay)
  endif()
  get_property(plugins GLOBAL PROPERTY PBAY_PLUGINS)
  foreach(plugin IN LISTS plugins)
    pb_check(${prefix}_${plugin} ${check} --kind plugin ${build}/plugins/${plugin}.so)
  endforeach()
endfunction()

pb_check(build/hardening_self_test ${PB_PYTHON} ${here}/check_binary.py --self-test cc)
# Sanitizers know paths that the prefix map does not reach, and come with their own checks of memory.
set(optimised --fortified --no-path ${PROJECT_SOURCE_DIR}/)
set(options)
if(CMAKE_BUILD_TYPE MATCHES "^Rel" AND NOT PATCHBAY_SANITIZE AND NOT PATCHBAY_FUZZ AND NOT PATCHBAY_COVERAGE)
  set(options ${optimised})
endif()
pb_check_binaries(build/hardening ${PROJECT_BINARY_DIR} ${options})
if(PATCHBAY_RELEASE_BUILD)
  pb_check_binaries(build/hardening_release ${PATCHBAY_RELEASE_BUILD} ${optimised})
endif()

find_program(PB_CXX NAMES c++ g++ clang++)
if(NOT PB_CXX)
  message(FATAL_ERROR "the tests of the SDK's headers need a C++ compiler: install g++ (apt install g++)")
endif()
pb_check(sdk/header_self_test ${here}/check_header.sh --self-test ${CMAKE_C_COMPILER} ${PB_CXX})
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

# What the headers show compiles, and the reference is what they say.
pb_check(sdk/header_examples ${PB_PYTHON} ${here}/../sdk/check_examples.py ${CMAKE_C_COMPILER} ${PROJECT_SOURCE_DIR})
pb_check(sdk/reference ${here}/../sdk/check_reference.sh ${PB_PYTHON} ${PROJECT_SOURCE_DIR})

# The ABI against that of 1.0: sdk/abi.
find_program(PB_ABIDW abidw)
find_program(PB_ABIDIFF abidiff)
pb_check(sdk/abi ${PB_PYTHON} ${here}/../sdk/check_abi.py ${CMAKE_C_COMPILER} ${PB_ABIDW} ${PB_ABIDIFF} ${PROJECT_SOURCE_DIR})
if(NOT PATCHBAY_STRICT_TESTS)
  set_tests_properties(unit/sdk/abi PROPERTIES SKIP_RETURN_CODE 77)
endif()

# An example plugin, copied out of the tree and built against an installed SDK, both ways. What a sanitized build
# installs would need the sanitizers' runtime, so that one installs the optimised build.
if(PATCHBAY_RELEASE_BUILD)
  set(installed ${PATCHBAY_RELEASE_BUILD})
elseif(NOT PATCHBAY_SANITIZE AND NOT PATCHBAY_FUZZ AND NOT PATCHBAY_COVERAGE)
  set(installed ${PROJECT_BINARY_DIR})
else()
  set(installed)
endif()
if(TARGET local_endpoint AND TARGET patchbay AND installed)
  pb_check(sdk/installed ${here}/check_install.sh ${CMAKE_COMMAND} ${installed}
    ${PROJECT_SOURCE_DIR}/sdk/examples/local_endpoint ${CMAKE_C_COMPILER} ${PB_PYTHON} ${here}/check_binary.py)
endif()

# The guide: a plugin begun, built and tested with an installed SDK alone.
if(TARGET patchbay AND installed)
  pb_check(sdk/new_plugin ${here}/check_new_plugin.sh ${CMAKE_COMMAND} ${installed} ${CMAKE_C_COMPILER})
  pb_check(sdk/guide_followed ${PB_PYTHON} ${here}/../sdk/follow_guide.py ${PROJECT_SOURCE_DIR} ${installed})
endif()
# The same from its first line on, in a fresh Debian: for `make soak`.
add_test(NAME soak/unit/sdk/guide_fresh
  COMMAND ${PB_PYTHON} ${here}/../sdk/follow_guide.py ${PROJECT_SOURCE_DIR} --fresh)
set_tests_properties(soak/unit/sdk/guide_fresh PROPERTIES LABELS soak TIMEOUT 3600 RUN_SERIAL ON SKIP_RETURN_CODE 77)

# The unit for systemd.
if(TARGET patchbay)
  pb_check(build/systemd_unit ${here}/check_unit.sh ${PROJECT_BINARY_DIR}/host/app/patchbay.service
    $<TARGET_FILE:patchbay>)
  set_tests_properties(unit/build/systemd_unit PROPERTIES SKIP_RETURN_CODE 77)
endif()
