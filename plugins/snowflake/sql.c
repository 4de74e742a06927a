/* SPDX-License-Identifier: MIT */
#include "sql.h"

#include <jansson.h>

enum { URL_MAX = 512, REPLY_MAX = 128 << 20, TIMEOUT_MS = 60000 };

struct sql {
    struct snowflake *s;
    pbay_key *key;
    pbay_sf_jwt *jwt;
    const char *type; /* of the token */
    char url[URL_MAX];
    struct sql_call *calls;
};

struct sql_call {
    struct sql *q;
    struct sql_call *next;
    pbay_http exchange;
    sql_answered fn;
    void *user;
    char *body;
    size_t n_body;
    char method[8], path[PBAY_SF_PATH];
    int submitted, refused, dropped;
};

/* ------------------------------------------------------------------------------------------------ who asks
 */

static pbay_str opt(const struct snowflake *s, const char *name)
{
    return s->host->get_str(s->config, name);
}

/* https://ACCOUNT.snowflakecomputing.com, in lower case with '-' for '_', as host names are. */
static int make_url(struct sql *q, pbay_result *why)
{
    pbay_str url = opt(q->s, "snowflake_url"), account = opt(q->s, "account");
    while (url.n && url.p[url.n - 1] == '/') url.n--;
    if (url.n) {
        snprintf(q->url, sizeof q->url, "%.*s", (int)(url.n < 400 ? url.n : 400), url.p);
        return 0;
    }
    int good = account.n > 0 && account.n < 200;
    for (size_t i = 0; i < account.n && good; i++) {
        char c = account.p[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    }
    if (!good) {
        snowflake_refuse(q->s, why, PBAY_INVALID_ARGUMENT,
                         "account = %.*s is not an account's identifier (ORGANISATION-NAME, or its locator)",
                         account.n < 80 ? (int)account.n : 80, account.n ? account.p : "");
        return -1;
    }
    int n = snprintf(q->url, sizeof q->url, "https://%.*s.snowflakecomputing.com", (int)account.n, account.p);
    for (int i = 0; i < n; i++) {
        char *c = &q->url[i];
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c | 32);
        if (*c == '_') *c = '-';
    }
    return 0;
}

struct sql *sql_new(struct snowflake *s, pbay_result *why)
{
    pbay_str pem = opt(s, "private_key"), token = opt(s, "token"), user = opt(s, "user");
    if (!pem.n && !token.n) return NULL;
    struct sql *q = calloc(1, sizeof *q);
    if (!q) abort();
    q->s = s;
    q->type = s->host->get_int(s->config, "token_type") == 1 ? PBAY_SF_OAUTH : PBAY_SF_PAT;
    if (make_url(q, why)) goto failed;
    if (pem.n) {
        q->type = PBAY_SF_KEYPAIR;
        if (!user.n || !opt(s, "account").n) {
            snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "private_key wants account and user");
            goto failed;
        }
        q->key = s->crypto->key_load(pem, opt(s, "private_key_passphrase"), why);
        if (!q->key) goto failed;
        q->jwt = pbay_sf_jwt_new(s->crypto, q->key, opt(s, "account"), user);
        if (!q->jwt) {
            snowflake_refuse(s, why, PBAY_INVALID_ARGUMENT, "account or user cannot stand in a token");
            goto failed;
        }
    }
    return q;
failed:
    sql_free(q);
    return NULL;
}

void sql_free(struct sql *q)
{
    if (!q) return;
    pbay_sf_jwt_free(q->jwt);
    if (q->key) q->s->crypto->key_free(q->key);
    free(q);
}

void sql_defaults(const struct sql *q, pbay_sf_statement *st)
{
    if (!st->database.n) st->database = opt(q->s, "database");
    if (!st->schema.n) st->schema = opt(q->s, "schema");
    if (!st->warehouse.n) st->warehouse = opt(q->s, "warehouse");
    if (!st->role.n) st->role = opt(q->s, "role");
}

/* ------------------------------------------------------------------------------------------------ requests
 */

static int send_it(struct sql_call *c, pbay_result *why);

static void end_call(struct sql_call *c, int32_t status, const pbay_result *r, pbay_str body)
{
    for (struct sql_call **at = &c->q->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    c->fn(c->user, status, r, body);
    free(c->body);
    free(c);
}

/* {"code","message","sqlState"} as a result. */
static void complain(struct sql_call *c, const pbay_http_reply *reply, pbay_result *r)
{
    struct snowflake *s = c->q->s;
    pbay_sf_result(reply->status, c->submitted, r);
    json_t *v = reply->body.n ? json_loadb(reply->body.p, reply->body.n, JSON_ALLOW_NUL, NULL) : NULL;
    const char *message = json_string_value(json_object_get(v, "message"));
    const char *state = json_string_value(json_object_get(v, "sqlState"));
    const char *code = json_string_value(json_object_get(v, "code"));
    static char vendor[64];
    int32_t rc = r->code;
    snprintf(vendor, sizeof vendor, "%s", code ? code : "");
    if (!reply->status)
        snowflake_refuse(s, r, rc, "Snowflake: %.*s", (int)reply->result.message.n, reply->result.message.p);
    else
        snowflake_refuse(s, r, rc, "Snowflake: status %d%s%s%s%s: %.600s", (int)reply->status,
                         code ? ", code " : "", code ? code : "", state ? ", SQL state " : "",
                         state ? state : "", message ? message : "no message");
    r->vendor_code = str_c(vendor);
    for (uint32_t i = 0; i < reply->n_headers; i++)
        if (str_is(reply->headers[i].name, "retry-after")) {
            double seconds;
            if (s->batch->to_num(reply->headers[i].value, &seconds) && seconds > 0 && seconds < 3600)
                r->retry_after_ms = (int64_t)(seconds * 1000);
        }
    json_decref(v);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct sql_call *c = user;
    struct sql *q = c->q;
    pbay_result r = PBAY_RESULT_OK;
    (void)exchange;
    c->exchange = 0;
    uint32_t class = pbay_sf_class(reply->status);
    if (class == PBAY_SF_TOKEN && reply->status == 401 && !c->refused && !c->dropped) {
        c->refused = 1;
        if (q->jwt) pbay_sf_jwt_drop(q->jwt);
        if (!q->jwt && q->s->secret) q->s->secret->refused(q->s->host, "token");
        if (!send_it(c, &r)) return;
    }
    if (c->dropped) {
        r.code = PBAY_CANCELLED;
        r.effect = c->submitted ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE;
        r.message = STR("cancelled");
    } else if (class != PBAY_SF_DONE && class != PBAY_SF_RUNNING && r.code == PBAY_OK)
        complain(c, reply, &r);
    end_call(c, reply->status, &r, reply->body);
}

static int send_it(struct sql_call *c, pbay_result *why)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct sql *q = c->q;
    struct snowflake *s = q->s;
    char url[URL_MAX + PBAY_SF_PATH];
    pbay_text bearer = {0};
    pbay_str token = opt(s, "token");
    if (q->jwt)
        token = pbay_sf_jwt_token(q->jwt, s->timer->now_ms());
    else if (s->secret && s->secret->get(s->host, "token", &token, why) != PBAY_OK)
        return -1;
    if (!token.n) {
        snowflake_refuse(s, why, PBAY_UNAUTHENTICATED,
                         "no token could be made: private_key must be an RSA key");
        return -1;
    }
    pbay_text_c(&bearer, "Bearer ");
    pbay_text_add(&bearer, token);
    snprintf(url, sizeof url, "%s%s", q->url, c->path);
    const pbay_header headers[] = {
        {STR("Authorization"), pbay_text_view(&bearer)},
        {STR("X-Snowflake-Authorization-Token-Type"), str_c(q->type)},
        {STR("Content-Type"), STR("application/json")},
        {STR("Accept"), STR("application/json")},
        {STR("User-Agent"), s->host->version(s->host)},
    };
    pbay_http_request request = {.struct_size = sizeof request,
                                 .flags = opt(s, "snowflake_url").n ? PBAY_HTTP_CONFIGURED : 0,
                                 .method = str_c(c->method),
                                 .url = str_c(url),
                                 .headers = headers,
                                 .n_headers = sizeof headers / sizeof *headers,
                                 .body = {c->body, c->n_body},
                                 .timeout_ms = TIMEOUT_MS,
                                 .max_reply = REPLY_MAX};
    c->exchange = s->http->send(s->host, &request, &events, c, why);
    pbay_text_free(&bearer);
    return c->exchange ? 0 : -1;
}

int sql_send(struct sql *q, const char *method, const char *path, pbay_str body, int submitted,
             sql_answered fn, void *user, struct sql_call **call, pbay_result *why)
{
    struct sql_call *c = calloc(1, sizeof *c);
    if (!c || !(c->body = malloc(body.n + 1))) abort();
    if (body.n) memcpy(c->body, body.p, body.n);
    c->n_body = body.n;
    c->q = q;
    c->fn = fn;
    c->user = user;
    c->submitted = submitted;
    snprintf(c->method, sizeof c->method, "%s", method);
    snprintf(c->path, sizeof c->path, "%s", path);
    if (send_it(c, why)) {
        free(c->body);
        free(c);
        return -1;
    }
    c->next = q->calls;
    q->calls = c;
    if (call) *call = c;
    return 0;
}

void sql_drop(struct sql_call *c)
{
    c->dropped = 1;
    if (c->exchange) c->q->s->http->cancel(c->exchange);
}

/* ------------------------------------------------------------------------------------------------ texts */

void sql_request_id(const struct snowflake *s, pbay_str key, char out[PBAY_SF_UUID])
{
    uint8_t h[32];
    const pbay_str parts[] = {s->host->name(s->host), {"", 1}, key};
    s->crypto->hash(PBAY_HASH_SHA256, parts, 3, h);
    pbay_sf_uuid(h, out);
}

int sql_is_name(pbay_str name, unsigned max_parts)
{
    unsigned parts = 0;
    size_t i = 0;
    while (i < name.n) {
        size_t from = i;
        if (name.p[i] == '"') {
            for (i++; i < name.n && name.p[i] != '"'; i++)
                if ((unsigned char)name.p[i] < 0x20) return 0;
            if (i == name.n || i == from + 1) return 0;
            i++;
        } else
            while (i < name.n) {
                char c = name.p[i];
                int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
                if (!letter && !(i > from && ((c >= '0' && c <= '9') || c == '$'))) break;
                i++;
            }
        if (i == from || ++parts > max_parts) return 0;
        if (i == name.n) return 1;
        if (name.p[i++] != '.') return 0;
    }
    return 0;
}

void sql_put_insert(pbay_text *t, pbay_str table, const pbay_str *columns, uint32_t n)
{
    pbay_text_c(t, "insert into ");
    pbay_text_add(t, table);
    for (uint32_t i = 0; columns && i < n; i++) {
        pbay_text_c(t, i ? ", " : " (");
        pbay_text_add(t, columns[i]);
    }
    pbay_text_c(t, columns ? ") values (" : " values (");
    for (uint32_t i = 0; i < n; i++) pbay_text_c(t, i ? ", ?" : "?");
    pbay_text_c(t, ")");
}

void sql_put(void *text, const char *p, size_t n)
{
    pbay_text_add(text, (pbay_str){p, n});
}
