/* SPDX-License-Identifier: MIT */
/* Entry: options of the connector, life of an instance, and the table of operations. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/health.h>

#include "actions.h"
#include "events.h"
#include "parameters.h"
#include "policy.h"
#include "qrag.h"
#include "sagemaker.h"

static const pbay_option OPTIONS[] = {
    {"region", PBAY_OPT_STR, 0, NULL, NULL,
     "AWS region; else AWS_REGION, AWS_DEFAULT_REGION, the profile's region"},
    {"endpoint_url", PBAY_OPT_STR, 0, NULL, NULL,
     "where requests to all services go instead of AWS's own addresses for the region; an http:// URL is "
     "allowed here"},
    {"service_url", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "service_url.ID = URL: the same for one service: sagemaker_runtime, sagemaker, s3, sts, ssm, "
     "secrets_manager, sqs, "
     "sso"},
    {"allow_regions", PBAY_OPT_LIST, 0, NULL, NULL,
     "regions that callers and rows may name beside the connector's own"},
    {"allow_endpoints", PBAY_OPT_LIST, 0, NULL, NULL,
     "endpoints that callers may name (Snowflake's headers, other plugins); churn-* is every one that begins "
     "so; "
     "functions of this file need no leave"},
    {"use_fips", PBAY_OPT_BOOL, 0, NULL, NULL, "AWS's FIPS 140 addresses; else AWS_USE_FIPS_ENDPOINT"},
    {"credential_source", PBAY_OPT_ENUM, 0, "auto",
     "auto|environment|profile|web_identity|container|instance",
     "where keys come from; auto: the first of these that is configured"},
    {"profile", PBAY_OPT_STR, 0, NULL, NULL,
     "profile in ~/.aws/config and ~/.aws/credentials; else AWS_PROFILE"},
    {"access_key_id", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "keys of one's own, instead of the environment's"},
    {"secret_access_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "goes with access_key_id"},
    {"session_token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "goes with temporary keys"},
    {"poll_interval", PBAY_OPT_DURATION, 0, "30s", "100ms..1h",
     "between looks at jobs and endpoints that are not ready yet"},
    {"queue_url", PBAY_OPT_STR, 0, NULL, NULL, "of the SQS queue that the source `queue` reads"},
    {"secret_ttl", PBAY_OPT_DURATION, 0, "1h", "0s..7d",
     "values behind ssm: and secretsmanager: are asked for again after so long; 0s: only when they were "
     "refused"},
    {"role_arn", PBAY_OPT_STR, 0, NULL, NULL,
     "a role to take with those keys (AssumeRole), renewed before it expires"},
    {"external_id", PBAY_OPT_STR, 0, NULL, NULL,
     "goes with role_arn where the role's trust policy asks for one"},
    {"role_session_name", PBAY_OPT_STR, 0, NULL, NULL, "goes with role_arn; shown in CloudTrail"},
};

enum {
    INVOKE,
    REST_SINGLE,
    REST_30,
    ECHO_TABLE,
    TRAIN,
    INVOKE_ASYNC,
    REST_TEMPLATE,
    REST_DATAFRAME,
    WS_SINGLE,
    WS_BATCH,
    N_OPERATIONS
};

static const struct operation *const OPERATIONS[N_OPERATIONS] = {
    [INVOKE] = &invoke_operation,
    [REST_SINGLE] = &rest_single_operation,
    [REST_30] = &rest_30_operation,
    [ECHO_TABLE] = &echo_table_operation,
    [TRAIN] = &train_operation,
    [INVOKE_ASYNC] = &invoke_async_operation,
    [REST_TEMPLATE] = &rest_template_operation,
    [REST_DATAFRAME] = &rest_dataframe_operation,
    [WS_SINGLE] = &ws_single_operation,
    [WS_BATCH] = &ws_batch_operation,
};

int32_t sagemaker_refuse(struct sagemaker *sm, pbay_result *why, int32_t code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sm->why, sizeof sm->why, fmt, ap);
    va_end(ap);
    why->struct_size = sizeof *why;
    why->code = code;
    why->message = (pbay_str){sm->why, strlen(sm->why)};
    return code;
}

int64_t sagemaker_timeout(const struct sagemaker *sm, pbay_call call, int64_t most_ms)
{
    int64_t deadline = sm->call->deadline(call);
    if (deadline == INT64_MAX) return most_ms;
    int64_t left = (deadline - sm->timer->monotonic_ns()) / 1000000 + 1;
    if (left < 1) left = 1;
    return left < most_ms ? left : most_ms;
}

/* A source that is switched on and has nothing to ask. */
static int polls_nothing(const pbay_host *host, const pbay_config *config)
{
    for (uint32_t i = 0; i < host->count(config, "poll"); i++) {
        pbay_str key, value = host->item(config, "poll", i, &key);
        if (key.n == 5 && memcmp(key.p, "queue", 5) == 0 && !(value.n == 2 && memcmp(value.p, "no", 2) == 0))
            return !host->get_str(config, "queue_url").n;
    }
    return 0;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    static char text[512];
    struct sagemaker *sm = calloc(1, sizeof *sm);
    if (!sm) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    sm->host = host;
    sm->config = config;
    sm->batch = host->service(host, PBAY_SVC_BATCH);
    sm->call = host->service(host, PBAY_SVC_CALL);
    sm->crypto = host->service(host, PBAY_SVC_CRYPTO);
    sm->http = host->service(host, PBAY_SVC_HTTP);
    sm->log = host->service(host, PBAY_SVC_LOG);
    sm->secret = host->service(host, PBAY_SVC_SECRET);
    sm->timer = host->service(host, PBAY_SVC_TIMER);
    sm->work = host->service(host, PBAY_SVC_WORK);
    sm->action = host->service(host, PBAY_SVC_ACTION);
    sm->command = host->service(host, PBAY_SVC_COMMAND);
    sm->event = host->service(host, PBAY_SVC_EVENT);
    sm->request = host->service(host, PBAY_SVC_REQUEST);
    sm->resolve = host->service(host, PBAY_SVC_RESOLVE);
    sm->secret_ttl_ms = host->get_int(config, "secret_ttl");
    sm->poll_ms = host->get_int(config, "poll_interval");
    const char *missing = !sm->batch    ? PBAY_SVC_BATCH
                          : !sm->call   ? PBAY_SVC_CALL
                          : !sm->crypto ? PBAY_SVC_CRYPTO
                          : !sm->http   ? PBAY_SVC_HTTP
                          : !sm->timer  ? PBAY_SVC_TIMER
                                        : NULL;
    const char *wrong = NULL, *option = missing ? NULL : aws_settings_wrong(host, config, &wrong);
    why->struct_size = sizeof *why;
    why->code = PBAY_OK;
    if (missing) {
        snprintf(text, sizeof text, "this host does not offer %s", missing);
        why->code = PBAY_FAILED_PRECONDITION;
    } else if (option) {
        pbay_str where = host->where(config, option);
        snprintf(text, sizeof text, "%.*s: %s %s", (int)where.n, where.n ? where.p : "", option, wrong);
        why->code = PBAY_INVALID_ARGUMENT;
    } else if (polls_nothing(host, config)) {
        pbay_str where = host->where(config, "poll");
        snprintf(text, sizeof text, "%.*s: poll.queue wants queue_url: the URL of the SQS queue",
                 (int)where.n, where.n ? where.p : "");
        why->code = PBAY_INVALID_ARGUMENT;
    } else {
        struct aws_tools tools = {host,      sm->http, sm->crypto,
                                  sm->timer, sm->work, pbay_sigv4_new(sm->crypto)};
        aws_init(&sm->aws, &tools, config, sm->secret, sm->log);
        if (!tools.signer) {
            snprintf(text, sizeof text, "out of memory");
            why->code = PBAY_RESOURCE_EXHAUSTED;
        }
    }
    if (why->code != PBAY_OK) {
        why->message = (pbay_str){text, strlen(text)};
        free(sm);
        return why->code;
    }
    *self = sm;
    return PBAY_OK;
}

/* Missing keys are no reason not to start: other operations need none, and they may come later. */
static int32_t start(void *self, pbay_result *why)
{
    struct sagemaker *sm = self;
    (void)why;
    aws_start(&sm->aws);
    return PBAY_OK;
}

static void stop(void *self)
{
    struct sagemaker *sm = self;
    parameters_stop(sm);
    aws_stop(&sm->aws);
}

static void destroy(void *self)
{
    struct sagemaker *sm = self;
    aws_free(&sm->aws);
    pbay_sigv4_free(sm->aws.t.signer);
    volatile char *wipe = (volatile char *)sm;
    for (size_t i = 0; i < sizeof *sm; i++) wipe[i] = 0;
    free(sm);
}

/* ------------------------------------------------------------------------------------------------ functions
 */

static const struct operation *of(void *bound)
{
    return *(const struct operation *const *)bound;
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    return OPERATIONS[info->operation]->bind(self, info, bound, why);
}

static void unbind(void *self, void *bound)
{
    of(bound)->unbind(self, bound);
}

static pbay_str lane(void *self, void *bound)
{
    (void)self;
    return of(bound)->lane(bound);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    return of(bound)->submit(self, bound, call, in, why);
}

static int32_t open(void *self, void *bound, pbay_call call, pbay_result *why)
{
    return of(bound)->open(self, bound, call, why);
}

static int32_t push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    return of(bound)->push(self, bound, call, in, why);
}

static void end(void *self, void *bound, pbay_call call)
{
    of(bound)->end(self, bound, call);
}

static void writable(void *self, void *bound, pbay_call call)
{
    of(bound)->writable(self, bound, call);
}

static void cancel(void *self, void *bound, pbay_call call)
{
    of(bound)->cancel(self, bound, call);
}

static uint32_t health(void *self, pbay_str *sentence)
{
    struct sagemaker *sm = self;
    const struct aws *a = &sm->aws;
    if (a->have || a->chain || !a->fetched_ns) return PBAY_UP;
    *sentence = (pbay_str){a->why, strlen(a->why)};
    return PBAY_DEGRADED;
}

static const void *extension(const char *id)
{
    static pbay_operation operations[N_OPERATIONS];
    static const pbay_functions_1 functions = {
        .struct_size = sizeof functions,
        .n_operations = N_OPERATIONS,
        .operations = operations,
        .operation_stride = sizeof(pbay_operation),
        .bind = bind,
        .unbind = unbind,
        .lane = lane,
        .submit = submit,
        .open = open,
        .push = push,
        .end = end,
        .writable = writable,
        .cancel = cancel,
    };
    static const pbay_health_1 healths = {sizeof healths, 0, health};
    if (strcmp(id, PBAY_EXT_HEALTH) == 0) return &healths;
    if (strcmp(id, PBAY_EXT_ROUTES) == 0) return &sagemaker_routes;
    if (strcmp(id, PBAY_EXT_EVENTS) == 0) return &sagemaker_events;
    if (strcmp(id, PBAY_EXT_COMMANDS) == 0) return &sagemaker_commands;
    if (strcmp(id, PBAY_EXT_SECRETS) == 0) return &sagemaker_secrets;
    if (strcmp(id, PBAY_EXT_ACTIONS) == 0) return sagemaker_actions();
    if (strcmp(id, PBAY_EXT_FUNCTIONS) != 0) return NULL;
    /* The option tables live in the operations' own files. */
    const pbay_option_table invoke = {invoke_options, invoke_n_options, sizeof(pbay_option)};
    const pbay_option_table rest = {rest_options, rest_n_options, sizeof(pbay_option)};
    const pbay_option_table none = {NULL, 0, sizeof(pbay_option)};
    operations[INVOKE] =
        (pbay_operation){"invoke", "Score rows with a SageMaker endpoint: one InvokeEndpoint per batch.",
                         PBAY_SHAPE_MAP, 0, invoke};
    operations[REST_SINGLE] =
        (pbay_operation){"rest_single", "POST {\"data\": first column} to a URL, one request per row.",
                         PBAY_SHAPE_MAP, 0, rest};
    operations[REST_30] =
        (pbay_operation){"rest_30", "POST {\"data\": all columns joined by commas}, one request per row.",
                         PBAY_SHAPE_MAP, 0, rest};
    operations[ECHO_TABLE] =
        (pbay_operation){"echo_table", "Answer the rows as they came.", PBAY_SHAPE_MAP, 0, none};
    operations[INVOKE_ASYNC] =
        (pbay_operation){"invoke_async",
                         "Score rows with an asynchronous endpoint; answers are fetched from S3.",
                         PBAY_SHAPE_MAP,
                         0,
                         {invoke_async_options, invoke_async_n_options, sizeof(pbay_option)}};
    operations[TRAIN] = (pbay_operation){
        "train",
        "Rows to S3 and an AutoML job; the answer says how the job of these rows (or this key) is.",
        PBAY_SHAPE_TABLE,
        PBAY_OPF_EFFECTS,
        {train_options, train_n_options, sizeof(pbay_option)}};
    operations[REST_TEMPLATE] =
        (pbay_operation){"rest_template",
                         "GET url + first column + ?query_parameter=second column&, one request per row.",
                         PBAY_SHAPE_MAP,
                         0,
                         {template_options, template_n_options, sizeof(pbay_option)}};
    operations[REST_DATAFRAME] = (pbay_operation){
        "rest_dataframe",
        "POST rows as a pandas data frame, as Databricks and MLflow score them, a request per batch.",
        PBAY_SHAPE_MAP,
        0,
        {dataframe_options, dataframe_n_options, sizeof(pbay_option)}};
    operations[WS_SINGLE] =
        (pbay_operation){"ws_single",
                         "A WebSocket message with the first column per row, and an answer to each.",
                         PBAY_SHAPE_MAP,
                         0,
                         {ws_single_options, ws_single_n_options, sizeof(pbay_option)}};
    operations[WS_BATCH] =
        (pbay_operation){"ws_batch",
                         "A WebSocket message per batch_size rows, and an answer to each row.",
                         PBAY_SHAPE_MAP,
                         0,
                         {ws_batch_options, ws_batch_n_options, sizeof(pbay_option)}};
    return &functions;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "sagemaker",
        .version = "0.1.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Amazon SageMaker endpoints, and REST endpoints of an older gateway",
        .options = {OPTIONS, sizeof OPTIONS / sizeof *OPTIONS, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         start,
                                     stop,       destroy,      extension};
    return &entry;
}
