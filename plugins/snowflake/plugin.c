/* SPDX-License-Identifier: MIT */
/* Entry: options of the connector, life of an instance, and the tables of what it offers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "flight.h"
#include "park.h"
#include "route.h"
#include "score.h"
#include "sql.h"
#include "sql_actions.h"
#include "sql_query.h"

static const pbay_option OPTIONS[] = {
    {"secret", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "what the proxy says in secret_header; without it callers need a key, a token or a certificate of the "
     "listener"},
    {"secret_next", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "is taken as well: for changing the secret"},
    {"secret_header", PBAY_OPT_STR, 0, "x-patchbay-secret", NULL, "the header that the proxy puts it in"},
    {"trust_network", PBAY_OPT_BOOL, 0, "no", NULL,
     "take callers that say nothing of themselves: only where nobody but Snowflake reaches the listener "
     "(SPCS)"},
    {"accounts", PBAY_OPT_LIST, 0, NULL, NULL,
     "accounts that sf-context-current-account may name; functions need CONTEXT_HEADERS = (current_account)"},
    {"functions", PBAY_OPT_LIST, 0, NULL, NULL,
     "functions that Snowflake may call; empty: all map functions"},
    {"async_after", PBAY_OPT_DURATION, 0, "20s", "0ms..50s",
     "a batch that takes longer is answered 202 and fetched later; API Gateway gives up after 29 s"},
    {"results_ttl", PBAY_OPT_DURATION, 0, "12h", "10m..7d", "how long results wait for being fetched"},
    {"max_reply", PBAY_OPT_SIZE, 0, "10000000", "1k..64M",
     "a larger reply is an error; Snowflake takes 10 MB"},
    {"in_flight", PBAY_OPT_INT, 0, "256", "1..100000",
     "batches at once in a worker; more are answered 429, on which Snowflake slows down"},
    {"errors", PBAY_OPT_ENUM, 0, "batch", "batch|rows",
     "a row that fails: ends the batch, or is {\"error\": ...} in its place; the header patchbay-errors of a "
     "function says otherwise for it"},
    {"content_md5", PBAY_OPT_BOOL, 0, "no", NULL,
     "put Content-MD5 on replies that are not compressed; a proxy that compresses them makes it wrong, and "
     "it "
     "takes a third of the time of a large batch"},
    {"sagemaker", PBAY_OPT_STR, 0, NULL, NULL,
     "the sagemaker connector behind SAGEMAKER_INVOKE, train_and_get_recommendations, deploy_model and the "
     "others; "
     "unset: there are none of these"},
    {"regions", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "regions.NAME = connector: other sagemaker connectors, for the header sagemaker-region of a function"},
    {"account", PBAY_OPT_STR, 0, NULL, NULL,
     "for asking Snowflake: the account's identifier (ORGANISATION-NAME), or its locator"},
    {"user", PBAY_OPT_STR, 0, NULL, NULL, "whose key private_key is"},
    {"private_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "RSA key in PEM (file:PATH), for key-pair tokens"},
    {"private_key_passphrase", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "of an encrypted one"},
    {"token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "instead: a token that Snowflake, or its OAuth server, gave out"},
    {"token_type", PBAY_OPT_ENUM, 0, "programmatic", "programmatic|oauth", "what kind of token it is"},
    {"snowflake_url", PBAY_OPT_STR, 0, NULL, NULL, "instead of https://ACCOUNT.snowflakecomputing.com"},
    {"warehouse", PBAY_OPT_STR, 0, NULL, NULL, "of statements; else the user's own"},
    {"database", PBAY_OPT_STR, 0, NULL, NULL, "of statements"},
    {"schema", PBAY_OPT_STR, 0, NULL, NULL, "of statements"},
    {"role", PBAY_OPT_STR, 0, NULL, NULL, "of statements; else the user's own"},
    {"unique_id", PBAY_OPT_STR, 0, NULL, NULL,
     "of the older set-up: the bucket is sagemaker-snf-demo-ID unless s3_bucket says another"},
    {"region", PBAY_OPT_STR, 0, NULL, NULL, "AWS region of `sagemaker`, and hyperparameter of training jobs"},
    {"training_image_ecr_path", PBAY_OPT_STR, 0, NULL, NULL, "image of training jobs and of models"},
    {"sagemaker_role_arn", PBAY_OPT_STR, 0, NULL, NULL, "role of training jobs and of models"},
    {"s3_bucket", PBAY_OPT_STR, 0, NULL, NULL, "where training jobs put their models"},
    {"train_instance_type", PBAY_OPT_STR, 0, "ml.m5.xlarge", NULL, "machine of training jobs"},
    {"train_volume_gb", PBAY_OPT_INT, 0, "10", "1..16384", "its disk"},
    {"train_max_runtime", PBAY_OPT_DURATION, 0, "10000s", "1s..30d", "when a training job is stopped"},
    {"deploy_instance_type", PBAY_OPT_STR, 0, "ml.t2.medium", NULL, "machine of endpoints"},
    {"hyperparameter", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "hyperparameter.NAME = value: further ones of training jobs"},
    {"metric", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "metric.NAME = regular expression: MetricDefinitions of training jobs"},
};

int32_t snowflake_refuse(struct snowflake *s, pbay_result *why, int32_t code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->why, sizeof s->why, fmt, ap);
    va_end(ap);
    why->struct_size = sizeof *why;
    why->code = code;
    why->message = (pbay_str){s->why, strlen(s->why)};
    return code;
}

int snowflake_region(struct snowflake *s, pbay_str region, pbay_str *connector, pbay_result *why)
{
    *connector = s->host->get_str(s->config, "sagemaker");
    if (!region.n || str_eq(region, s->host->get_str(s->config, "region"))) return 0;
    for (uint32_t i = 0; i < s->host->count(s->config, "regions"); i++) {
        pbay_str key, value = s->host->item(s->config, "regions", i, &key);
        if (!str_eq(key, region)) continue;
        *connector = value;
        return 0;
    }
    snowflake_refuse(s, why, PBAY_PERMISSION_DENIED, "region \"%.*s\" is not one of regions",
                     region.n < 64 ? (int)region.n : 64, region.p);
    return -1;
}

/* ------------------------------------------------------------------------------------------------ life */

static const char *ask_services(struct snowflake *s)
{
    const pbay_host *h = s->host;
    s->action = h->service(h, PBAY_SVC_ACTION);
    s->batch = h->service(h, PBAY_SVC_BATCH);
    s->call = h->service(h, PBAY_SVC_CALL);
    s->command = h->service(h, PBAY_SVC_COMMAND);
    s->crypto = h->service(h, PBAY_SVC_CRYPTO);
    s->http = h->service(h, PBAY_SVC_HTTP);
    s->invoke = h->service(h, PBAY_SVC_INVOKE);
    s->log = h->service(h, PBAY_SVC_LOG);
    s->secret = h->service(h, PBAY_SVC_SECRET);
    s->timer = h->service(h, PBAY_SVC_TIMER);
    s->request = h->service(h, PBAY_SVC_REQUEST);
    return !s->batch                         ? PBAY_SVC_BATCH
           : !s->crypto                      ? PBAY_SVC_CRYPTO
           : !s->http                        ? PBAY_SVC_HTTP
           : !s->call                        ? PBAY_SVC_CALL
           : !s->invoke && !h->check_only(h) ? PBAY_SVC_INVOKE
           : !s->timer                       ? PBAY_SVC_TIMER
           : !s->request                     ? PBAY_SVC_REQUEST
                                             : NULL;
}

static int32_t read_options(struct snowflake *s, pbay_result *why)
{
    const pbay_host *h = s->host;
    pbay_str header = h->get_str(s->config, "secret_header");
    if (header.n >= sizeof s->lower || !header.n)
        return snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT,
                                "%s: secret_header is not the name of a header",
                                h->where(s->config, "secret_header").p);
    for (size_t i = 0; i < header.n; i++)
        s->lower[i] = (char)(header.p[i] >= 'A' && header.p[i] <= 'Z' ? header.p[i] | 32 : header.p[i]);
    s->async_after_ms = h->get_int(s->config, "async_after");
    s->results_ttl_ms = h->get_int(s->config, "results_ttl");
    s->max_reply = (uint64_t)h->get_int(s->config, "max_reply");
    s->in_flight = (uint32_t)h->get_int(s->config, "in_flight");
    s->rows_mode = h->get_int(s->config, "errors") == 1;
    s->two_secrets = h->is_set(s->config, "secret_next");
    s->md5 = h->get_int(s->config, "content_md5") != 0;
    return PBAY_OK;
}

static void destroy(void *self)
{
    struct snowflake *s = self;
    flights_free(s->flights);
    sql_free(s->sql);
    free(s);
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    static struct snowflake refused; /* holds the message until the next call */
    struct snowflake *s = calloc(1, sizeof *s);
    if (!s) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    s->host = host;
    s->config = config;
    const char *missing = ask_services(s);
    int32_t code =
        missing ? snowflake_refuse(s, why, PBAY_FAILED_PRECONDITION, "this host does not offer %s", missing)
                : read_options(s, why);
    if (code == PBAY_OK && !(s->flights = flights_new(s)))
        code = snowflake_refuse(s, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    why->code = code;
    if (code == PBAY_OK && !(s->sql = sql_new(s, why)) && why->code != PBAY_OK) {
        code = why->code;
        if (why->message.p != s->why)
            snowflake_refuse(s, why, code, "private_key: %.*s", (int)why->message.n, why->message.p);
    }
    if (code != PBAY_OK) {
        memcpy(refused.why, s->why, sizeof refused.why);
        why->message = (pbay_str){refused.why, strlen(refused.why)};
        destroy(s);
        return code;
    }
    park_init(s);
    *self = s;
    return PBAY_OK;
}

static void stop(void *self)
{
    flights_stop(((struct snowflake *)self)->flights);
}

/* ------------------------------------------------------------------------------------------------ tables */

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    (void)route;
    route_handle(self, request, info);
}

static void gone(void *self, uint32_t route, pbay_request request)
{
    (void)route;
    flight_gone(((struct snowflake *)self)->flights, request);
}

static const void *extension(const char *id)
{
    static const pbay_route ROUTES[] = {
        {"GET|POST", "", "SAGEMAKER_INVOKE.", PBAY_AUTH_EITHER, PBAY_BODY_RAW, BODY_MAX},
        {"GET|POST", "/*", "External functions: a batch, and the question how it is.", PBAY_AUTH_EITHER,
         PBAY_BODY_RAW, BODY_MAX},
    };
    static const pbay_routes_1 routes = {
        sizeof routes, sizeof ROUTES / sizeof *ROUTES, ROUTES, sizeof(pbay_route), 0, handle, gone};
    if (strcmp(id, PBAY_EXT_ROUTES) == 0) return &routes;
    if (strcmp(id, PBAY_EXT_FUNCTIONS) == 0) return sql_functions();
    if (strcmp(id, PBAY_EXT_ACTIONS) == 0) return sql_actions();
    if (strcmp(id, PBAY_EXT_COMMANDS) == 0) return snowflake_commands();
    return NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "snowflake",
        .version = "0.1.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Snowflake: functions called from SQL, and statements sent to it",
        .options = {OPTIONS, sizeof OPTIONS / sizeof *OPTIONS, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     stop,       destroy,      extension};
    return &entry;
}
