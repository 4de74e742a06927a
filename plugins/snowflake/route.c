/* SPDX-License-Identifier: MIT */
/*
 * Who calls, which function is meant, and what of it is new.
 *
 * POST /CONNECTOR/NAME is a batch, GET the question how it is. NAME is a map function of patchbay.ini, or one
 * of the functions that the older gateways had (score.c, train.c).
 */
#include "route.h"

#include <stdarg.h>
#include <strings.h>

#include "park.h"
#include "score.h"
#include "train.h"
#include "translate.h"

static const uint32_t VARIANT[] = {PBAY_JSON}, TEXTS[] = {PBAY_STR, PBAY_STR, PBAY_STR};

/* The functions of the older gateways, by the paths that those had and by their names in SQL. */
static const struct own {
    const char *path, *name;
    const struct work *work;
    const uint32_t *kinds;
    uint32_t n_kinds;
    int effects;
} OWN[] = {
    {"", "sagemaker_invoke", &score_arrays, VARIANT, 1, 0},
    {"train", "train_and_get_recommendations", &train_work, TEXTS, 2, 1},
    {"deploy", "deploy_model", &deploy_work, TEXTS, 2, 1},
    {"invoke", "invoke_model", &score_pairs, TEXTS, 3, 0},
    {"training_status", "training_status", &training_status_work, TEXTS, 1, 0},
    {"endpoint_status", "endpoint_status", &endpoint_status_work, TEXTS, 1, 0},
};

enum { PARAMS_MAX = 512 };

struct asked {
    struct snowflake *s;
    pbay_request request;
    const pbay_request_info *info;
    struct sf_headers h;
    pbay_str name;
    struct batch_id id;
    int coded;
};

static void refuse(struct asked *a, int32_t status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void refuse(struct asked *a, int32_t status, const char *code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pbay_str message = {text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1};
    answer_error(a->s, a->request, status, code, message, a->h.batch_id, a->h.query_id);
}

/* ------------------------------------------------------------------------------------------------ who */

static int secret_is(struct snowflake *s, const char *option, pbay_str shown)
{
    pbay_str value = s->host->get_str(s->config, option);
    return value.n && s->crypto->equal(value, shown);
}

/* The shared secret, or who the listener says it is; then the list of accounts. */
static int known(struct asked *a)
{
    struct snowflake *s = a->s;
    pbay_str shown = sf_header(a->info->headers, a->info->n_headers, s->lower), who = a->info->principal;
    if (shown.n) {
        /* Both are compared, so that the time does not say which one it was. */
        int now = secret_is(s, "secret", shown), next = s->two_secrets && secret_is(s, "secret_next", shown);
        if (!(now | next)) {
            refuse(a, 403, "PERMISSION_DENIED", "the secret in %s is not the right one", s->lower);
            return 0;
        }
        who = STR("shared secret");
    } else if (!who.n && s->host->get_int(s->config, "trust_network"))
        who = STR("network");
    if (!who.n) {
        refuse(a, 403, "PERMISSION_DENIED", "the header %s with the shared secret is missing", s->lower);
        return 0;
    }
    uint32_t n = s->host->count(s->config, "accounts");
    int listed = !n;
    for (uint32_t i = 0; i < n && !listed; i++) {
        pbay_str key, one = s->host->item(s->config, "accounts", i, &key);
        listed = str_eq(one, a->h.account);
    }
    if (!listed) {
        refuse(a, 403, "PERMISSION_DENIED",
               "the account in sf-context-current-account is not one of accounts");
        return 0;
    }
    return s->request->accept(a->request, who) == PBAY_OK ||
           (refuse(a, 403, "PERMISSION_DENIED", "not allowed here"), 0);
}

/* ------------------------------------------------------------------------------------------------ what */

static const struct own *own_named(pbay_str name)
{
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++)
        if (str_is(name, OWN[i].path) || str_is(name, OWN[i].name)) return &OWN[i];
    return NULL;
}

static const struct own *own_of(const struct snowflake *s, pbay_str name)
{
    return s->host->get_str(s->config, "sagemaker").n ? own_named(name) : NULL;
}

static int offered(const struct snowflake *s, pbay_str name)
{
    uint32_t n = s->host->count(s->config, "functions");
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key;
        if (str_eq(s->host->item(s->config, "functions", i, &key), name)) return 1;
    }
    return !n;
}

static int rows_mode(struct asked *a)
{
    pbay_str mode = sf_header(a->info->headers, a->info->n_headers, "sf-custom-patchbay-errors");
    return mode.n ? str_is(mode, "rows") : a->s->rows_mode;
}

/* Does a list of codings (RFC 9110 section 12.5.3) hold this one, without a weight of 0? */
static int lists(pbay_str s, const char *coding)
{
    size_t n = strlen(coding), i = 0;
    while (i < s.n) {
        while (i < s.n && (s.p[i] == ',' || s.p[i] == ' ' || s.p[i] == '\t')) i++;
        size_t from = i, end;
        while (i < s.n && s.p[i] != ',' && s.p[i] != ';' && s.p[i] != ' ' && s.p[i] != '\t') i++;
        end = i;
        while (i < s.n && s.p[i] != ',') i++;
        if (end - from != n || strncasecmp(s.p + from, coding, n) != 0) continue;
        const char *q = end < i ? memchr(s.p + end, '=', i - end) : NULL;
        int some = !q;
        for (; q && q < s.p + i; q++) some = some || (*q >= '1' && *q <= '9');
        return some;
    }
    return 0;
}

/* Fill what the work needs. 0, or *why: there is no such work. */
static int target(struct snowflake *s, struct flight_info *i, pbay_invoke_function *fn, uint32_t *kinds,
                  uint32_t max, pbay_result *why)
{
    *fn = (pbay_invoke_function){.struct_size = sizeof *fn};
    pbay_str name = i->name;
    if (name.n && s->invoke->describe(s->host, name, fn) == PBAY_OK && offered(s, name)) {
        if (fn->shape != PBAY_SHAPE_MAP) {
            snowflake_refuse(
                s, why, PBAY_INVALID_ARGUMENT,
                "%.*s is %s function: Snowflake wants one value per row, so only map functions can be "
                "called",
                (int)name.n, name.p, fn->shape == PBAY_SHAPE_TABLE ? "a table" : "an aggregate");
            return -1;
        }
        if (fn->n_params > max) {
            snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "%.*s takes more than %u parameters", (int)name.n,
                             name.p, max);
            return -1;
        }
        for (uint32_t k = 0; k < fn->n_params; k++) kinds[k] = fn->params[k].kind;
        i->work = &function_work;
        i->fn = fn;
        i->kinds = kinds;
        i->n_kinds = fn->n_params;
        i->effects = (fn->flags & PBAY_INVOKE_EFFECTS) != 0;
        return 0;
    }
    const struct own *own = own_of(s, name);
    if (!own) {
        int unset = own_named(name) && !s->host->get_str(s->config, "sagemaker").n;
        snowflake_refuse(s, why, PBAY_NOT_FOUND, "there is no function \"%.*s\"%s",
                         name.n < 200 ? (int)name.n : 200, name.n ? name.p : "",
                         unset ? ": `sagemaker` of this connector is not set" : "");
        return -1;
    }
    i->work = own->work;
    i->kinds = own->kinds;
    i->n_kinds = own->n_kinds;
    i->effects = own->effects;
    return 0;
}

void route_resume(struct snowflake *s, struct flight_info *i)
{
    uint32_t kinds[PARAMS_MAX];
    pbay_invoke_function fn;
    pbay_result why = PBAY_RESULT_OK;
    if (target(s, i, &fn, kinds, PARAMS_MAX, &why))
        park_fail(s, i->job, &why);
    else
        flight_begin(s, i);
}

/* ------------------------------------------------------------------------------------------------ batches */

/*
 * The body as it was before it was packed, by its first bytes: proxies unpack and leave the header. Deflate
 * without zlib's frame shows nothing, so there the header says it. Only who may call gets here. *inflated is
 * what *body then borrows from, and the caller's to release. -1: it was refused.
 */
static int unpack(struct asked *a, pbay_str *body, pbay_str *inflated)
{
    const pbay_crypto_1 *c = a->s->crypto;
    pbay_str in = a->info->body;
    *body = in;
    *inflated = (pbay_str){NULL, 0};
    if (!in.n || (*in.p && strchr("{[ \t\r\n", *in.p))) return 0;
    int32_t rc = c->inflate(PBAY_ZIP_SNIFF, in, BODY_MAX, inflated);
    if (rc == PBAY_OK && str_eq(in, *inflated)) { /* neither gzip nor zlib */
        c->release(*inflated);
        *inflated = (pbay_str){NULL, 0};
        if (!lists(sf_header(a->info->headers, a->info->n_headers, "content-encoding"), "deflate")) return 0;
        rc = c->inflate(PBAY_ZIP_DEFLATE, in, BODY_MAX, inflated);
        if (rc == PBAY_INVALID_ARGUMENT) { /* unpacked already */
            *inflated = (pbay_str){NULL, 0};
            return 0;
        }
    }
    if (rc != PBAY_OK) {
        *inflated = (pbay_str){NULL, 0};
        if (rc == PBAY_RESOURCE_EXHAUSTED)
            refuse(a, 413, "RESOURCE_EXHAUSTED", "the body is larger than %d bytes when it is unpacked",
                   BODY_MAX);
        else
            refuse(a, 400, "INVALID_ARGUMENT", "the compressed body is damaged, or ends too early");
        return -1;
    }
    *body = *inflated;
    return 0;
}

static int too_many(struct asked *a)
{
    if (flights_running(a->s->flights) < a->s->in_flight) return 0;
    refuse(a, 429, "RESOURCE_EXHAUSTED", "too many batches at once; again later");
    return 1;
}

static void raw(struct asked *a)
{
    pbay_str name = {a->name.p + 4, a->name.n - 4}, inflated;
    pbay_request_info info = *a->info;
    if (too_many(a) || unpack(a, &info.body, &inflated)) return;
    translate(a->s, a->request, &info, &a->h, name, a->coded, inflated);
}

static void post_body(struct asked *a, pbay_str body, pbay_str *inflated)
{
    struct snowflake *s = a->s;
    uint32_t kinds[PARAMS_MAX];
    pbay_invoke_function fn;
    pbay_result why = PBAY_RESULT_OK;
    struct flight_info i = {.name = a->name,
                            .batch_id = a->h.batch_id,
                            .query_id = a->h.query_id,
                            .user = a->h.user,
                            .account = a->h.account,
                            .endpoint = a->id.endpoint,
                            .region = a->id.region,
                            .body = body,
                            .rows_mode = rows_mode(a),
                            .request = a->request,
                            .coded = a->coded};
    struct flight *f = flight_find(s->flights, &a->id);
    if (f) {
        if (flight_same_body(f, body))
            flight_wait(f, a->request, a->coded);
        else
            refuse(a, 409, "ALREADY_EXISTS", "this batch id came before with other rows");
        return;
    }
    if (too_many(a)) return;
    if (target(s, &i, &fn, kinds, PARAMS_MAX, &why)) {
        answer_error(s, a->request, status_of(&why),
                     why.code == PBAY_NOT_FOUND ? "NOT_FOUND" : "INVALID_ARGUMENT", why.message,
                     a->h.batch_id, a->h.query_id);
        return;
    }
    i.inflated = *inflated;
    *inflated = (pbay_str){NULL, 0};
    flight_begin(s, &i);
}

static void post(struct asked *a)
{
    pbay_str body, inflated;
    if (unpack(a, &body, &inflated)) return;
    post_body(a, body, &inflated);
    if (inflated.p) a->s->crypto->release(inflated);
}

static void get(struct asked *a)
{
    struct snowflake *s = a->s;
    if (!a->h.batch_id.n) {
        refuse(a, 400, "INVALID_ARGUMENT",
               "GET asks for a batch, and sf-external-function-query-batch-id is missing");
        return;
    }
    struct flight *f = flight_find(s->flights, &a->id);
    if (f && !f->done)
        answer(s, a->request, 202, STR("{}"), a->coded);
    else if (f && !f->job[0])
        answer(s, a->request, f->status, (pbay_str){f->text, f->n_text}, a->coded);
    else /* a job's result is told when it is on disk: what was told once is there after a crash too */
        park_poll(s, a->request, &a->id, a->h.query_id, a->coded);
}

void route_handle(struct snowflake *s, pbay_request request, const pbay_request_info *info)
{
    struct asked a = {.s = s, .request = request, .info = info, .name = info->suffix};
    const char *wrong = NULL;
    pbay_str accepts = sf_header(info->headers, info->n_headers, "accept-encoding");
    a.coded = lists(accepts, "gzip") ? CODED_GZIP : lists(accepts, "deflate") ? CODED_DEFLATE : CODED_NOT;
    while (a.name.n && a.name.p[a.name.n - 1] == '/') a.name.n--;
    if (sf_headers_read(&a.h, info->headers, info->n_headers, &wrong)) {
        refuse(&a, 400, "INVALID_ARGUMENT", "%s", wrong);
    } else if (known(&a)) {
        a.id = (struct batch_id){
            .name = a.name,
            .endpoint = sf_header(info->headers, info->n_headers, "sf-custom-sagemaker-endpoint-name"),
            .region = sf_header(info->headers, info->n_headers, "sf-custom-sagemaker-region"),
            .batch = a.h.batch_id};
        if (!sf_utf8(a.id.endpoint) || !sf_utf8(a.id.region))
            refuse(&a, 400, "INVALID_ARGUMENT", "a header sf-custom-sagemaker-... is not UTF-8");
        else if (str_is(info->method, "GET"))
            get(&a);
        else if (a.name.n > 4 && memcmp(a.name.p, "raw/", 4) == 0)
            raw(&a);
        else
            post(&a);
    }
    sf_headers_free(&a.h);
}
