/* SPDX-License-Identifier: MIT */
#include "guard/jwt.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "data/json_object.h"
#include "data/json_scan.h"
#include "guard/jwt_keys.h"

enum { HEADER_MEMBERS = 32, CLAIMS = 256, DEPTH = 16, LEEWAY_MAX_MS = 5 * 60 * 1000, TRIES_MAX = 8 };

int pb_jwt_rule_check(const struct pb_jwt_rule *rule, struct pb_err *err)
{
    if (!rule->issuer.n)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "tokens need an issuer: the text of \"iss\", exactly");
    if (!rule->n_audiences)
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "tokens need an audience: without one a token made for another service would be taken here");
    if (rule->leeway_ms < 0 || rule->leeway_ms > LEEWAY_MAX_MS)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a leeway is between 0 and 5 minutes");
    if (rule->n_require > PB_JWT_CLAIMS_MAX || rule->n_keep > PB_JWT_CLAIMS_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "at most %d claims can be asked for", PB_JWT_CLAIMS_MAX);
    return 0;
}

static enum pb_jwt_fault refuse(struct pb_err *err, enum pb_jwt_fault fault, const char *fmt, ...)
    PB_PRINTF(3, 4);
static enum pb_jwt_fault refuse(struct pb_err *err, enum pb_jwt_fault fault, const char *fmt, ...)
{
    char text[PB_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pb_fail(err, PBAY_UNAUTHENTICATED, "token: %s", text);
    return fault;
}

/* One of the three parts as JSON. */
static enum pb_jwt_fault read_part(const char *what, pbay_str text, size_t max, struct pb_arena *a,
                                   struct pb_json_object *out, struct pb_err *err)
{
    struct pb_buf b = {0};
    struct pb_err why = {0};
    enum pb_jwt_fault fault = PB_JWT_GOOD;
    if (!pb_base64url_decode(text, &b))
        fault = refuse(err, PB_JWT_MALFORMED, "its %s is not base64url", what);
    else if (pb_json_object(pb_arena_str(a, pb_buf_view(&b)), max, DEPTH, a, out, &why))
        fault = refuse(err, PB_JWT_MALFORMED, "%s: %s", what, why.msg);
    pb_buf_free(&b);
    return fault;
}

/* ------------------------------------------------------------------------------------------------ signature
 */

struct header {
    enum pb_jwk_type type;
    bool has_kid;
    pbay_str kid;
};

static enum pb_jwt_fault read_header(pbay_str text, struct pb_arena *a, struct header *h, struct pb_err *err)
{
    struct pb_json_object o;
    enum pb_jwt_fault fault = read_part("header", text, HEADER_MEMBERS, a, &o, err);
    if (fault) return fault;
    pbay_str alg, kid = pb_json_get(&o, "kid");
    if (!pb_json_string(pb_json_get(&o, "alg"), a, &alg))
        return refuse(err, PB_JWT_MALFORMED, "its header has no alg");
    if (pb_str_is(alg, "RS256"))
        h->type = PB_JWK_RSA;
    else if (pb_str_is(alg, "ES256"))
        h->type = PB_JWK_EC_P256;
    else
        return refuse(err, PB_JWT_ALG, "its alg is \"%.*s\"; RS256 and ES256 are taken", PB_FMT(alg));
    /* RFC 7515 §4.1.11: what must be understood and is not ends it. */
    if (pb_json_get(&o, "crit").p)
        return refuse(err, PB_JWT_ALG, "it demands extensions (crit); none is known here");
    h->has_kid = kid.p != NULL;
    if (kid.p && !pb_json_string(kid, a, &h->kid))
        return refuse(err, PB_JWT_MALFORMED, "its kid is not a string");
    return PB_JWT_GOOD;
}

static enum pb_jwt_fault check_signature(const struct pb_jwt_keys *keys, const struct header *h,
                                         pbay_str bytes, pbay_str signature, struct pb_err *err)
{
    const char *alg = h->type == PB_JWK_RSA ? "RS256" : "ES256";
    size_t tried = 0, fit = 0;
    for (size_t i = 0; i < keys->n; i++)
        fit += keys->keys[i].type == h->type && (!h->has_kid || pb_str_eq(keys->keys[i].kid, h->kid));
    if (!fit && h->has_kid)
        return refuse(err, PB_JWT_UNKNOWN_KEY, "none of %zu keys has kid \"%.*s\" and fits %s", keys->n,
                      PB_FMT(h->kid), alg);
    if (!fit) return refuse(err, PB_JWT_UNKNOWN_KEY, "none of %zu keys fits %s", keys->n, alg);
    for (size_t i = 0; i < keys->n && tried < TRIES_MAX; i++) {
        const struct pb_jwt_key *k = &keys->keys[i];
        if (k->type != h->type || (h->has_kid && !pb_str_eq(k->kid, h->kid))) continue;
        if (pb_jwt_key_signed(k, bytes, signature)) return PB_JWT_GOOD;
        tried++;
    }
    if (h->has_kid)
        return refuse(err, PB_JWT_SIGNATURE, "its %s signature is not that of key \"%.*s\"", alg,
                      PB_FMT(h->kid));
    return refuse(err, PB_JWT_SIGNATURE, "its %s signature is that of none of the %zu keys that fit", alg,
                  fit);
}

/* ------------------------------------------------------------------------------------------------ claims */

/* NumericDate (RFC 7519 §2) in ms. False: not a number in the years that can be written. */
static bool date_of(pbay_str value, int64_t *ms)
{
    double s;
    if (!value.n || *value.p == '"' || !pb_json_to_num(value, &s) || !(s >= 0 && s < 253402300800.0))
        return false;
    *ms = (int64_t)floor(s * 1000);
    return true;
}

static enum pb_jwt_fault check_times(const struct pb_json_object *o, int64_t leeway, int64_t now,
                                     struct pb_jwt *out, struct pb_err *err)
{
    char at[PB_TIME_MAX];
    int64_t nbf;
    pbay_str v = pb_json_get(o, "exp");
    if (!v.p) return refuse(err, PB_JWT_TIME, "it never expires (no exp)");
    if (!date_of(v, &out->expires_ms)) return refuse(err, PB_JWT_TIME, "its exp is no date");
    if (now >= out->expires_ms + leeway) {
        pb_format_time(out->expires_ms, at);
        return refuse(err, PB_JWT_TIME, "it expired at %s, %lld s ago", at,
                      (long long)((now - out->expires_ms) / 1000));
    }
    v = pb_json_get(o, "nbf");
    if (!v.p) return PB_JWT_GOOD;
    if (!date_of(v, &nbf)) return refuse(err, PB_JWT_TIME, "its nbf is no date");
    if (now + leeway < nbf) {
        pb_format_time(nbf, at);
        return refuse(err, PB_JWT_TIME, "it is valid from %s on, in %lld s: are both clocks right?", at,
                      (long long)((nbf - now) / 1000));
    }
    return PB_JWT_GOOD;
}

/* A string, or an array of strings, as an array. False: neither. Absent: none, and true. */
static bool strings_of(pbay_str value, size_t max, struct pb_arena *a, pbay_str **out, size_t *n)
{
    *out = NULL;
    *n = 0;
    if (!value.p) return true;
    if (*value.p == '"') {
        *out = pb_arena_alloc(a, sizeof **out);
        *n = 1;
        return pb_json_string(value, a, *out);
    }
    if (*value.p != '[' || pb_json_array(value, max, DEPTH, a, out, n, NULL)) return false;
    for (size_t i = 0; i < *n; i++)
        if (!pb_json_string((*out)[i], a, &(*out)[i])) return false;
    return true;
}

static bool one_of(pbay_str s, const pbay_str *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pb_str_eq(s, list[i])) return true;
    return false;
}

static enum pb_jwt_fault check_audience(const struct pb_json_object *o, const struct pb_jwt_rule *rule,
                                        struct pb_arena *a, struct pb_err *err)
{
    pbay_str *aud;
    size_t n;
    if (!strings_of(pb_json_get(o, "aud"), CLAIMS, a, &aud, &n))
        return refuse(err, PB_JWT_CLAIM, "its aud is neither a string nor an array of strings");
    for (size_t i = 0; i < n; i++)
        if (one_of(aud[i], rule->audiences, rule->n_audiences)) return PB_JWT_GOOD;
    if (!n) return refuse(err, PB_JWT_CLAIM, "it names no audience (aud)");
    return refuse(err, PB_JWT_CLAIM, "its audience is \"%.*s\"%s; \"%.*s\"%s is expected", PB_FMT(aud[0]),
                  n > 1 ? " and others" : "", PB_FMT(rule->audiences[0]),
                  rule->n_audiences > 1 ? " or others" : "");
}

/* A claim as text: a string's own, the JSON of anything else. */
static pbay_str claim_text(const struct pb_json_object *o, pbay_str name, struct pb_arena *a)
{
    for (size_t i = 0; i < o->n; i++) {
        pbay_str s = o->members[i].value;
        if (!pb_str_eq(o->members[i].name, name)) continue;
        pb_json_string(s, a, &s);
        return s;
    }
    return pb_str(NULL, 0);
}

static bool read_scopes(const struct pb_json_object *o, const struct pb_jwt_rule *rule, struct pb_arena *a,
                        struct pb_jwt *out)
{
    pbay_str v = {NULL, 0}, *list, word;
    size_t n;
    if (rule->scope_claim.n) {
        for (size_t i = 0; i < o->n; i++)
            if (pb_str_eq(o->members[i].name, rule->scope_claim)) v = o->members[i].value;
    } else if (!(v = pb_json_get(o, "scope")).p)
        v = pb_json_get(o, "scp");
    if (!strings_of(v, PB_JWT_SCOPES_MAX, a, &list, &n)) return false;
    out->scopes = list;
    out->n_scopes = n;
    if (!n || *v.p != '"') return true;
    /* One string: words (RFC 8693 §4.2). */
    pbay_str rest = list[0], *words = pb_arena_alloc(a, PB_JWT_SCOPES_MAX * sizeof *words);
    for (n = 0; pb_str_split(&rest, ' ', &word);) {
        if (!word.n) continue;
        if (n == PB_JWT_SCOPES_MAX) return false;
        words[n++] = word;
    }
    out->scopes = words;
    out->n_scopes = n;
    return true;
}

static enum pb_jwt_fault check_claims(const struct pb_json_object *o, const struct pb_jwt_rule *rule,
                                      int64_t now, struct pb_arena *a, struct pb_jwt *out, struct pb_err *err)
{
    pbay_str iss;
    if (!pb_json_string(pb_json_get(o, "iss"), a, &iss))
        return refuse(err, PB_JWT_CLAIM, "it names no issuer (iss)");
    if (!pb_str_eq(iss, rule->issuer))
        return refuse(err, PB_JWT_CLAIM, "its issuer is \"%.*s\"; \"%.*s\" is expected", PB_FMT(iss),
                      PB_FMT(rule->issuer));
    enum pb_jwt_fault fault = check_audience(o, rule, a, err);
    if (fault) return fault;
    fault = check_times(o, rule->leeway_ms, now, out, err);
    if (fault) return fault;
    pbay_str sub = rule->subject_claim.n ? rule->subject_claim : PB_STR("sub");
    for (size_t i = 0; i < o->n; i++)
        if (pb_str_eq(o->members[i].name, sub) && !pb_json_string(o->members[i].value, a, &out->subject))
            return refuse(err, PB_JWT_CLAIM, "its %.*s is not a string", PB_FMT(sub));
    if (!out->subject.n) return refuse(err, PB_JWT_CLAIM, "it names no subject (%.*s)", PB_FMT(sub));
    for (size_t i = 0; i < rule->n_require; i++) {
        pbay_str got = claim_text(o, rule->require[i].name, a);
        if (got.p && pb_str_eq(got, rule->require[i].value)) continue;
        return refuse(err, PB_JWT_CLAIM, "claim %.*s is \"%.*s\"; \"%.*s\" is expected",
                      PB_FMT(rule->require[i].name), PB_FMT(got), PB_FMT(rule->require[i].value));
    }
    if (!read_scopes(o, rule, a, out))
        return refuse(err, PB_JWT_CLAIM,
                      "its scopes are neither words in a string nor an array of at most %d strings",
                      PB_JWT_SCOPES_MAX);
    struct pb_jwt_claim *kept = pb_arena_alloc(a, (rule->n_keep ? rule->n_keep : 1) * sizeof *kept);
    out->claims = kept;
    for (size_t i = 0; i < rule->n_keep; i++) {
        pbay_str got = claim_text(o, rule->keep[i], a);
        if (got.p) kept[out->n_claims++] = (struct pb_jwt_claim){rule->keep[i], got};
    }
    return PB_JWT_GOOD;
}

enum pb_jwt_fault pb_jwt_verify(const struct pb_jwt_rule *rule, const struct pb_jwt_keys *keys,
                                pbay_str token, int64_t now_ms, struct pb_arena *a, struct pb_jwt *out,
                                struct pb_err *err)
{
    *out = (struct pb_jwt){0};
    if (token.n > PB_JWT_MAX)
        return refuse(err, PB_JWT_MALFORMED, "it has %zu bytes; %d are allowed", token.n, PB_JWT_MAX);
    pbay_str part[4] = {0}, rest = token;
    size_t n = 0;
    while (n < PB_COUNTOF(part) && pb_str_split(&rest, '.', &part[n])) n++;
    if (n != 3) {
        if (n == 4 && rest.p)
            return refuse(err, PB_JWT_MALFORMED, "it is encrypted; signed tokens are taken");
        return refuse(err, PB_JWT_MALFORMED, "a signed token has three parts with dots between");
    }
    struct header h = {0};
    enum pb_jwt_fault fault = read_header(part[0], a, &h, err);
    if (fault) return fault;
    struct pb_buf sig = {0};
    if (!part[2].n || !pb_base64url_decode(part[2], &sig))
        fault = refuse(err, PB_JWT_MALFORMED, "its signature is not base64url");
    else
        fault = check_signature(keys, &h, pb_str(token.p, part[0].n + 1 + part[1].n), pb_buf_view(&sig), err);
    pb_buf_free(&sig);
    struct pb_json_object claims;
    if (!fault) fault = read_part("claims", part[1], CLAIMS, a, &claims, err);
    if (!fault) fault = check_claims(&claims, rule, now_ms, a, out, err);
    if (fault) *out = (struct pb_jwt){0};
    return fault;
}

bool pb_jwt_unverified_issuer(pbay_str token, struct pb_arena *a, pbay_str *issuer)
{
    pbay_str part = {NULL, 0};
    struct pb_json_object claims;
    if (token.n > PB_JWT_MAX || !pb_str_split(&token, '.', &part) || !pb_str_split(&token, '.', &part))
        return false;
    return read_part("claims", part, CLAIMS, a, &claims, NULL) == PB_JWT_GOOD &&
           pb_json_string(pb_json_get(&claims, "iss"), a, issuer);
}
