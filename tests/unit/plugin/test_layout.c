/* SPDX-License-Identifier: MIT */
/*
 * Where everything lies that crosses the ABI, on 64-bit machines. ABI 1.0 is frozen: no AT may change, and a SIZE only
 * with new lines at the end of a table (sdk/README.md, "What may change").
 */
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>
#include <patchbay/plugin.h>
#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_chain.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_event.h>
#include <patchbay/host_http.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_job.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_limit.h>
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>
#include <patchbay/host_stream.h>
#include <patchbay/host_timer.h>
#include <patchbay/host_work.h>
#include <patchbay/host_ws.h>

#define SIZE(type, n)      _Static_assert(sizeof(type) == (n), "size of " #type)
#define AT(type, field, n) _Static_assert(offsetof(type, field) == (n), #type "." #field)

#if UINTPTR_MAX == UINT64_MAX
/* clang-format off */

SIZE(pbay_str, 16);
AT(pbay_str, p, 0);
AT(pbay_str, n, 8);

SIZE(pbay_result, 64);
AT(pbay_result, struct_size, 0);
AT(pbay_result, code, 4);
AT(pbay_result, effect, 8);
AT(pbay_result, advice, 12);
AT(pbay_result, retry_after_ms, 16);
AT(pbay_result, vendor_status, 24);
AT(pbay_result, reserved, 28);
AT(pbay_result, vendor_code, 32);
AT(pbay_result, message, 48);

SIZE(pbay_column, 56);
AT(pbay_column, kind, 0);
AT(pbay_column, reserved, 4);
AT(pbay_column, name, 8);
AT(pbay_column, num, 24);
AT(pbay_column, off, 32);
AT(pbay_column, bytes, 40);
AT(pbay_column, null_bits, 48);

SIZE(pbay_row_error, 24);
AT(pbay_row_error, row, 0);
AT(pbay_row_error, code, 4);
AT(pbay_row_error, message, 8);

SIZE(pbay_batch, 40);
AT(pbay_batch, struct_size, 0);
AT(pbay_batch, n_cols, 4);
AT(pbay_batch, n_rows, 8);
AT(pbay_batch, col_stride, 12);
AT(pbay_batch, cols, 16);
AT(pbay_batch, row_errors, 24);
AT(pbay_batch, n_row_errors, 32);
AT(pbay_batch, reserved, 36);

SIZE(pbay_codec, 80);
AT(pbay_codec, struct_size, 0);
AT(pbay_codec, format, 4);
AT(pbay_codec, names, 8);
AT(pbay_codec, kinds, 16);
AT(pbay_codec, n_columns, 24);
AT(pbay_codec, any_kind, 28);
AT(pbay_codec, key, 32);
AT(pbay_codec, row_numbers, 48);
AT(pbay_codec, header, 52);
AT(pbay_codec, max_rows, 56);
AT(pbay_codec, max_depth, 60);
AT(pbay_codec, delimiter, 64);
AT(pbay_codec, quote_all, 65);
AT(pbay_codec, raw, 66);
AT(pbay_codec, trailing_newline, 67);
AT(pbay_codec, objects, 68);
AT(pbay_codec, strict, 69);
AT(pbay_codec, reserved, 70);

SIZE(pbay_option, 40);
AT(pbay_option, name, 0);
AT(pbay_option, type, 8);
AT(pbay_option, flags, 12);
AT(pbay_option, dflt, 16);
AT(pbay_option, choices, 24);
AT(pbay_option, doc, 32);

SIZE(pbay_option_table, 16);
AT(pbay_option_table, options, 0);
AT(pbay_option_table, count, 8);
AT(pbay_option_table, stride, 12);

SIZE(pbay_header, 32);
AT(pbay_header, name, 0);
AT(pbay_header, value, 16);

SIZE(pbay_host, 104);
AT(pbay_host, struct_size, 0);
AT(pbay_host, abi_major, 4);
AT(pbay_host, abi_minor, 6);
AT(pbay_host, impl, 8);
AT(pbay_host, service, 16);
AT(pbay_host, name, 24);
AT(pbay_host, version, 32);
AT(pbay_host, check_only, 40);
AT(pbay_host, is_set, 48);
AT(pbay_host, get_int, 56);
AT(pbay_host, get_num, 64);
AT(pbay_host, get_str, 72);
AT(pbay_host, count, 80);
AT(pbay_host, item, 88);
AT(pbay_host, where, 96);

SIZE(pbay_descriptor, 72);
AT(pbay_descriptor, struct_size, 0);
AT(pbay_descriptor, reserved, 4);
AT(pbay_descriptor, name, 8);
AT(pbay_descriptor, version, 16);
AT(pbay_descriptor, vendor, 24);
AT(pbay_descriptor, license, 32);
AT(pbay_descriptor, summary, 40);
AT(pbay_descriptor, url, 48);
AT(pbay_descriptor, options, 56);

SIZE(pbay_entry, 64);
AT(pbay_entry, magic, 0);
AT(pbay_entry, struct_size, 4);
AT(pbay_entry, abi_major, 8);
AT(pbay_entry, abi_minor, 10);
AT(pbay_entry, flags, 12);
AT(pbay_entry, descriptor, 16);
AT(pbay_entry, create, 24);
AT(pbay_entry, start, 32);
AT(pbay_entry, stop, 40);
AT(pbay_entry, destroy, 48);
AT(pbay_entry, extension, 56);

SIZE(pbay_operation, 40);
AT(pbay_operation, name, 0);
AT(pbay_operation, doc, 8);
AT(pbay_operation, shape, 16);
AT(pbay_operation, flags, 20);
AT(pbay_operation, options, 24);

SIZE(pbay_field, 24);
AT(pbay_field, name, 0);
AT(pbay_field, kind, 16);
AT(pbay_field, reserved, 20);

SIZE(pbay_function_info, 64);
AT(pbay_function_info, struct_size, 0);
AT(pbay_function_info, operation, 4);
AT(pbay_function_info, name, 8);
AT(pbay_function_info, sends, 24);
AT(pbay_function_info, answers, 32);
AT(pbay_function_info, n_sends, 40);
AT(pbay_function_info, n_answers, 44);
AT(pbay_function_info, max_rows, 48);
AT(pbay_function_info, flags, 52);
AT(pbay_function_info, config, 56);

SIZE(pbay_functions_1, 96);
AT(pbay_functions_1, struct_size, 0);
AT(pbay_functions_1, n_operations, 4);
AT(pbay_functions_1, operations, 8);
AT(pbay_functions_1, operation_stride, 16);
AT(pbay_functions_1, reserved, 20);
AT(pbay_functions_1, bind, 24);
AT(pbay_functions_1, unbind, 32);
AT(pbay_functions_1, lane, 40);
AT(pbay_functions_1, submit, 48);
AT(pbay_functions_1, open, 56);
AT(pbay_functions_1, push, 64);
AT(pbay_functions_1, end, 72);
AT(pbay_functions_1, writable, 80);
AT(pbay_functions_1, cancel, 88);

SIZE(pbay_health_1, 16);
AT(pbay_health_1, struct_size, 0);
AT(pbay_health_1, reserved, 4);
AT(pbay_health_1, state, 8);

SIZE(pbay_route, 40);
AT(pbay_route, method, 0);
AT(pbay_route, suffix, 8);
AT(pbay_route, doc, 16);
AT(pbay_route, auth, 24);
AT(pbay_route, body, 28);
AT(pbay_route, max_body, 32);

SIZE(pbay_request_info, 176);
AT(pbay_request_info, struct_size, 0);
AT(pbay_request_info, reserved, 4);
AT(pbay_request_info, method, 8);
AT(pbay_request_info, target, 24);
AT(pbay_request_info, path, 40);
AT(pbay_request_info, suffix, 56);
AT(pbay_request_info, query, 72);
AT(pbay_request_info, headers, 88);
AT(pbay_request_info, n_headers, 96);
AT(pbay_request_info, reserved2, 100);
AT(pbay_request_info, body, 104);
AT(pbay_request_info, peer, 120);
AT(pbay_request_info, principal, 136);
AT(pbay_request_info, traceparent, 152);
AT(pbay_request_info, deadline, 168);

SIZE(pbay_routes_1, 40);
AT(pbay_routes_1, struct_size, 0);
AT(pbay_routes_1, n_routes, 4);
AT(pbay_routes_1, routes, 8);
AT(pbay_routes_1, route_stride, 16);
AT(pbay_routes_1, reserved, 20);
AT(pbay_routes_1, handle, 24);
AT(pbay_routes_1, cancel, 32);

SIZE(pbay_action, 40);
AT(pbay_action, name, 0);
AT(pbay_action, doc, 8);
AT(pbay_action, repeat, 16);
AT(pbay_action, flags, 20);
AT(pbay_action, arguments, 24);

SIZE(pbay_action_info, 104);
AT(pbay_action_info, struct_size, 0);
AT(pbay_action_info, attempt, 4);
AT(pbay_action_info, fence, 8);
AT(pbay_action_info, key, 16);
AT(pbay_action_info, json, 32);
AT(pbay_action_info, arguments, 48);
AT(pbay_action_info, first_attempt_ms, 56);
AT(pbay_action_info, deadline, 64);
AT(pbay_action_info, handle, 72);
AT(pbay_action_info, traceparent, 88);

SIZE(pbay_actions_1, 56);
AT(pbay_actions_1, struct_size, 0);
AT(pbay_actions_1, n_actions, 4);
AT(pbay_actions_1, actions, 8);
AT(pbay_actions_1, action_stride, 16);
AT(pbay_actions_1, reserved, 20);
AT(pbay_actions_1, run, 24);
AT(pbay_actions_1, poll, 32);
AT(pbay_actions_1, lookup, 40);
AT(pbay_actions_1, cancel, 48);

SIZE(pbay_action_1, 32);
AT(pbay_action_1, struct_size, 0);
AT(pbay_action_1, reserved, 4);
AT(pbay_action_1, done, 8);
AT(pbay_action_1, started, 16);
AT(pbay_action_1, failed, 24);

SIZE(pbay_source, 32);
AT(pbay_source, name, 0);
AT(pbay_source, doc, 8);
AT(pbay_source, interval_ms, 16);
AT(pbay_source, flags, 24);
AT(pbay_source, reserved, 28);

SIZE(pbay_events_1, 40);
AT(pbay_events_1, struct_size, 0);
AT(pbay_events_1, n_sources, 4);
AT(pbay_events_1, sources, 8);
AT(pbay_events_1, source_stride, 16);
AT(pbay_events_1, reserved, 20);
AT(pbay_events_1, poll, 24);
AT(pbay_events_1, cancel, 32);

SIZE(pbay_event, 88);
AT(pbay_event, struct_size, 0);
AT(pbay_event, n_keys, 4);
AT(pbay_event, keys, 8);
AT(pbay_event, type, 16);
AT(pbay_event, id, 32);
AT(pbay_event, subject, 48);
AT(pbay_event, time_ms, 64);
AT(pbay_event, data, 72);

SIZE(pbay_event_1, 24);
AT(pbay_event_1, struct_size, 0);
AT(pbay_event_1, reserved, 4);
AT(pbay_event_1, put, 8);
AT(pbay_event_1, polled, 16);

SIZE(pbay_job_state, 152);
AT(pbay_job_state, struct_size, 0);
AT(pbay_job_state, state, 4);
AT(pbay_job_state, known, 8);
AT(pbay_job_state, attempt, 12);
AT(pbay_job_state, id, 16);
AT(pbay_job_state, content_type, 32);
AT(pbay_job_state, result, 48);
AT(pbay_job_state, expires_ms, 64);
AT(pbay_job_state, failure, 72);
AT(pbay_job_state, input, 136);

SIZE(pbay_job_runner, 24);
AT(pbay_job_runner, struct_size, 0);
AT(pbay_job_runner, reserved, 4);
AT(pbay_job_runner, resume, 8);
AT(pbay_job_runner, cancel, 16);

SIZE(pbay_job_1, 64);
AT(pbay_job_1, struct_size, 0);
AT(pbay_job_1, reserved, 4);
AT(pbay_job_1, enqueue, 8);
AT(pbay_job_1, park, 16);
AT(pbay_job_1, finish, 24);
AT(pbay_job_1, find, 32);
AT(pbay_job_1, result, 40);
AT(pbay_job_1, cancel, 48);
AT(pbay_job_1, on_resume, 56);

SIZE(pbay_limit_1, 16);
AT(pbay_limit_1, struct_size, 0);
AT(pbay_limit_1, reserved, 4);
AT(pbay_limit_1, take, 8);

SIZE(pbay_command, 40);
AT(pbay_command, verb, 0);
AT(pbay_command, doc, 8);
AT(pbay_command, flags, 16);
AT(pbay_command, reserved, 20);
AT(pbay_command, arguments, 24);

SIZE(pbay_commands_1, 40);
AT(pbay_commands_1, struct_size, 0);
AT(pbay_commands_1, n_commands, 4);
AT(pbay_commands_1, commands, 8);
AT(pbay_commands_1, command_stride, 16);
AT(pbay_commands_1, reserved, 20);
AT(pbay_commands_1, run, 24);
AT(pbay_commands_1, cancel, 32);

SIZE(pbay_command_1, 32);
AT(pbay_command_1, struct_size, 0);
AT(pbay_command_1, reserved, 4);
AT(pbay_command_1, print, 8);
AT(pbay_command_1, progress, 16);
AT(pbay_command_1, done, 24);

SIZE(pbay_request_1, 24);
AT(pbay_request_1, struct_size, 0);
AT(pbay_request_1, reserved, 4);
AT(pbay_request_1, accept, 8);
AT(pbay_request_1, respond, 16);

SIZE(pbay_batch_1, 224);
AT(pbay_batch_1, struct_size, 0);
AT(pbay_batch_1, reserved, 4);
AT(pbay_batch_1, create, 8);
AT(pbay_batch_1, free, 16);
AT(pbay_batch_1, add_column, 24);
AT(pbay_batch_1, num, 32);
AT(pbay_batch_1, text, 40);
AT(pbay_batch_1, dual, 48);
AT(pbay_batch_1, null, 56);
AT(pbay_batch_1, nums, 64);
AT(pbay_batch_1, texts, 72);
AT(pbay_batch_1, texts_done, 80);
AT(pbay_batch_1, copy, 88);
AT(pbay_batch_1, row_error, 96);
AT(pbay_batch_1, seal, 104);
AT(pbay_batch_1, clear_rows, 112);
AT(pbay_batch_1, reset, 120);
AT(pbay_batch_1, to_num, 128);
AT(pbay_batch_1, json_text, 136);
AT(pbay_batch_1, reader, 144);
AT(pbay_batch_1, feed, 152);
AT(pbay_batch_1, finish, 160);
AT(pbay_batch_1, numbers, 168);
AT(pbay_batch_1, reader_free, 176);
AT(pbay_batch_1, writer, 184);
AT(pbay_batch_1, write, 192);
AT(pbay_batch_1, text_of, 200);
AT(pbay_batch_1, writer_reset, 208);
AT(pbay_batch_1, writer_free, 216);

SIZE(pbay_identity, 72);
AT(pbay_identity, struct_size, 0);
AT(pbay_identity, reserved, 4);
AT(pbay_identity, user, 8);
AT(pbay_identity, app, 24);
AT(pbay_identity, principal, 40);
AT(pbay_identity, source, 56);

SIZE(pbay_call_1, 112);
AT(pbay_call_1, struct_size, 0);
AT(pbay_call_1, reserved, 4);
AT(pbay_call_1, deadline, 8);
AT(pbay_call_1, identity, 16);
AT(pbay_call_1, function, 24);
AT(pbay_call_1, options, 32);
AT(pbay_call_1, traceparent, 40);
AT(pbay_call_1, attempt, 48);
AT(pbay_call_1, complete, 56);
AT(pbay_call_1, ready, 64);
AT(pbay_call_1, emit, 72);
AT(pbay_call_1, describe, 80);
AT(pbay_call_1, no_store, 88);
AT(pbay_call_1, set_user, 96);
AT(pbay_call_1, user, 104);

SIZE(pbay_crypto_1, 104);
AT(pbay_crypto_1, struct_size, 0);
AT(pbay_crypto_1, reserved, 4);
AT(pbay_crypto_1, hash, 8);
AT(pbay_crypto_1, hmac, 16);
AT(pbay_crypto_1, equal, 24);
AT(pbay_crypto_1, random, 32);
AT(pbay_crypto_1, key_load, 40);
AT(pbay_crypto_1, key_free, 48);
AT(pbay_crypto_1, sign, 56);
AT(pbay_crypto_1, verify, 64);
AT(pbay_crypto_1, public_der, 72);
AT(pbay_crypto_1, deflate, 80);
AT(pbay_crypto_1, inflate, 88);
AT(pbay_crypto_1, release, 96);

SIZE(pbay_http_request, 104);
AT(pbay_http_request, struct_size, 0);
AT(pbay_http_request, flags, 4);
AT(pbay_http_request, method, 8);
AT(pbay_http_request, url, 24);
AT(pbay_http_request, headers, 40);
AT(pbay_http_request, n_headers, 48);
AT(pbay_http_request, reserved, 52);
AT(pbay_http_request, body, 56);
AT(pbay_http_request, body_length, 72);
AT(pbay_http_request, timeout_ms, 80);
AT(pbay_http_request, connect_timeout_ms, 88);
AT(pbay_http_request, max_reply, 96);

SIZE(pbay_http_reply, 104);
AT(pbay_http_reply, struct_size, 0);
AT(pbay_http_reply, status, 4);
AT(pbay_http_reply, headers, 8);
AT(pbay_http_reply, n_headers, 16);
AT(pbay_http_reply, connection_reused, 20);
AT(pbay_http_reply, body, 24);
AT(pbay_http_reply, result, 40);

SIZE(pbay_http_events, 40);
AT(pbay_http_events, struct_size, 0);
AT(pbay_http_events, reserved, 4);
AT(pbay_http_events, on_head, 8);
AT(pbay_http_events, on_data, 16);
AT(pbay_http_events, on_writable, 24);
AT(pbay_http_events, on_done, 32);

SIZE(pbay_http_1, 48);
AT(pbay_http_1, struct_size, 0);
AT(pbay_http_1, reserved, 4);
AT(pbay_http_1, send, 8);
AT(pbay_http_1, write, 16);
AT(pbay_http_1, finish, 24);
AT(pbay_http_1, credit, 32);
AT(pbay_http_1, cancel, 40);

SIZE(pbay_invoke_function, 56);
AT(pbay_invoke_function, struct_size, 0);
AT(pbay_invoke_function, shape, 4);
AT(pbay_invoke_function, flags, 8);
AT(pbay_invoke_function, n_params, 12);
AT(pbay_invoke_function, params, 16);
AT(pbay_invoke_function, n_returns, 24);
AT(pbay_invoke_function, reserved, 28);
AT(pbay_invoke_function, returns, 32);
AT(pbay_invoke_function, doc, 40);

SIZE(pbay_invoke_info, 136);
AT(pbay_invoke_info, struct_size, 0);
AT(pbay_invoke_info, kind, 4);
AT(pbay_invoke_info, target, 8);
AT(pbay_invoke_info, flags, 24);
AT(pbay_invoke_info, n_options, 28);
AT(pbay_invoke_info, options, 32);
AT(pbay_invoke_info, parent_call, 40);
AT(pbay_invoke_info, parent_request, 48);
AT(pbay_invoke_info, deadline, 56);
AT(pbay_invoke_info, user, 64);
AT(pbay_invoke_info, app, 80);
AT(pbay_invoke_info, key, 96);
AT(pbay_invoke_info, sends, 112);
AT(pbay_invoke_info, answers, 120);
AT(pbay_invoke_info, n_sends, 128);
AT(pbay_invoke_info, n_answers, 132);

SIZE(pbay_invoke_events, 40);
AT(pbay_invoke_events, struct_size, 0);
AT(pbay_invoke_events, reserved, 4);
AT(pbay_invoke_events, on_ready, 8);
AT(pbay_invoke_events, on_describe, 16);
AT(pbay_invoke_events, on_rows, 24);
AT(pbay_invoke_events, on_done, 32);

SIZE(pbay_invoke_1, 64);
AT(pbay_invoke_1, struct_size, 0);
AT(pbay_invoke_1, reserved, 4);
AT(pbay_invoke_1, describe, 8);
AT(pbay_invoke_1, open, 16);
AT(pbay_invoke_1, push, 24);
AT(pbay_invoke_1, end, 32);
AT(pbay_invoke_1, credit, 40);
AT(pbay_invoke_1, cancel, 48);
AT(pbay_invoke_1, nth, 56);

SIZE(pbay_kv_1, 24);
AT(pbay_kv_1, struct_size, 0);
AT(pbay_kv_1, reserved, 4);
AT(pbay_kv_1, get, 8);
AT(pbay_kv_1, put, 16);

SIZE(pbay_log_1, 24);
AT(pbay_log_1, struct_size, 0);
AT(pbay_log_1, reserved, 4);
AT(pbay_log_1, enabled, 8);
AT(pbay_log_1, write, 16);

SIZE(pbay_metric_1, 32);
AT(pbay_metric_1, struct_size, 0);
AT(pbay_metric_1, reserved, 4);
AT(pbay_metric_1, slot, 8);
AT(pbay_metric_1, add, 16);
AT(pbay_metric_1, set, 24);

SIZE(pbay_secret_1, 24);
AT(pbay_secret_1, struct_size, 0);
AT(pbay_secret_1, reserved, 4);
AT(pbay_secret_1, get, 8);
AT(pbay_secret_1, refused, 16);

SIZE(pbay_timer_1, 40);
AT(pbay_timer_1, struct_size, 0);
AT(pbay_timer_1, reserved, 4);
AT(pbay_timer_1, monotonic_ns, 8);
AT(pbay_timer_1, now_ms, 16);
AT(pbay_timer_1, start, 24);
AT(pbay_timer_1, cancel, 32);

SIZE(pbay_work_1, 16);
AT(pbay_work_1, struct_size, 0);
AT(pbay_work_1, reserved, 4);
AT(pbay_work_1, submit, 8);

SIZE(pbay_stream_open_info, 48);
AT(pbay_stream_open_info, struct_size, 0);
AT(pbay_stream_open_info, flags, 4);
AT(pbay_stream_open_info, host, 8);
AT(pbay_stream_open_info, port, 24);
AT(pbay_stream_open_info, reserved, 28);
AT(pbay_stream_open_info, connect_timeout_ms, 32);
AT(pbay_stream_open_info, idle_timeout_ms, 40);

SIZE(pbay_stream_events, 48);
AT(pbay_stream_events, struct_size, 0);
AT(pbay_stream_events, reserved, 4);
AT(pbay_stream_events, on_open, 8);
AT(pbay_stream_events, on_data, 16);
AT(pbay_stream_events, on_drained, 24);
AT(pbay_stream_events, on_end, 32);
AT(pbay_stream_events, on_close, 40);

SIZE(pbay_stream_1, 48);
AT(pbay_stream_1, struct_size, 0);
AT(pbay_stream_1, reserved, 4);
AT(pbay_stream_1, open, 8);
AT(pbay_stream_1, write, 16);
AT(pbay_stream_1, credit, 24);
AT(pbay_stream_1, half_close, 32);
AT(pbay_stream_1, close, 40);

SIZE(pbay_ws_open_info, 88);
AT(pbay_ws_open_info, struct_size, 0);
AT(pbay_ws_open_info, flags, 4);
AT(pbay_ws_open_info, url, 8);
AT(pbay_ws_open_info, headers, 24);
AT(pbay_ws_open_info, n_headers, 32);
AT(pbay_ws_open_info, max_frame, 36);
AT(pbay_ws_open_info, max_message, 40);
AT(pbay_ws_open_info, max_send, 48);
AT(pbay_ws_open_info, connect_timeout_ms, 56);
AT(pbay_ws_open_info, ping_ms, 64);
AT(pbay_ws_open_info, protocols, 72);

SIZE(pbay_ws_events, 40);
AT(pbay_ws_events, struct_size, 0);
AT(pbay_ws_events, reserved, 4);
AT(pbay_ws_events, on_open, 8);
AT(pbay_ws_events, on_message, 16);
AT(pbay_ws_events, on_writable, 24);
AT(pbay_ws_events, on_close, 32);

SIZE(pbay_ws_1, 40);
AT(pbay_ws_1, struct_size, 0);
AT(pbay_ws_1, reserved, 4);
AT(pbay_ws_1, open, 8);
AT(pbay_ws_1, send, 16);
AT(pbay_ws_1, credit, 24);
AT(pbay_ws_1, close, 32);

SIZE(pbay_chain_1, 16);
AT(pbay_chain_1, struct_size, 0);
AT(pbay_chain_1, reserved, 4);
AT(pbay_chain_1, graph, 8);

SIZE(pbay_secrets_1, 24);
AT(pbay_secrets_1, struct_size, 0);
AT(pbay_secrets_1, n_schemes, 4);
AT(pbay_secrets_1, schemes, 8);
AT(pbay_secrets_1, resolve, 16);

SIZE(pbay_resolve_1, 16);
AT(pbay_resolve_1, struct_size, 0);
AT(pbay_resolve_1, reserved, 4);
AT(pbay_resolve_1, resolved, 8);

/* clang-format on */
#endif

int main(void)
{
    return 0; /* compiling it was the test */
}
