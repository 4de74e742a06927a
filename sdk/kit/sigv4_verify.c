/* SPDX-License-Identifier: MIT */
/* The other side: whether a request was signed as its Authorization header claims. */
#include <string.h>
#include <time.h>

#include "kit/sigv4.h"
#include "kit/sigv4_priv.h"

static int is(pbay_str s, const char *lit)
{
    return s.n == strlen(lit) && memcmp(s.p, lit, s.n) == 0;
}

/* Cut off the front of *rest up to sep (or its end). */
static pbay_str cut(pbay_str *rest, char sep)
{
    const char *at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
    pbay_str s = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    size_t skip = s.n + (at ? 1 : 0);
    rest->p += skip;
    rest->n -= skip;
    return s;
}

static int strip(pbay_str *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->n < n || memcmp(s->p, prefix, n) != 0) return 0;
    s->p += n;
    s->n -= n;
    return 1;
}

int32_t pbay_sigv4_parse(pbay_str authorization, pbay_sigv4_claim *claim)
{
    pbay_str rest = authorization, credential = {NULL, 0};
    memset(claim, 0, sizeof *claim);
    if (!strip(&rest, "AWS4-HMAC-SHA256 ")) return PBAY_UNAUTHENTICATED;
    while (rest.n) {
        pbay_str part = cut(&rest, ',');
        while (part.n && part.p[0] == ' ') strip(&part, " ");
        if (strip(&part, "Credential="))
            credential = part;
        else if (strip(&part, "SignedHeaders="))
            claim->signed_headers = part;
        else if (strip(&part, "Signature="))
            claim->signature = part;
    }
    claim->key_id = cut(&credential, '/');
    claim->day = cut(&credential, '/');
    claim->region = cut(&credential, '/');
    claim->service = cut(&credential, '/');
    int whole = is(credential, "aws4_request") && claim->key_id.n && claim->day.n == 8 && claim->region.n &&
                claim->service.n && claim->signed_headers.n && claim->signature.n == 64;
    return whole ? PBAY_OK : PBAY_UNAUTHENTICATED;
}

/* "20261121T000000Z" to ms, or -1. */
static int64_t date_ms(pbay_str s)
{
    static const char shape[] = "ddddddddTddddddZ";
    if (s.n != sizeof shape - 1) return -1;
    int v[14], n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (shape[i] != 'd') {
            if (s.p[i] != shape[i]) return -1;
        } else if (s.p[i] < '0' || s.p[i] > '9') {
            return -1;
        } else {
            v[n++] = s.p[i] - '0';
        }
    }
    struct tm tm = {0};
    tm.tm_year = v[0] * 1000 + v[1] * 100 + v[2] * 10 + v[3] - 1900;
    tm.tm_mon = v[4] * 10 + v[5] - 1;
    tm.tm_mday = v[6] * 10 + v[7];
    tm.tm_hour = v[8] * 10 + v[9];
    tm.tm_min = v[10] * 10 + v[11];
    tm.tm_sec = v[12] * 10 + v[13];
    return (int64_t)timegm(&tm) * 1000;
}

static int32_t no(const char **why, const char *text)
{
    *why = text;
    return PBAY_UNAUTHENTICATED;
}

int32_t pbay_sigv4_verify(pbay_sigv4 *s, const pbay_sigv4_claim *claim, pbay_str secret, int64_t now_ms,
                          int64_t skew_ms, const pbay_sigv4_request *request, pbay_sigv4_signed *expected,
                          const char **why)
{
    pbay_sigv4_signed spare;
    if (!expected) expected = &spare;
    memset(expected, 0, sizeof *expected);
    pbay_str names = claim->signed_headers, date = {NULL, 0}, payload = {NULL, 0};
    uint32_t n = 0;
    int has_host = 0;
    while (names.n) {
        pbay_str name = cut(&names, ';');
        uint32_t before = n;
        for (uint32_t i = 0; i < request->n_headers; i++) {
            pbay_str have = request->headers[i].name;
            if (have.n != name.n || name.n == 0 || memcmp(have.p, name.p, name.n) != 0) continue;
            if (n == sizeof s->headers / sizeof *s->headers) return no(why, "too many signed headers");
            s->headers[n++] = (struct pbay__sigv4_header){have, request->headers[i].value};
        }
        if (n == before) return no(why, "a header that is said to be signed is missing");
        pbay_str value = s->headers[before].value;
        if (is(name, "host")) has_host = 1;
        if (is(name, "x-amz-date")) date = value;
        if (is(name, "x-amz-content-sha256")) payload = value;
    }
    if (!has_host) return no(why, "the host header must be signed");
    int64_t at = date_ms(date);
    if (at < 0) return no(why, "a signed x-amz-date like 20261121T000000Z is needed");
    if (memcmp(date.p, claim->day.p, 8) != 0)
        return no(why, "the date of the credential is not that of x-amz-date");
    if (at > now_ms + skew_ms || at < now_ms - skew_ms)
        return no(why, "the signature has expired or is not yet current: check the clock");
    memcpy(s->date, date.p, PBAY_SIGV4_DATE);
    pbay_sigv4_request r = *request;
    r.flags &= ~PBAY_SIGV4_UNSIGNED;
    if (is(payload, "UNSIGNED-PAYLOAD")) {
        if (!(request->flags & PBAY_SIGV4_UNSIGNED)) return no(why, "the body must be signed");
        r.flags |= PBAY_SIGV4_UNSIGNED;
    } else {
        pbay__sigv4_hash_body(s, request->body);
        if (payload.n && !(payload.n == 64 && memcmp(payload.p, s->payload, 64) == 0))
            return no(why, "x-amz-content-sha256 is not the hash of the body");
    }
    pbay_str listed;
    if (pbay__sigv4_compute(s, &r, n, secret, claim->region, claim->service, expected, &listed))
        return no(why, "out of memory");
    if (!s->crypto->equal(expected->signature, claim->signature))
        return no(why, "the signature does not match: check the secret key and what was signed");
    return PBAY_OK;
}
