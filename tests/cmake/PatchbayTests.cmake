# SPDX-License-Identifier: MIT
# How tests are declared. Labels: unit (no network beyond loopback, seconds), fuzz, scenario, release, flat.

find_program(PB_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED) # Debian's: the one that has grpc

# One ctest, so one count, for several builds: `make test` builds these two as well and names them here.
set(PATCHBAY_RELEASE_BUILD "" CACHE PATH "build directory of an optimised build whose program the tests run too")
set(PATCHBAY_FLAT_BUILD "" CACHE PATH "build directory of a PATCHBAY_FLATTEN build whose program the tests run too")
option(PATCHBAY_STRICT_TESTS "a scenario that would be skipped fails" OFF)

# A test finds an empty home and none of the caller's proxies and cloud credentials.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/tests/home)
set(PB_TEST_UNSET)
foreach(name http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
    XDG_CONFIG_HOME XDG_STATE_HOME XDG_CACHE_HOME XDG_RUNTIME_DIR
    AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
    AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_CREDENTIALS_FULL_URI)
  list(APPEND PB_TEST_UNSET "${name}=unset:")
endforeach()

set(PB_TEST_ENV
  "HOME=${PROJECT_BINARY_DIR}/tests/home"
  "AWS_EC2_METADATA_DISABLED=true"
  "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1"
  "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
  "PB_TESTS_DIR=${CMAKE_CURRENT_SOURCE_DIR}"
  "PATCHBAY_SCRIPTS=${PROJECT_SOURCE_DIR}/scripts"
  "PYTHONDONTWRITEBYTECODE=1")

function(pb_link_rooms target)
  foreach(room IN LISTS ARGN)
    target_link_libraries(${target} PRIVATE pb_${room})
  endforeach()
endfunction()

# pbay_unit_test(room/test_x [ROOMS room...] [LIBS lib...] [SOURCES extra.c...] [KIT] [SOAK] [TIMEOUT s])
# builds tests/unit/room/test_x.c with cmocka; `ctest -R unit/room/test_x` runs it. KIT links sdk/kit.
# The test may read PB_TESTS_DIR (this folder) from its environment, and PB_TESTS_DIR is also a macro.
function(pbay_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "KIT;SOAK" "TIMEOUT" "ROOMS;LIBS;SOURCES")
  string(REPLACE "/" "_" target unit_${name})
  add_executable(${target} ${name}.c ${arg_SOURCES})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/host ${PROJECT_SOURCE_DIR}/tests/unit
    ${CMAKE_CURRENT_BINARY_DIR})
  target_compile_definitions(${target} PRIVATE PB_TESTS_DIR="${PROJECT_SOURCE_DIR}/tests")
  pb_link_rooms(${target} ${arg_ROOMS})
  foreach(lib IN LISTS arg_LIBS ITEMS cmocka)
    pbay_dep(dep ${lib})
    target_link_libraries(${target} PRIVATE ${dep})
  endforeach()
  if(arg_KIT)
    target_link_libraries(${target} PRIVATE Patchbay::kit)
  endif()
  target_link_libraries(${target} PRIVATE pb_flags pbay_sdk)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_test(NAME unit/${name} COMMAND ${target})
  set_tests_properties(unit/${name} PROPERTIES LABELS unit TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${PB_TEST_ENV}"
    ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
  if(arg_SOAK)
    add_test(NAME soak/unit/${name} COMMAND ${target})
    set_tests_properties(soak/unit/${name} PROPERTIES LABELS soak TIMEOUT 3600 RUN_SERIAL ON
      ENVIRONMENT "${PB_TEST_ENV};PATCHBAY_SOAK=1;SOAK=1" ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
  endif()
endfunction()

# pbay_fuzz_target(x [ROOMS room...] [LIBS lib...] [KIT])
# builds tests/fuzz/fuzz_x.c. With PATCHBAY_FUZZ it is a libFuzzer binary; otherwise replay.c feeds it the corpus.
# Either way ctest runs tests/fuzz/corpus/x once; an empty corpus is a failure.
function(pbay_fuzz_target name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "KIT" "" "ROOMS;LIBS;SOURCES")
  set(target fuzz_${name})
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  if(PATCHBAY_FUZZ)
    add_executable(${target} fuzz_${name}.c ${arg_SOURCES})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    set(command ${target} -runs=0 ${corpus})
  else()
    add_executable(${target} fuzz_${name}.c replay.c ${arg_SOURCES})
    set(command ${target} ${corpus})
  endif()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/host)
  pb_link_rooms(${target} ${arg_ROOMS})
  foreach(lib IN LISTS arg_LIBS)
    pbay_dep(dep ${lib})
    target_link_libraries(${target} PRIVATE ${dep})
  endforeach()
  if(arg_KIT)
    target_link_libraries(${target} PRIVATE Patchbay::kit)
  endif()
  target_link_libraries(${target} PRIVATE pb_flags pbay_sdk)
  # libFuzzer's entry point has no header of its own. (A source's options follow those of its target.)
  set_source_files_properties(fuzz_${name}.c PROPERTIES COMPILE_OPTIONS -Wno-missing-prototypes)
  add_test(NAME fuzz/${name} COMMAND ${command})
  set_tests_properties(fuzz/${name} PROPERTIES LABELS "unit;fuzz" TIMEOUT 300 ENVIRONMENT "${PB_TEST_ENV}"
    ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
endfunction()

# pbay_scenario(name.py [RELEASE] [FLAT] [WORKERS] [APART|APART_SOAK] [SOAK] [SERIAL] [TIMEOUT s] [ARGS a...])
# runs tests/scenarios/name.py against the built program: exit 0 passes, 77 is a skip (a peer is not installed), but
# with PATCHBAY_STRICT_TESTS a skip is a failure. It finds PATCHBAY, PATCHBAY_PLUGINS, PATCHBAY_SCRIPTS, PB_TESTS_DIR
# and SCENARIO_PLUGINS (scenarios/plugins) in its environment, picks free ports, leaves nothing behind. SERIAL: not
# beside other tests.
# Gateways of tests/scenarios/lib run in one process, unless PATCHBAY_WORKERS says how many workers they have. WORKERS:
# runs again as workers/name with two.
# APART: runs again as apart/name, every connector in a process of its own (PATCHBAY_ISOLATION=process); APART_SOAK: for
# `make soak` alone.
# SOAK: runs with the full counts (PATCHBAY_SOAK=1) as soak/name, for `make soak` alone; on the optimised build when there
# is one.
# RELEASE: runs again as release/name and flat/name on the builds that `make test` names (above); flat/name for `make
# soak` alone unless FLAT, which is for those whose rows go to plugins in other shapes than with APART, the same way and
# further.
function(pbay_scenario file)
  cmake_parse_arguments(PARSE_ARGV 1 arg "RELEASE;FLAT;WORKERS;APART;APART_SOAK;SOAK;SERIAL" "TIMEOUT" "ARGS")
  cmake_path(GET file STEM name)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(command ${PB_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${arg_ARGS})
  pb_add_scenario(scenario ${name} ${PROJECT_BINARY_DIR})
  if(arg_WORKERS)
    pb_add_scenario(workers ${name} ${PROJECT_BINARY_DIR})
    set_property(TEST workers/${name} APPEND PROPERTY ENVIRONMENT "PATCHBAY_WORKERS=2")
  endif()
  if(arg_APART OR arg_APART_SOAK)
    pb_add_scenario(apart ${name} ${PROJECT_BINARY_DIR})
    set_property(TEST apart/${name} APPEND PROPERTY ENVIRONMENT "PATCHBAY_ISOLATION=process")
  endif()
  if(arg_APART_SOAK)
    set_tests_properties(apart/${name} PROPERTIES LABELS soak TIMEOUT 1800 RUN_SERIAL ON)
  endif()
  if(arg_SOAK)
    set(soak_build ${PROJECT_BINARY_DIR})
    if(PATCHBAY_RELEASE_BUILD)
      set(soak_build ${PATCHBAY_RELEASE_BUILD})
    endif()
    pb_add_scenario(soak ${name} ${soak_build})
    set_property(TEST soak/${name} APPEND PROPERTY ENVIRONMENT "PATCHBAY_SOAK=1;SOAK=1;RELOADS=50")
    set_tests_properties(soak/${name} PROPERTIES LABELS soak TIMEOUT 3600 RUN_SERIAL ON)
  endif()
  if(arg_RELEASE AND PATCHBAY_RELEASE_BUILD)
    pb_add_scenario(release ${name} ${PATCHBAY_RELEASE_BUILD})
  endif()
  if(arg_RELEASE AND PATCHBAY_FLAT_BUILD)
    pb_add_scenario(flat ${name} ${PATCHBAY_FLAT_BUILD})
    if(NOT arg_FLAT)
      set_tests_properties(flat/${name} PROPERTIES LABELS soak)
    endif()
  endif()
endfunction()

macro(pb_add_scenario kind name build)
  set(test ${kind}/${name})
  add_test(NAME ${test} COMMAND ${command})
  set_tests_properties(${test} PROPERTIES
    LABELS "scenario;${kind}" TIMEOUT ${arg_TIMEOUT} ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}"
    ENVIRONMENT "${PB_TEST_ENV};PATCHBAY=${build}/patchbay;PATCHBAY_PLUGINS=${build}/plugins")
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT "SCENARIO_PLUGINS=${CMAKE_CURRENT_BINARY_DIR}/plugins")
  if(NOT PATCHBAY_STRICT_TESTS)
    set_tests_properties(${test} PROPERTIES SKIP_RETURN_CODE 77)
  endif()
  if(arg_SERIAL)
    set_tests_properties(${test} PROPERTIES RUN_SERIAL ON)
  endif()
endmacro()
