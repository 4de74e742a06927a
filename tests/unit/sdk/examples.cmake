# SPDX-License-Identifier: MIT
# The kit on every example, with the configuration beside it: here, and on the optimised build, where allocations can fail.
set(outside)
foreach(example counter echo local_endpoint moving_average postgres_lookup rest_json)
  if(NOT TARGET ${example})
    continue()
  endif()
  list(APPEND outside ${example})
  set(ini ${PROJECT_SOURCE_DIR}/sdk/examples/${example}/check.ini)
  pb_check(sdk/kit_${example} $<TARGET_FILE:patchbay-check> --config ${ini} $<TARGET_FILE:${example}>)
  if(PATCHBAY_RELEASE_BUILD)
    pb_check(sdk/kit_${example}_release ${PATCHBAY_RELEASE_BUILD}/patchbay-check --config ${ini}
      ${PATCHBAY_RELEASE_BUILD}/plugins/${example}.so)
  endif()
endforeach()

if(TARGET patchbay AND installed)
  pb_check(sdk/examples_outside ${CMAKE_CURRENT_LIST_DIR}/check_outside.sh ${CMAKE_COMMAND} ${installed}
    ${PROJECT_SOURCE_DIR}/sdk/examples ${outside})
endif()
