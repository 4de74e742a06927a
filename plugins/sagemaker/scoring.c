/* SPDX-License-Identifier: MIT */
#include "scoring.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws_shape.h"
#include "reply.h"

static const struct {
    const char *option, *header, *async_header; /* NULL: invoke_async has none */
} TARGETS[] = {
    {"target_variant", "X-Amzn-SageMaker-Target-Variant", NULL},
    {"target_model", "X-Amzn-SageMaker-Target-Model", NULL},
    {"target_container", "X-Amzn-SageMaker-Target-Container-Hostname", NULL},
    {"inference_component", "X-Amzn-SageMaker-Inference-Component", NULL},
    {"session_id", "X-Amzn-SageMaker-Session-Id", NULL},
    {"enable_explanations", "X-Amzn-SageMaker-Enable-Explanations", NULL},
    {"custom_attributes", "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Custom-Attributes"},
    {"inference_id", "X-Amzn-SageMaker-Inference-Id", "X-Amzn-SageMaker-Inference-Id"},
};

static pbay_str literal(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

int scoring_endpoint_valid(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && !(c == '-' && i && i + 1 < s.n)) return 0;
    }
    return s.n > 0 && s.n <= ENDPOINT_MAX;
}

/* "churn-*" is every one that begins so. */
int scoring_allowed(const struct sagemaker *sm, const char *list, pbay_str name)
{
    for (uint32_t i = 0; i < sm->host->count(sm->config, list); i++) {
        pbay_str key, one = sm->host->item(sm->config, list, i, &key);
        int star = one.n && one.p[one.n - 1] == '*';
        if (star) one.n--;
        if (star ? name.n >= one.n : name.n == one.n)
            if (!one.n || memcmp(name.p, one.p, one.n) == 0) return 1;
    }
    return 0;
}

static int starts_with(pbay_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s.n < n) return 0;
    for (size_t i = 0; i < n; i++)
        if ((s.p[i] | 32) != prefix[i]) return 0;
    return 1;
}

static int is(pbay_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static int32_t refuse_option(struct sagemaker *sm, const pbay_config *config, const char *option,
                             pbay_result *why, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static int32_t refuse_option(struct sagemaker *sm, const pbay_config *config, const char *option,
                             pbay_result *why, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pbay_str where = sm->host->where(config, option);
    return sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%.*s: %s %s", (int)where.n,
                            where.n ? where.p : "", option, text);
}

/* ------------------------------------------------------------------------------------------------ headers */

static void add_header(struct scoring *s, pbay_str name, pbay_str value)
{
    s->headers[s->n_headers++] = (pbay_header){name, value};
}

/* A token of RFC 9110, section 5.6.2. */
static int token(pbay_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        int alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (!c || !strchr("!#$%&'*+-.^_`|~", c))) return 0;
    }
    return name.n > 0;
}

/* Why nobody may set a header of this name, or NULL: it is the signature's, or the connection's. */
static const char *reserved(pbay_str name)
{
    static const char *const FRAMING[] = {"host",   "content-length",   "transfer-encoding", "connection",
                                          "te",     "proxy-connection", "keep-alive",        "upgrade",
                                          "expect", "trailer"};
    if (!token(name)) return "cannot be a header's name";
    if (starts_with(name, "x-amz-") || starts_with(name, "authorization"))
        return "belongs to the request's signature";
    for (size_t i = 0; i < sizeof FRAMING / sizeof *FRAMING; i++)
        if (name.n == strlen(FRAMING[i]) && starts_with(name, FRAMING[i]))
            return "belongs to the connection, which the gateway keeps";
    return NULL;
}

static int32_t set_headers(struct scoring *s, const pbay_config *config, int async, pbay_result *why)
{
    static const char *const TYPES[] = {"text/csv", "application/json", "application/jsonlines"};
    struct sagemaker *sm = s->sm;
    const pbay_host *host = sm->host;
    int64_t format = host->get_int(config, "format");
    pbay_str type = host->get_str(config, "content_type"), accept = host->get_str(config, "accept");
    add_header(s, async ? STR("X-Amzn-SageMaker-Content-Type") : STR("Content-Type"),
               type.n ? type : literal(TYPES[format]));
    add_header(s, async ? STR("X-Amzn-SageMaker-Accept") : STR("Accept"),
               accept.n ? accept : literal(TYPES[format]));
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
        if (async && !TARGETS[i].async_header) continue;
        pbay_str v = host->get_str(config, TARGETS[i].option);
        if (v.n) add_header(s, literal(TARGETS[i].header), v);
    }
    uint32_t n = async ? 0 : host->count(config, "header");
    if (s->n_headers + n + SCORING_COLUMNS > SCORING_HEADERS)
        return refuse_option(sm, config, "header", why, "is given %u times, %u are allowed", (unsigned)n,
                             (unsigned)(SCORING_HEADERS - SCORING_COLUMNS - s->n_headers));
    for (uint32_t i = 0; i < n; i++) {
        pbay_str name, value = host->item(config, "header", i, &name);
        const char *wrong = reserved(name);
        if (wrong)
            return refuse_option(sm, config, "header", why, "\"%.*s\" %s", (int)(name.n < 80 ? name.n : 80),
                                 name.p, wrong);
        add_header(s, name, value);
    }
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ columns */

/* A parameter by its name, or a column by its number from 1. -1: there is none. */
static int64_t column_of(const pbay_function_info *info, pbay_str name)
{
    int64_t number = 0;
    for (uint32_t i = 0; i < info->n_sends; i++)
        if (info->sends[i].name.n == name.n && name.n && memcmp(info->sends[i].name.p, name.p, name.n) == 0)
            return i;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] < '0' || name.p[i] > '9' || number > 10000) return -1;
        number = number * 10 + (name.p[i] - '0');
    }
    return number > 0 && (!info->n_sends || number <= info->n_sends) ? number - 1 : -1;
}

/* The target whose name is nearest, or NULL when none is near. */
static const char *nearest(pbay_str key)
{
    const char *best = NULL;
    size_t least = key.n / 3 + 2;
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS + 2; i++) {
        size_t k = sizeof TARGETS / sizeof *TARGETS;
        const char *name = i < k ? TARGETS[i].option : i == k ? "endpoint" : "region";
        size_t d = aws_shape_distance(name, key.n ? key.p : "", key.n);
        if (d >= least) continue;
        least = d;
        best = name;
    }
    return best;
}

static int32_t set_columns(struct scoring *s, const pbay_function_info *info, pbay_result *why)
{
    const pbay_host *host = s->sm->host;
    uint32_t n = host->count(info->config, "column");
    if (n > SCORING_COLUMNS)
        return refuse_option(s->sm, info->config, "column", why, "is given %u times, %u are allowed",
                             (unsigned)n, (unsigned)SCORING_COLUMNS);
    for (uint32_t i = 0; i < n; i++) {
        struct scoring_column *c = &s->from[s->n_from++];
        pbay_str key, value = host->item(info->config, "column", i, &key);
        int64_t index = column_of(info, value);
        c->name = key;
        c->what = is(key, "endpoint") ? COLUMN_ENDPOINT : is(key, "region") ? COLUMN_REGION : COLUMN_HEADER;
        for (size_t k = 0; c->what == COLUMN_HEADER && k < sizeof TARGETS / sizeof *TARGETS; k++)
            if (is(key, TARGETS[k].option)) c->header = literal(TARGETS[k].header);
        int shown = (int)(key.n < 80 ? key.n : 80);
        if (c->what == COLUMN_HEADER && !c->header.n) c->header = key;
        const char *wrong = c->what == COLUMN_HEADER ? reserved(c->header) : NULL;
        if (wrong)
            return refuse_option(s->sm, info->config, "column", why, "\"%.*s\" %s", shown, key.p, wrong);
        if (c->what == COLUMN_HEADER && !memchr(c->header.p, '-', c->header.n)) {
            const char *near = nearest(key);
            return refuse_option(s->sm, info->config, "column", why,
                                 "\"%.*s\" is no target, nor a header's name with a hyphen%s%s%s", shown,
                                 key.p, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        }
        if (c->what == COLUMN_ENDPOINT && !host->count(s->sm->config, "allow_endpoints"))
            return refuse_option(s->sm, info->config, "column", why,
                                 "endpoint: rows may name none as long as the connector has no "
                                 "allow_endpoints = NAME, PREFIX*");
        if (index < 0)
            return refuse_option(s->sm, info->config, "column", why,
                                 "%.*s = %.*s: there is no such parameter (a name, or a number from 1)",
                                 (int)key.n, key.p, (int)(value.n < 80 ? value.n : 80), value.p);
        c->index = (uint32_t)index;
        for (uint32_t k = 0; k + 1 < s->n_from; k++)
            if (s->from[k].index == c->index)
                return refuse_option(s->sm, info->config, "column", why,
                                     "%.*s: the column has another use already", (int)key.n, key.p);
    }
    if (info->n_sends && s->n_from >= info->n_sends)
        return refuse_option(s->sm, info->config, "column", why,
                             "takes all columns: there is nothing left to send");
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ all of it
 */

static int32_t set_place(struct scoring *s, const pbay_function_info *info, pbay_result *why)
{
    struct sagemaker *sm = s->sm;
    const pbay_host *host = sm->host;
    pbay_str endpoint = host->get_str(info->config, "endpoint"),
             region = host->get_str(info->config, "region");
    int invoked = (info->flags & PBAY_BIND_INVOKED) != 0;
    if (!scoring_endpoint_valid(endpoint))
        return refuse_option(sm, info->config, "endpoint", why,
                             "has 1 to 63 letters, digits and inner hyphens, and \"%.*s\" does not",
                             endpoint.n < 80 ? (int)endpoint.n : 80, endpoint.n ? endpoint.p : "");
    if (region.n && !aws_region_valid(region))
        return refuse_option(sm, info->config, "region", why,
                             "has characters besides a-z, 0-9 and inner hyphens");
    /* Names that come with a call are the caller's, not the operator's. */
    if (invoked && !scoring_allowed(sm, "allow_endpoints", endpoint))
        return sagemaker_refuse(sm, why, PBAY_PERMISSION_DENIED,
                                "endpoint \"%.*s\" is not one of allow_endpoints of [connector \"%.*s\"]",
                                (int)endpoint.n, endpoint.p, (int)host->name(host).n, host->name(host).p);
    if (invoked && region.n && !scoring_allowed(sm, "allow_regions", region) && !is(region, sm->aws.region))
        return sagemaker_refuse(sm, why, PBAY_PERMISSION_DENIED,
                                "region \"%.*s\" is not one of allow_regions of [connector \"%.*s\"]",
                                (int)region.n, region.p, (int)host->name(host).n, host->name(host).p);
    memcpy(s->endpoint, endpoint.p, endpoint.n);
    if (region.n) memcpy(s->region, region.p, region.n);
    snprintf(s->who, sizeof s->who, "endpoint %s", s->endpoint);
    return PBAY_OK;
}

int32_t scoring_read(struct scoring *s, struct sagemaker *sm, const pbay_function_info *info, int async,
                     pbay_result *why)
{
    static const uint32_t FORMATS[] = {PBAY_FORMAT_CSV, PBAY_FORMAT_JSON_ROWS, PBAY_FORMAT_JSON_LINES};
    const pbay_host *host = sm->host;
    const pbay_config *config = info->config;
    const char *wrong = NULL;
    s->sm = sm;
    int32_t rc = set_place(s, info, why);
    if (rc == PBAY_OK && path_parse(host->get_str(config, "path"), &s->path, &wrong))
        rc = refuse_option(sm, config, "path", why, "cannot be read: %s", wrong);
    if (rc == PBAY_OK && !async) rc = set_columns(s, info, why);
    if (rc != PBAY_OK) return rc;
    s->codec.struct_size = sizeof s->codec;
    s->codec.format = FORMATS[host->get_int(config, "format")];
    s->codec.trailing_newline = host->get_int(config, "last_newline") != 0;
    if (s->codec.format == PBAY_FORMAT_JSON_ROWS) s->codec.key = host->get_str(config, "instances_key");
    if (host->get_int(config, "body") == 1) {
        s->codec.raw = 1;
        if (s->codec.format != PBAY_FORMAT_CSV)
            return refuse_option(sm, config, "body", why, "= raw goes with format = csv");
        if (info->n_sends > s->n_from + 1)
            return refuse_option(sm, config, "body", why, "= raw sends one column, and the function sends %u",
                                 (unsigned)(info->n_sends - s->n_from));
    }
    rc = set_headers(s, config, async, why);
    if (rc == PBAY_OK && answer_columns_make(&s->columns, info->answers, info->n_answers))
        rc = sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    if (rc != PBAY_OK) return rc;
    s->use = (struct use){.action = async ? "sagemaker:InvokeEndpointAsync" : "sagemaker:InvokeEndpoint",
                          .kind = "endpoint",
                          .name = s->endpoint};
    use_add(sm, &s->use);
    return PBAY_OK;
}

void scoring_free(struct scoring *s)
{
    if (s->sm) use_remove(s->sm, &s->use);
    answer_columns_free(&s->columns);
}

int32_t scoring_fits(const struct scoring *s, const pbay_batch *in, pbay_result *why)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < s->n_from; i++)
        if (s->from[i].index >= in->n_cols)
            return sagemaker_refuse(s->sm, why, PBAY_INVALID_ARGUMENT,
                                    "%s: column.%.*s is column %u, and there are %u", s->who,
                                    (int)s->from[i].name.n, s->from[i].name.p, (unsigned)s->from[i].index + 1,
                                    (unsigned)in->n_cols);
    if (!s->codec.raw) return PBAY_OK;
    for (uint32_t k = 0; k < s->n_from; k++)
        for (uint32_t i = 0; i < s->n_from; i++)
            if (s->from[i].index == first) first++;
    if (in->n_cols == s->n_from + 1 && pbay_batch_col(in, first)->kind == PBAY_STR) return PBAY_OK;
    return sagemaker_refuse(
        s->sm, why, PBAY_INVALID_ARGUMENT, "%s: body = raw sends one text column, and there are %u%s", s->who,
        (unsigned)(in->n_cols - s->n_from), in->n_cols == s->n_from + 1 ? " of another kind" : "");
}

pbay_builder *scoring_answers(const struct scoring *s, const char *who, pbay_str body, uint32_t n_rows,
                              pbay_result *r, char text[1024])
{
    struct answers a = answers_begin(s->sm, &s->columns, who);
    struct reply_shape shape = {n_rows, s->columns.n, s->columns.kinds, s->columns.names, &s->path};
    struct reply_sink sink = answers_sink(&a);
    char why[REPLY_WHY];
    *r = (pbay_result)PBAY_RESULT_OK;
    if (reply_parse(body, &shape, &sink, &r->code, why) == 0) return a.out;
    s->sm->batch->free(a.out);
    snprintf(text, 1024, "%s: %s", who, why);
    r->message = literal(text);
    return NULL;
}
