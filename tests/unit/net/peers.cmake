# SPDX-License-Identifier: MIT
# Servers for clients that are not ours: pb_net_peer(name script) builds net/NAME_server.c and runs SCRIPT with it.
function(pb_net_peer name)
  set(target unit_net_${name}_server)
  add_executable(${target} net/${name}_server.c)
  pb_link_rooms(${target} net)
  target_link_libraries(${target} PRIVATE pb_flags pbay_sdk)
  add_test(NAME unit/net/${name} COMMAND ${PB_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/net/${name}.py $<TARGET_FILE:${target}>)
  set_tests_properties(unit/net/${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT "${PB_TEST_ENV}"
    ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
endfunction()

pb_net_peer(grpc_peer)
pb_net_peer(http_peer)
add_test(NAME unit/net/http_clients
  COMMAND ${PB_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/net/http_clients.py $<TARGET_FILE:unit_net_http_peer_server>)
set_tests_properties(unit/net/http_clients PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT "${PB_TEST_ENV}"
  ENVIRONMENT_MODIFICATION "${PB_TEST_UNSET}")
