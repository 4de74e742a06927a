/* SPDX-License-Identifier: MIT */
#include "sql.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "crypto.h"
#include "data/json_object.h"
#include "fetch.h"
#include "net/crypto.h"
#include "parameter.h"

enum {
    ATTEMPTS = 6,
    REPLY_MAX = 256 << 20,
    MEMBERS = 64,
    DEPTH = 32,
    COLUMNS_MAX = 1000,
    PARTITIONS_MAX = 100000
};

struct rec_sql {
    const struct rec_hyper *h;
    struct rec_fetcher *fetcher;
    char *url;
    struct pbay_key *key; /* a key pair; else a token */
    pbay_sf_jwt *jwt;
    struct pb_buf token;
    const char *token_type;
};

/* ------------------------------------------------------------------------------------------------ the secret
 */

static int read_secret_file(const char *path, struct pb_buf *out, struct pb_err *err)
{
    FILE *f = fopen(path, "re");
    if (!f) return pb_fail(err, PBAY_NOT_FOUND, "%s cannot be read: %s", path, strerror(errno));
    out->n += fread(pb_buf_room(out, PB_PEM_MAX), 1, PB_PEM_MAX, f);
    fclose(f);
    return 0;
}

static const char *region_of(const struct rec_hyper *h)
{
    const char *r = h->region ? h->region : getenv("AWS_REGION");
    return r ? r : getenv("AWS_DEFAULT_REGION");
}

static int fetch_secret(struct rec_sql *s, struct pb_buf *secret, struct pb_err *err)
{
    const struct rec_hyper *h = s->h;
    if (h->private_key_file) return read_secret_file(h->private_key_file, secret, err);
    if (h->token_file) return read_secret_file(h->token_file, secret, err);
    return rec_parameter_get(s->fetcher, region_of(h),
                             h->secret_parameter ? h->secret_parameter : "snf_password", secret, err);
}

static void drop_secret(struct rec_sql *s)
{
    pbay_sf_jwt_free(s->jwt);
    pb_key_free(s->key);
    if (s->token.p) explicit_bzero(s->token.p, s->token.n);
    pb_buf_free(&s->token);
    s->jwt = NULL;
    s->key = NULL;
}

static int use_key(struct rec_sql *s, pbay_str pem, struct pb_err *err)
{
    const struct rec_hyper *h = s->h;
    if (!h->account || !h->user)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "a private key needs the hyperparameters account and user");
    if (!(s->key = pb_key_load(pem, pb_str(NULL, 0), err))) return -1;
    s->jwt = pbay_sf_jwt_new(&rec_crypto, s->key, pb_str_c(h->account), pb_str_c(h->user));
    if (!s->jwt)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "account \"%s\" and user \"%s\" do not make a token",
                       h->account, h->user);
    s->token_type = PBAY_SF_KEYPAIR;
    return 0;
}

static int load_secret(struct rec_sql *s, struct pb_err *err)
{
    struct pb_buf secret = {0};
    drop_secret(s);
    int rc = fetch_secret(s, &secret, err);
    pbay_str text = pb_str_trim(pb_buf_view(&secret));
    if (!rc && !text.n) rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "the secret for Snowflake is empty");
    if (!rc && pb_str_starts(text, PB_STR("-----BEGIN")))
        rc = use_key(s, text, err);
    else if (!rc) {
        pb_buf_str(&s->token, text);
        s->token_type = s->h->token_type ? s->h->token_type : PBAY_SF_PAT;
    }
    if (secret.p) explicit_bzero(secret.p, secret.n);
    pb_buf_free(&secret);
    return rc;
}

static int make_url(struct rec_sql *s, struct pb_err *err)
{
    const struct rec_hyper *h = s->h;
    if (h->snowflake_url) {
        s->url = pb_strdup(h->snowflake_url);
        return 0;
    }
    if (!h->account || strlen(h->account) > 200 ||
        strspn(h->account, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
            strlen(h->account))
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "the hyperparameter account is \"%s\"; expected one such as xy12345.eu-west-1 or ORG-ACCOUNT",
            h->account ? h->account : "");
    s->url = pb_sprintf("https://%s.snowflakecomputing.com", h->account);
    for (char *p = s->url; *p; p++) *p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    return 0;
}

struct rec_sql *rec_sql_open(const struct rec_hyper *h, struct pb_err *err)
{
    struct rec_sql *s = pb_zalloc(sizeof *s);
    s->h = h;
    if (!make_url(s, err) && (s->fetcher = rec_fetcher_new(err)) && !load_secret(s, err)) return s;
    rec_sql_close(s);
    return NULL;
}

void rec_sql_close(struct rec_sql *s)
{
    if (!s) return;
    drop_secret(s);
    rec_fetcher_free(s->fetcher);
    pb_free(s->url);
    pb_free(s);
}

/* ------------------------------------------------------------------------------------------------ exchanges
 */

struct ask {
    const char *method;
    char path[PBAY_SF_PATH];
    pbay_str body;          /* p NULL: none */
    const char *request_id; /* of a submission: repeats say so */
};

static int send(struct rec_sql *s, const struct ask *a, struct rec_reply *reply, struct pb_err *err)
{
    pbay_str token = s->jwt ? pbay_sf_jwt_token(s->jwt, pb_now_ms()) : pb_buf_view(&s->token);
    if (!token.p)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "the private key cannot sign: an RSA key is needed");
    char *bearer = pb_sprintf("Bearer %.*s", PB_FMT(token)), *url = pb_sprintf("%s%s", s->url, a->path);
    const pbay_header headers[] = {{PB_STR("authorization"), pb_str_c(bearer)},
                                   {PB_STR("x-snowflake-authorization-token-type"), pb_str_c(s->token_type)},
                                   {PB_STR("accept"), PB_STR("application/json")},
                                   {PB_STR("content-type"), PB_STR("application/json")}};
    const struct pb_fetch_request q = {.flags = PB_FETCH_CONFIGURED,
                                       .method = pb_str_c(a->method),
                                       .url = pb_str_c(url),
                                       .headers = headers,
                                       .n_headers = a->body.p ? 4 : 3,
                                       .body = a->body,
                                       .timeout_ms = 120000,
                                       .max_reply = REPLY_MAX};
    int rc = rec_fetch(s->fetcher, &q, reply, err);
    explicit_bzero(bearer, strlen(bearer));
    pb_free(bearer);
    pb_free(url);
    return rc;
}

/* code and message of an answer that failed. */
static int say_failure(const struct rec_reply *reply, struct pb_err *err)
{
    struct pb_arena mem = {0};
    struct pb_json_object o = {0};
    struct pb_err ignored;
    pbay_str code = {0}, message = {0};
    pbay_result r = {0};
    pbay_sf_result(reply->status, 1, &r);
    if (!pb_json_object(pb_buf_view(&reply->body), MEMBERS, DEPTH, &mem, &o, &ignored)) {
        pb_json_string(pb_json_get(&o, "code"), &mem, &code);
        pb_json_string(pb_json_get(&o, "message"), &mem, &message);
    }
    if (!message.n) message = PB_STR("without a message");
    pb_fail(err, r.code, "Snowflake answered %d %.*s: %.*s", reply->status, PB_FMT(code), PB_FMT(message));
    pb_arena_free(&mem);
    return -1;
}

/* How long until attempt number `n` + 1: what the answer asks for, else twice as long each time. */
static void pause_before_next(int n, const struct rec_reply *reply)
{
    int64_t ms = INT64_C(100) << n;
    if (reply->retry_after_s > 0 && reply->retry_after_s < 120) ms = reply->retry_after_s * 1000;
    rec_sleep_ms(ms);
}

/* Until there is an answer that is one. 0 with *reply (200 or 202). */
static int exchange(struct rec_sql *s, struct ask *a, struct rec_reply *reply, struct pb_err *err)
{
    bool renewed = false;
    for (int attempt = 1;; attempt++) {
        int rc = send(s, a, reply, err);
        uint32_t class = rc ? PBAY_SF_AGAIN : pbay_sf_class(reply->status);
        if (class == PBAY_SF_DONE || class == PBAY_SF_RUNNING) return 0;
        if (!rc) say_failure(reply, err);
        if (class == PBAY_SF_TOKEN && !renewed) {
            /* It may have run out, or been changed since it was fetched. */
            renewed = true;
            rec_reply_free(reply);
            if (load_secret(s, err)) return -1;
            continue;
        }
        if (class != PBAY_SF_AGAIN || attempt == ATTEMPTS) {
            rec_reply_free(reply);
            return -1;
        }
        pause_before_next(attempt, reply);
        rec_reply_free(reply);
        if (a->request_id) pbay_sf_path_submit(a->request_id, 1, 0, a->path);
    }
}

/* ------------------------------------------------------------------------------------------------ results */

static int bad_reply(const char *what, struct pb_err *err)
{
    return pb_fail(err, PBAY_INTERNAL, "Snowflake's answer has no %s", what);
}

static int read_columns(struct rec_result *r, pbay_str meta, struct pb_err *err)
{
    struct pb_json_object o, column;
    pbay_str *items;
    size_t n;
    if (pb_json_object(meta, MEMBERS, DEPTH, &r->mem, &o, err)) return bad_reply("resultSetMetaData", err);
    if (pb_json_array(pb_json_get(&o, "rowType"), COLUMNS_MAX, DEPTH, &r->mem, &items, &n, err))
        return bad_reply("rowType", err);
    r->columns = pb_arena_alloc(&r->mem, (n + 1) * sizeof *r->columns);
    for (size_t i = 0; i < n; i++) {
        if (pb_json_object(items[i], MEMBERS, DEPTH, &r->mem, &column, err) ||
            !pb_json_string(pb_json_get(&column, "name"), &r->mem, &r->columns[i]))
            return bad_reply("name of a column", err);
    }
    r->n_columns = (uint32_t)n;
    r->n_partitions = 1;
    pbay_str partitions = pb_json_get(&o, "partitionInfo");
    if (partitions.p && pb_json_array(partitions, PARTITIONS_MAX, DEPTH, &r->mem, &items, &n, err) == 0 &&
        n > 1)
        r->n_partitions = (uint32_t)n;
    return 0;
}

/* The text moves into the result's memory, which everything else borrows from. */
static int take_reply(struct rec_reply *reply, struct rec_result *r, bool first, struct pb_err *err)
{
    struct pb_json_object o;
    char *text = pb_arena_alloc(&r->mem, reply->body.n + 1);
    if (reply->body.n) memcpy(text, reply->body.p, reply->body.n);
    pbay_str json = pb_str(text, reply->body.n);
    rec_reply_free(reply);
    if (pb_json_object(json, MEMBERS, DEPTH, &r->mem, &o, err))
        return pb_fail_in(err, "Snowflake's answer is not JSON that is understood");
    r->data = pb_json_get(&o, "data");
    if (!first) return r->data.p ? 0 : bad_reply("data", err);
    pb_json_string(pb_json_get(&o, "statementHandle"), &r->mem, &r->handle);
    pbay_str meta = pb_json_get(&o, "resultSetMetaData");
    return meta.p ? read_columns(r, meta, err) : 0; /* several statements have none */
}

static int poll(struct rec_sql *s, struct rec_reply *reply, struct pb_err *err)
{
    struct ask a = {.method = "GET"};
    for (int64_t wait = 200; reply->status == 202; wait = wait < 5000 ? wait * 2 : 5000) {
        struct rec_result running = {0};
        int rc = take_reply(reply, &running, true, err);
        if (!rc && !pbay_sf_path_poll(running.handle, 0, a.path)) rc = bad_reply("statementHandle", err);
        rec_result_free(&running);
        if (rc) return -1;
        rec_sleep_ms(wait);
        if (exchange(s, &a, reply, err)) return -1;
    }
    return 0;
}

static void put(void *to, const char *p, size_t n)
{
    pb_buf_add(to, p, n);
}

static pbay_str or_none(const char *text)
{
    return pb_str_c(text ? text : "");
}

int rec_sql_run(struct rec_sql *s, pbay_sf_statement *st, struct rec_result *out, struct pb_err *err)
{
    struct pb_buf body = {0};
    uint8_t random[16];
    char id[PBAY_SF_UUID];
    struct rec_reply reply = {0};
    struct rec_result unseen = {0};
    st->database = or_none(s->h->database);
    st->schema = or_none(s->h->schema);
    st->warehouse = or_none(s->h->warehouse);
    st->role = or_none(s->h->role);
    st->query_tag = PB_STR("patchbay-recommender");
    pbay_sf_put_body(st, put, &body);
    pb_random(random, sizeof random);
    pbay_sf_uuid(random, id);
    struct ask a = {.method = "POST", .body = pb_buf_view(&body), .request_id = id};
    pbay_sf_path_submit(id, 0, 0, a.path);
    if (!out) out = &unseen;
    *out = (struct rec_result){0};
    int rc = exchange(s, &a, &reply, err);
    if (!rc) rc = poll(s, &reply, err);
    if (!rc) rc = take_reply(&reply, out, true, err);
    if (rc || out == &unseen) rec_result_free(out);
    pb_buf_free(&body);
    return rc;
}

int rec_sql_partition(struct rec_sql *s, pbay_str handle, uint32_t partition, struct rec_result *out,
                      struct pb_err *err)
{
    struct ask a = {.method = "GET"};
    struct rec_reply reply = {0};
    *out = (struct rec_result){0};
    if (!pbay_sf_path_poll(handle, partition, a.path)) return bad_reply("statementHandle", err);
    int rc = exchange(s, &a, &reply, err);
    if (!rc) rc = take_reply(&reply, out, false, err);
    if (rc) rec_result_free(out);
    return rc;
}

void rec_result_free(struct rec_result *r)
{
    pb_arena_free(&r->mem);
    *r = (struct rec_result){0};
}
