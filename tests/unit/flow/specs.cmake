# SPDX-License-Identifier: MIT
# Each word of chains has specs in Lua (tests/data/chains), run as an operator runs his own; so have the chains that ship.
foreach(folder tests/data/chains scripts)
  string(REPLACE "/" "_" name ${folder})
  add_test(NAME unit/flow/specs_${name} COMMAND patchbay test --scripts ${PROJECT_SOURCE_DIR}/${folder})
  set_tests_properties(unit/flow/specs_${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT "${PB_TEST_ENV}"
    ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
endforeach()
