/* SPDX-License-Identifier: MIT */
/*
 * A library that uses every type of the SDK's headers: what the dump of the ABI is made of. It does nothing,
 * and is never installed.
 */
#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/functions.h>
#include <patchbay/health.h>
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
#include <patchbay/plugin.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>
#include <patchbay/types.h>

/* One member for each struct; what they point to follows from there. */
struct pbay_every {
    const pbay_action *action;
    const pbay_action_1 *action_1;
    const pbay_action_info *action_info;
    const pbay_actions_1 *actions_1;
    const pbay_batch *batch;
    const pbay_batch_1 *batch_1;
    const pbay_call_1 *call_1;
    const pbay_chain_1 *chain_1;
    const pbay_codec *codec;
    const pbay_column *column;
    const pbay_command *command;
    const pbay_command_1 *command_1;
    const pbay_commands_1 *commands_1;
    const pbay_crypto_1 *crypto_1;
    const pbay_descriptor *descriptor;
    const pbay_entry *entry;
    const pbay_event *event;
    const pbay_event_1 *event_1;
    const pbay_events_1 *events_1;
    const pbay_field *field;
    const pbay_function_info *function_info;
    const pbay_functions_1 *functions_1;
    const pbay_header *header;
    const pbay_health_1 *health_1;
    const pbay_host *host;
    const pbay_http_1 *http_1;
    const pbay_http_events *http_events;
    const pbay_http_reply *http_reply;
    const pbay_http_request *http_request;
    const pbay_identity *identity;
    const pbay_invoke_1 *invoke_1;
    const pbay_invoke_events *invoke_events;
    const pbay_invoke_function *invoke_function;
    const pbay_invoke_info *invoke_info;
    const pbay_job_1 *job_1;
    const pbay_job_runner *job_runner;
    const pbay_job_state *job_state;
    const pbay_kv_1 *kv_1;
    const pbay_limit_1 *limit_1;
    const pbay_log_1 *log_1;
    const pbay_metric_1 *metric_1;
    const pbay_operation *operation;
    const pbay_option *option;
    const pbay_option_table *option_table;
    const pbay_request_1 *request_1;
    const pbay_request_info *request_info;
    const pbay_resolve_1 *resolve_1;
    const pbay_result *result;
    const pbay_route *route;
    const pbay_routes_1 *routes_1;
    const pbay_row_error *row_error;
    const pbay_secret_1 *secret_1;
    const pbay_secrets_1 *secrets_1;
    const pbay_source *source;
    const pbay_str *str;
    const pbay_stream_1 *stream_1;
    const pbay_stream_events *stream_events;
    const pbay_stream_open_info *stream_open_info;
    const pbay_timer_1 *timer_1;
    const pbay_work_1 *work_1;
    const pbay_ws_1 *ws_1;
    const pbay_ws_events *ws_events;
    const pbay_ws_open_info *ws_open_info;
};

PBAY_EXPORT extern const struct pbay_every pbay_every;
const struct pbay_every pbay_every = {0};
PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    return 0;
}
