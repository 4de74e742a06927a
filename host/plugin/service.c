/* SPDX-License-Identifier: MIT */
/* Which services there are: by id, as far as the environment has what they stand on. */
#include <patchbay/commands.h>
#include <patchbay/actions.h>
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
#include <patchbay/secrets.h>

#include <string.h>

#include "plugin/connector_priv.h"
#include "plugin/services.h"

const void *pb_service(const struct pb_connector *c, const char *id)
{
    const struct pb_plugin_env *env = c->env;
    const struct {
        const char *id;
        const void *table;
        bool there;
    } all[] = {
        {PBAY_SVC_ACTION, &pb_service_action, true},
        {PBAY_SVC_BATCH, &pb_service_batch, true},
        {PBAY_SVC_CALL, &pb_service_call, true},
        {PBAY_SVC_CHAIN, &pb_service_chain, env->chains},
        {PBAY_SVC_COMMAND, &pb_service_command, true},
        {PBAY_SVC_CRYPTO, &pb_service_crypto, true},
        {PBAY_SVC_EVENT, &pb_service_event, true},
        {PBAY_SVC_HTTP, &pb_service_http, env->http || env->explain},
        {PBAY_SVC_INVOKE, &pb_service_invoke, env->invoker},
        {PBAY_SVC_JOB, &pb_service_job, true},
        {PBAY_SVC_KV, &pb_service_kv, true},
        {PBAY_SVC_LIMIT, &pb_service_limit, true},
        {PBAY_SVC_LOG, &pb_service_log, true},
        {PBAY_SVC_METRIC, &pb_service_metric, env->metrics},
        {PBAY_SVC_REQUEST, env->requests, env->requests},
        {PBAY_SVC_SECRET, &pb_service_secret, true},
        {PBAY_SVC_RESOLVE, &pb_service_resolve, true},
        {PBAY_SVC_STREAM, &pb_service_stream, env->outgoing && !env->explain},
        {PBAY_SVC_TIMER, &pb_service_timer, true},
        {PBAY_SVC_WORK, &pb_service_work, true},
        {PBAY_SVC_WS, &pb_service_ws, env->outgoing || env->explain},
    };
    const void *table;
    if (env->instead && env->instead(id, &table)) return table;
    for (size_t i = 0; i < PB_COUNTOF(all); i++)
        if (all[i].there && !strcmp(id, all[i].id)) return all[i].table;
    return NULL;
}
