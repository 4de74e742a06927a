/* SPDX-License-Identifier: MIT */
#include "kit/snowflake_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ tokens */

enum { NAME_MAX_ = 255, SIGNATURE_MAX = 1024 };

struct pbay_sf_jwt {
    const pbay_crypto_1 *crypto;
    const pbay_key *key;
    char claims[2 * (NAME_MAX_ + 1)]; /* "ACCOUNT.USER" as it stands in JSON */
    char print[64];                   /* "SHA256:..." */
    char *token;                      /* NULL: none yet */
    size_t n;
    int64_t until_ms;
};

static const char base64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* RFC 4648; pad: '=' or 0. Returns the length; out has room for 4 * (n + 2) / 3. */
static size_t base64(const char *alphabet, char pad, const uint8_t *in, size_t n, char *out)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t left = (uint32_t)(n - i);
        uint32_t v = (uint32_t)in[i] << 16;
        if (left > 1) v |= (uint32_t)in[i + 1] << 8;
        if (left > 2) v |= in[i + 2];
        out[at++] = alphabet[v >> 18];
        out[at++] = alphabet[v >> 12 & 63];
        if (left > 1 || pad) out[at++] = left > 1 ? alphabet[v >> 6 & 63] : pad;
        if (left > 2 || pad) out[at++] = left > 2 ? alphabet[v & 63] : pad;
    }
    return at;
}

/* In capitals, as far as `stop`. A name that could end the JSON string it goes into is none. */
static size_t put_name(char *to, pbay_str name, char stop)
{
    size_t n = 0;
    for (; n < name.n && name.p[n] != stop; n++) {
        unsigned char c = (unsigned char)name.p[n];
        if (c < 0x20 || c == '"' || c == '\\') return 0;
        to[n] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return n;
}

pbay_sf_jwt *pbay_sf_jwt_new(const pbay_crypto_1 *crypto, const pbay_key *key, pbay_str account,
                             pbay_str user)
{
    uint8_t digest[32];
    pbay_str der = crypto->public_der(key);
    if (!account.n || account.n > NAME_MAX_ || !user.n || user.n > NAME_MAX_) return NULL;
    pbay_sf_jwt *j = calloc(1, sizeof *j);
    if (!j) return NULL;
    j->crypto = crypto;
    j->key = key;
    size_t n = put_name(j->claims, account, '.');
    j->claims[n] = '.';
    size_t m = put_name(j->claims + n + 1, user, 0);
    if (!n || !m || crypto->hash(PBAY_HASH_SHA256, &der, 1, digest) != PBAY_OK) {
        free(j);
        return NULL;
    }
    memcpy(j->print, "SHA256:", 7);
    base64(base64_std, '=', digest, sizeof digest, j->print + 7);
    return j;
}

void pbay_sf_jwt_drop(pbay_sf_jwt *j)
{
    free(j->token);
    j->token = NULL;
    j->n = 0;
}

void pbay_sf_jwt_free(pbay_sf_jwt *j)
{
    if (!j) return;
    pbay_sf_jwt_drop(j);
    free(j);
}

static int make(pbay_sf_jwt *j, int64_t now_s)
{
    static const char head[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
    char claims[3 * NAME_MAX_ + 512];
    uint8_t sig[SIGNATURE_MAX];
    size_t sig_n = sizeof sig;
    int n = snprintf(claims, sizeof claims, "{\"iss\":\"%s.%s\",\"sub\":\"%s\",\"iat\":%lld,\"exp\":%lld}",
                     j->claims, j->print, j->claims, (long long)now_s, (long long)now_s + PBAY_SF_JWT_LIFE_S);
    if (n < 0 || (size_t)n >= sizeof claims) return -1;
    char *t = malloc(4 * (sizeof head + (size_t)n + SIGNATURE_MAX) / 3 + 16);
    if (!t) return -1;
    size_t at = base64(base64_url, 0, (const uint8_t *)head, sizeof head - 1, t);
    t[at++] = '.';
    at += base64(base64_url, 0, (const uint8_t *)claims, (size_t)n, t + at);
    const pbay_str part = {t, at};
    if (j->crypto->sign(j->key, PBAY_SIGN_RS256, &part, 1, sig, &sig_n) != PBAY_OK) {
        free(t);
        return -1;
    }
    t[at++] = '.';
    at += base64(base64_url, 0, sig, sig_n, t + at);
    j->token = t;
    j->n = at;
    j->until_ms = (now_s + PBAY_SF_JWT_LIFE_S - PBAY_SF_JWT_RENEW_S) * 1000;
    return 0;
}

pbay_str pbay_sf_jwt_token(pbay_sf_jwt *j, int64_t now_ms)
{
    const pbay_str none = {NULL, 0};
    if (j->token && now_ms >= j->until_ms) pbay_sf_jwt_drop(j);
    if (!j->token && make(j, now_ms / 1000)) return none;
    const pbay_str token = {j->token, j->n};
    return token;
}

/* ------------------------------------------------------------------------------------------------ requests
 */

struct sink {
    pbay_sf_put put;
    void *to;
};

static void put_c(const struct sink *s, const char *text)
{
    s->put(s->to, text, strlen(text));
}

static void put_string(const struct sink *s, pbay_str v)
{
    size_t from = 0;
    s->put(s->to, "\"", 1);
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        char escape[8];
        int n = snprintf(escape, sizeof escape, c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c);
        s->put(s->to, v.p + from, i - from);
        s->put(s->to, escape, (size_t)n);
        from = i + 1;
    }
    if (v.n > from) s->put(s->to, v.p + from, v.n - from);
    s->put(s->to, "\"", 1);
}

static void put_number(const struct sink *s, int64_t v)
{
    char text[24];
    s->put(s->to, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

static void put_member(const struct sink *s, const char *name, pbay_str value)
{
    if (!value.n) return;
    put_c(s, ",\"");
    put_c(s, name);
    put_c(s, "\":");
    put_string(s, value);
}

static void put_value(const struct sink *s, pbay_str v)
{
    if (v.p)
        put_string(s, v);
    else
        put_c(s, "null");
}

static void put_binding(const struct sink *s, uint32_t number, const pbay_sf_binding *b)
{
    put_c(s, number > 1 ? ",\"" : "\"");
    put_number(s, number);
    put_c(s, "\":{\"type\":\"");
    put_c(s, b->type);
    put_c(s, b->many ? "\",\"value\":[" : "\",\"value\":");
    for (uint32_t i = 0; i < b->n; i++) {
        if (i) put_c(s, ",");
        put_value(s, b->values[i]);
    }
    put_c(s, b->many ? "]}" : "}");
}

void pbay_sf_put_body(const pbay_sf_statement *st, pbay_sf_put put, void *to)
{
    const struct sink sink = {put, to}, *s = &sink;
    put_c(s, "{\"statement\":");
    put_string(s, st->text);
    if (st->timeout_s > 0) {
        put_c(s, ",\"timeout\":");
        put_number(s, st->timeout_s);
    }
    put_member(s, "database", st->database);
    put_member(s, "schema", st->schema);
    put_member(s, "warehouse", st->warehouse);
    put_member(s, "role", st->role);
    if (st->n_bindings) {
        put_c(s, ",\"bindings\":{");
        for (uint32_t i = 0; i < st->n_bindings; i++) put_binding(s, i + 1, &st->bindings[i]);
        put_c(s, "}");
    }
    if (st->n_statements > 1 || st->query_tag.n) {
        put_c(s, ",\"parameters\":{");
        if (st->n_statements > 1) {
            put_c(s, "\"MULTI_STATEMENT_COUNT\":\"");
            put_number(s, st->n_statements == UINT32_MAX ? 0 : st->n_statements);
            put_c(s, st->query_tag.n ? "\"," : "\"");
        }
        if (st->query_tag.n) {
            put_c(s, "\"QUERY_TAG\":");
            put_string(s, st->query_tag);
        }
        put_c(s, "}");
    }
    put_c(s, "}");
}

void pbay_sf_uuid(const uint8_t random[16], char out[PBAY_SF_UUID])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < 16; i++) {
        uint8_t b = random[i];
        if (i == 6) b = (uint8_t)((b & 0x0f) | 0x40);
        if (i == 8) b = (uint8_t)((b & 0x3f) | 0x80);
        if (i == 4 || i == 6 || i == 8 || i == 10) out[at++] = '-';
        out[at++] = digits[b >> 4];
        out[at++] = digits[b & 15];
    }
    out[at] = 0;
}

size_t pbay_sf_path_submit(const char *request_id, int again, int async, char out[PBAY_SF_PATH])
{
    return (size_t)snprintf(out, PBAY_SF_PATH, "/api/v2/statements?requestId=%s&retry=%s&async=%s",
                            request_id, again ? "true" : "false", async ? "true" : "false");
}

/* What stands in a path is looked at first. */
static int is_handle(pbay_str h)
{
    if (!h.n || h.n > 64) return 0;
    for (size_t i = 0; i < h.n; i++) {
        char c = h.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'))
            return 0;
    }
    return 1;
}

size_t pbay_sf_path_poll(pbay_str handle, uint32_t partition, char out[PBAY_SF_PATH])
{
    if (!is_handle(handle)) return 0;
    int n = (int)handle.n;
    if (!partition) return (size_t)snprintf(out, PBAY_SF_PATH, "/api/v2/statements/%.*s", n, handle.p);
    return (size_t)snprintf(out, PBAY_SF_PATH, "/api/v2/statements/%.*s?partition=%u", n, handle.p,
                            partition);
}

size_t pbay_sf_path_cancel(pbay_str handle, char out[PBAY_SF_PATH])
{
    if (!is_handle(handle)) return 0;
    return (size_t)snprintf(out, PBAY_SF_PATH, "/api/v2/statements/%.*s/cancel", (int)handle.n, handle.p);
}

/* ------------------------------------------------------------------------------------------------ answers */

uint32_t pbay_sf_class(int32_t status)
{
    if (status == 200) return PBAY_SF_DONE;
    if (status == 202) return PBAY_SF_RUNNING;
    if (status == 401 || status == 403) return PBAY_SF_TOKEN;
    if (status == 0 || status == 429 || status >= 500) return PBAY_SF_AGAIN;
    return PBAY_SF_FAILED;
}

void pbay_sf_result(int32_t status, int submitted, pbay_result *r)
{
    r->vendor_status = status;
    r->effect = PBAY_EFFECT_NONE;
    r->advice = PBAY_ADVICE_NONE;
    switch (status) {
    case 400: r->code = PBAY_INVALID_ARGUMENT; break;
    case 401: r->code = PBAY_UNAUTHENTICATED; break;
    case 403: r->code = PBAY_PERMISSION_DENIED; break;
    case 404: r->code = PBAY_NOT_FOUND; break;
    case 408: r->code = PBAY_DEADLINE_EXCEEDED; break; /* the statement's own timeout: it was rolled back */
    case 422: r->code = PBAY_FAILED_PRECONDITION; break;
    case 429:
        r->code = PBAY_RESOURCE_EXHAUSTED;
        r->advice = PBAY_ADVICE_SLOW;
        break;
    default:
        r->code = status == 0 || status >= 500 ? PBAY_UNAVAILABLE : PBAY_INTERNAL;
        if (r->code == PBAY_UNAVAILABLE) {
            r->advice = PBAY_ADVICE_RETRY;
            if (submitted) r->effect = PBAY_EFFECT_MAYBE;
        }
    }
}
