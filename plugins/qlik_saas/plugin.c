/* SPDX-License-Identifier: MIT */
/* Entry: options of the connector, life of an instance. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/health.h>

#include "logs.h"
#include "names.h"
#include "webhook.h"

enum { SECRET_MIN = 32, SECRET_MAX = 64 };

static const pbay_option OPTIONS[] = {
    {"tenant_url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "The tenant's address: acme.eu.qlikcloud.com, or a URL, which may be http:// and have a path."},
    {"tenant_id", PBAY_OPT_STR, 0, NULL, NULL, "The tenant's id; events of other tenants are refused then."},
    {"api_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "An API key; reloads are its user's."},
    {"client_id", PBAY_OPT_STR, 0, NULL, NULL, "OAuth machine to machine, instead of an API key."},
    {"client_secret", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "Goes with client_id."},
    {"scope", PBAY_OPT_STR, 0, NULL, NULL, "OAuth scope, when the client's own is not meant."},
    {"webhooks", PBAY_OPT_BOOL, 0, "yes", NULL,
     "Take events at /CONNECTOR/hook; needs webhook_secret or webhook_api_key."},
    {"webhook_secret", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "What Qlik signs deliveries with: 32 to 64 characters."},
    {"webhook_secret_previous", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "Taken as well, while the secret is being changed."},
    {"webhook_api_key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "A key that deliveries must carry in a header of their own, beside or instead of the signature."},
    {"webhook_api_key_header", PBAY_OPT_STR, 0, "x-api-key", NULL, "The name of that header, in lower case."},
    {"webhook_url", PBAY_OPT_STR, 0, NULL, NULL,
     "Where Qlik reaches /CONNECTOR/hook from outside; for `webhooks create`, and to find deliveries that "
     "failed."},
    {"webhooks_api", PBAY_OPT_ENUM, 0, "auto", "auto|core|v1",
     "/api/core/webhooks, or /api/v1/webhooks, which ends on or after 2027-11-01; auto: the first that is "
     "there."},
    {"events", PBAY_OPT_LIST, 0, "com.qlik.v1.reload.finished, com.qlik.v1.app.reload.finished", NULL,
     "The types of events that are kept; the rest is answered with 200 and ignored."},
    {"session_apps", PBAY_OPT_BOOL, 0, "no", NULL, "Keep reloads of session apps."},
    {"data_prep", PBAY_OPT_BOOL, 0, "no", NULL, "Keep reloads of data preparation and data flows."},
    {"script_logs", PBAY_OPT_SIZE, 0, "0", "0..262144",
     "How much of the end of a failed reload's script log becomes the event script_log; 0: none is asked "
     "for."},
    {"paper_bodies", PBAY_OPT_BOOL, 0, "no", NULL,
     "Take bodies as they were in 2020: no type, the app's id in data.id."},
    {"max_age", PBAY_OPT_DURATION, 0, "0s", "0s..365d", "Ignore events that are older; 0: none are too old."},
    {"name_cache", PBAY_OPT_DURATION, 0, "10m", "0s..7d", "How long the ids of apps found by name are kept."},
    {"reload_poll", PBAY_OPT_DURATION, 0, "30s", "100ms..1h",
     "How often a reload that was started is asked for, in case that no webhook tells of its end."},
    {"quota_wait", PBAY_OPT_DURATION, 0, "1h", "1s..1d",
     "When to try again after the quota of reloads was used up."},
    {"limit_starts", PBAY_OPT_INT, 0, "50", "1..1000000",
     "Reloads started or cancelled in limit_window, for the whole machine."},
    {"limit_reads", PBAY_OPT_INT, 0, "1000", "1..1000000", "Reading requests in limit_window."},
    {"limit_writes", PBAY_OPT_INT, 0, "100", "1..1000000", "Other requests in limit_window."},
    {"limit_window", PBAY_OPT_DURATION, 0, "60s", "1s..1h", "What the limits are counted over."},
};

int32_t qlik_refuse(struct qlik *q, pbay_result *why, int32_t code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(q->why, sizeof q->why, fmt, ap);
    va_end(ap);
    why->struct_size = sizeof *why;
    why->code = code;
    why->message = (pbay_str){q->why, strlen(q->why)};
    return code;
}

void qlik_log(const struct qlik *q, uint32_t level, const char *message, const char *name, pbay_str value,
              const char *name2, pbay_str value2)
{
    if (!q->log || !q->log->enabled(q->host, level)) return;
    const pbay_header fields[] = {{{name, name ? strlen(name) : 0}, value},
                                  {{name2, name2 ? strlen(name2) : 0}, value2}};
    q->log->write(q->host, level, (pbay_str){message, strlen(message)}, fields, !name ? 0 : name2 ? 2 : 1);
}

pbay_str qlik_secret(const struct qlik *q, const char *option)
{
    pbay_str value = {NULL, 0};
    pbay_result why = PBAY_RESULT_OK;
    if (!q->host->is_set(q->config, option)) return value;
    if (q->secret && q->secret->get(q->host, option, &value, &why) == PBAY_OK) return value;
    return q->host->get_str(q->config, option);
}

void *qlik_alloc(size_t size)
{
    void *p = calloc(1, size);
    if (!p) abort();
    return p;
}

char *qlik_copy(pbay_str s)
{
    char *p = qlik_alloc(s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    return p;
}

int qlik_same(pbay_str a, pbay_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ------------------------------------------------------------------------------------------------ life */

static int32_t bad(struct qlik *q, pbay_result *why, const char *option, const char *text)
{
    pbay_str where = q->host->where(q->config, option);
    return qlik_refuse(q, why, PBAY_INVALID_ARGUMENT, "%.*s: %s", FMT(where), text);
}

/* "acme.eu.qlikcloud.com" or a URL (of a proxy, it may have a path) to q->base. */
static int32_t read_address(struct qlik *q, pbay_result *why)
{
    pbay_str s = q->host->get_str(q->config, "tenant_url");
    pbay_text base = {NULL, 0, 0};
    while (s.n && s.p[s.n - 1] == '/') s.n--;
    size_t scheme = s.n > 8 && !memcmp(s.p, "https://", 8)  ? 8
                    : s.n > 7 && !memcmp(s.p, "http://", 7) ? 7
                                                            : 0;
    int good = s.n > scheme;
    for (size_t i = scheme; i < s.n; i++) {
        char c = s.p[i];
        good &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                c == '-' || (c == ':' && i > scheme) || (scheme && i > scheme && (c == '/' || c == '_')) ||
                c == '[' || c == ']';
    }
    if (!good)
        return bad(q, why, "tenant_url",
                   "tenant_url is the name of a host, acme.eu.qlikcloud.com, or a plain URL");
    if (!scheme) pbay_text_c(&base, "https://");
    pbay_text_add(&base, s);
    q->base = qlik_copy(pbay_text_view(&base));
    pbay_text_free(&base);
    q->http_flags = PBAY_HTTP_CONFIGURED;
    return PBAY_OK;
}

static int32_t check_secret(struct qlik *q, const char *option, pbay_result *why)
{
    if (!q->host->is_set(q->config, option)) return PBAY_OK;
    size_t n = q->host->get_str(q->config, option).n;
    if (n >= SECRET_MIN && n <= SECRET_MAX) return PBAY_OK;
    char text[120];
    snprintf(text, sizeof text, "%s has %zu characters; Qlik takes 32 to 64", option, n);
    return bad(q, why, option, text);
}

static int32_t read_options(struct qlik *q, pbay_result *why)
{
    const pbay_host *h = q->host;
    const pbay_config *c = q->config;
    int32_t rc = read_address(q, why);
    q->oauth = h->is_set(c, "client_id");
    q->hooks = (int)h->get_int(c, "webhooks");
    if (!rc && h->is_set(c, "api_key") == q->oauth)
        rc = bad(q, why, "api_key",
                 q->oauth ? "api_key and client_id: one of the two says who we are"
                          : "neither api_key nor client_id and client_secret are set");
    if (!rc && q->oauth != h->is_set(c, "client_secret"))
        rc = bad(q, why, "client_id", "client_id and client_secret go together");
    if (!rc && q->hooks && !h->is_set(c, "webhook_secret") && !h->is_set(c, "webhook_api_key"))
        rc = bad(q, why, "webhooks",
                 "anybody could send events: set webhook_secret (32 to 64 characters) or webhook_api_key, or "
                 "write "
                 "`webhooks = no`");
    if (!rc && h->is_set(c, "webhook_secret_previous") && !h->is_set(c, "webhook_secret"))
        rc = bad(q, why, "webhook_secret_previous",
                 "webhook_secret_previous is taken beside webhook_secret, not without it");
    if (!rc) rc = check_secret(q, "webhook_secret", why);
    return rc ? rc : check_secret(q, "webhook_secret_previous", why);
}

static const char *missing_service(const struct qlik *q)
{
    return !q->crypto    ? PBAY_SVC_CRYPTO
           : !q->http    ? PBAY_SVC_HTTP
           : !q->timer   ? PBAY_SVC_TIMER
           : !q->request ? PBAY_SVC_REQUEST
                         : NULL;
}

static void make_metrics(struct qlik *q)
{
    for (int i = 0; q->metric && i < N_HOOK_ENDS; i++) {
        char labels[40];
        snprintf(labels, sizeof labels, "result=\"%s\"", webhook_end_name((enum hook_end)i));
        q->ends[i] = q->metric->slot(q->host, PBAY_METRIC_COUNTER, "webhooks_total", labels,
                                     "Deliveries, by what became of them.");
    }
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    static char text[600];
    struct qlik *q = calloc(1, sizeof *q);
    if (!q) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    q->host = host;
    q->config = config;
    q->action = host->service(host, PBAY_SVC_ACTION);
    q->chain = host->service(host, PBAY_SVC_CHAIN);
    q->command = host->service(host, PBAY_SVC_COMMAND);
    q->crypto = host->service(host, PBAY_SVC_CRYPTO);
    q->event = host->service(host, PBAY_SVC_EVENT);
    q->http = host->service(host, PBAY_SVC_HTTP);
    q->limit = host->service(host, PBAY_SVC_LIMIT);
    q->log = host->service(host, PBAY_SVC_LOG);
    q->metric = host->service(host, PBAY_SVC_METRIC);
    q->request = host->service(host, PBAY_SVC_REQUEST);
    q->secret = host->service(host, PBAY_SVC_SECRET);
    q->timer = host->service(host, PBAY_SVC_TIMER);
    q->clock_lo = INT64_MIN;
    q->clock_hi = INT64_MAX;
    const char *missing = missing_service(q);
    int32_t rc = missing
                     ? qlik_refuse(q, why, PBAY_FAILED_PRECONDITION, "this host does not offer %s", missing)
                     : read_options(q, why);
    if (rc == PBAY_OK) {
        make_metrics(q);
        *self = q;
        return PBAY_OK;
    }
    snprintf(text, sizeof text, "%s", q->why);
    why->message = (pbay_str){text, strlen(text)};
    free(q->base);
    free(q);
    return rc;
}

static void destroy(void *self)
{
    struct qlik *q = self;
    logs_free(q);
    names_free(q);
    api_free(q);
    free(q);
}

static uint32_t health(void *self, pbay_str *sentence)
{
    struct qlik *q = self;
    if (q->state == PBAY_OK) return PBAY_UP;
    *sentence = (pbay_str){q->state_why, strlen(q->state_why)};
    return PBAY_DEGRADED;
}

static const void *extension(const char *id)
{
    static const pbay_health_1 health_table = {sizeof health_table, 0, health};
    const struct {
        const char *id;
        const void *table;
    } all[] = {{PBAY_EXT_ROUTES, &qlik_routes},
               {PBAY_EXT_ACTIONS, &qlik_actions},
               {PBAY_EXT_EVENTS, &qlik_sources},
               {PBAY_EXT_COMMANDS, &qlik_commands},
               {PBAY_EXT_HEALTH, &health_table}};
    for (size_t i = 0; i < COUNT(all); i++)
        if (!strcmp(id, all[i].id)) return all[i].table;
    return NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "qlik_saas",
        .version = "0.1.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Qlik Cloud: webhooks in, reloads out",
        .options = {OPTIONS, COUNT(OPTIONS), sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
