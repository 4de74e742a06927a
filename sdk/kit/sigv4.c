/* SPDX-License-Identifier: MIT */
#include "kit/sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kit/percent.h"
#include "kit/sigv4_priv.h"

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

static int same(pbay_str a, pbay_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void hex(const uint8_t *in, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
}

/* Secrets must go though nobody reads the memory again. */
static void wipe(void *p, size_t n)
{
    volatile char *v = p;
    while (n--) *v++ = 0;
}

pbay_sigv4 *pbay_sigv4_new(const pbay_crypto_1 *crypto)
{
    pbay_sigv4 *s = calloc(1, sizeof *s);
    if (s) s->crypto = crypto;
    return s;
}

void pbay_sigv4_free(pbay_sigv4 *s)
{
    if (!s) return;
    free(s->text);
    wipe(s, sizeof *s);
    free(s);
}

/* ------------------------------------------------------------------------------------------------ text */

int pbay__sigv4_room(pbay_sigv4 *s, size_t n)
{
    if (s->cap - s->n >= n) return 0;
    size_t cap = s->cap ? s->cap : 2048;
    while (cap - s->n < n) cap *= 2;
    char *p = realloc(s->text, cap);
    if (!p) return -1;
    s->text = p;
    s->cap = cap;
    return 0;
}

/* Room was made before. */
static void put(pbay_sigv4 *s, pbay_str t)
{
    if (t.n) memcpy(s->text + s->n, t.p, t.n);
    s->n += t.n;
}

static void put_ch(pbay_sigv4 *s, char c)
{
    s->text[s->n++] = c;
}

/* Without dot segments and doubled slashes, then every segment encoded once more. */
static void put_path(pbay_sigv4 *s, pbay_str path)
{
    if (path.n == 0) {
        put_ch(s, '/');
        return;
    }
    size_t base = s->n;
    for (size_t i = 0; i < path.n;) {
        size_t from = i;
        while (i < path.n && path.p[i] != '/') i++;
        pbay_str seg = {path.p + from, i - from};
        i++; /* the slash */
        if (seg.n == 0 || same(seg, STR("."))) continue;
        if (same(seg, STR(".."))) {
            while (s->n > base && s->text[--s->n] != '/') {
            }
            continue;
        }
        put_ch(s, '/');
        s->n += pbay_percent_encode(seg, s->text + s->n);
    }
    if (s->n == base || path.p[path.n - 1] == '/') put_ch(s, '/');
}

struct pair {
    pbay_str name, value;
};

static int pair_cmp(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    for (int i = 0; i < 2; i++) {
        pbay_str l = i ? x->value : x->name, r = i ? y->value : y->name;
        size_t n = l.n < r.n ? l.n : r.n;
        int c = n ? memcmp(l.p, r.p, n) : 0;
        if (c) return c;
        if (l.n != r.n) return l.n < r.n ? -1 : 1;
    }
    return 0;
}

static int32_t put_query(pbay_sigv4 *s, pbay_str query)
{
    if (query.n == 0) return PBAY_OK;
    size_t n = 1;
    for (size_t i = 0; i < query.n; i++) n += query.p[i] == '&';
    struct pair *pairs = calloc(n, sizeof *pairs);
    if (!pairs) return PBAY_RESOURCE_EXHAUSTED;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        pairs[i].name.p = query.p + at;
        while (at < query.n && query.p[at] != '&' && query.p[at] != '=') at++;
        pairs[i].name.n = (size_t)(query.p + at - pairs[i].name.p);
        if (at < query.n && query.p[at] == '=') at++;
        pairs[i].value.p = query.p + at;
        while (at < query.n && query.p[at] != '&') at++;
        pairs[i].value.n = (size_t)(query.p + at - pairs[i].value.p);
        at++;
    }
    qsort(pairs, n, sizeof *pairs, pair_cmp);
    for (size_t i = 0; i < n; i++) {
        if (i) put_ch(s, '&');
        put(s, pairs[i].name);
        put_ch(s, '=');
        put(s, pairs[i].value);
    }
    free(pairs);
    return PBAY_OK;
}

/* Without blanks at the ends, and one for each run inside. */
static void put_value(pbay_sigv4 *s, pbay_str v)
{
    int gap = 0;
    size_t start = s->n;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == ' ' || v.p[i] == '\t') {
            gap = 1;
            continue;
        }
        if (gap && s->n > start) put_ch(s, ' ');
        gap = 0;
        put_ch(s, v.p[i]);
    }
}

/* By name; equal names keep the order in which they are sent. */
static void sort_headers(struct pbay__sigv4_header *h, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct pbay__sigv4_header x = h[i];
        uint32_t k = i;
        for (; k; k--) {
            pbay_str l = h[k - 1].name;
            int c = memcmp(l.p, x.name.p, l.n < x.name.n ? l.n : x.name.n);
            if (c < 0 || (c == 0 && l.n <= x.name.n)) break;
            h[k] = h[k - 1];
        }
        h[k] = x;
    }
}

/* ------------------------------------------------------------------------------------------------ keys */

static void hmac(const pbay_sigv4 *s, const uint8_t key[32], pbay_str text, uint8_t out[32])
{
    pbay_str k = {(const char *)key, 32};
    s->crypto->hmac(PBAY_HASH_SHA256, k, &text, 1, out);
}

static void derive(const pbay_sigv4 *s, pbay_str secret, pbay_str day, pbay_str region, pbay_str service,
                   uint8_t out[32])
{
    char first[4 + PBAY_SIGV4_PART];
    char *key = secret.n <= PBAY_SIGV4_PART ? first : malloc(4 + secret.n);
    if (!key) abort();
    memcpy(key, "AWS4", 4);
    memcpy(key + 4, secret.p, secret.n);
    pbay_str k = {key, 4 + secret.n};
    uint8_t a[32], b[32];
    s->crypto->hmac(PBAY_HASH_SHA256, k, &day, 1, a);
    hmac(s, a, region, b);
    hmac(s, b, service, a);
    hmac(s, a, STR("aws4_request"), out);
    wipe(key, k.n);
    if (key != first) free(key);
}

static const uint8_t *signing_key(pbay_sigv4 *s, pbay_str secret, pbay_str region, pbay_str service,
                                  uint8_t spare[32])
{
    pbay_str day = {s->date, 8};
    if (secret.n > PBAY_SIGV4_PART || region.n > PBAY_SIGV4_PART || service.n > PBAY_SIGV4_PART) {
        derive(s, secret, day, region, service, spare);
        return spare;
    }
    for (unsigned i = 0; i < PBAY_SIGV4_CACHE; i++) {
        struct pbay__sigv4_key *k = &s->cache[i];
        if (k->used && memcmp(k->day, day.p, 8) == 0 && same((pbay_str){k->region, k->n_region}, region) &&
            same((pbay_str){k->service, k->n_service}, service) &&
            same((pbay_str){k->secret, k->n_secret}, secret))
            return k->key;
    }
    struct pbay__sigv4_key *k = &s->cache[s->next++ % PBAY_SIGV4_CACHE];
    wipe(k, sizeof *k);
    k->used = 1;
    memcpy(k->day, day.p, 8);
    k->n_region = (uint8_t)region.n;
    k->n_service = (uint8_t)service.n;
    k->n_secret = (uint8_t)secret.n;
    if (region.n) memcpy(k->region, region.p, region.n);
    if (service.n) memcpy(k->service, service.p, service.n);
    if (secret.n) memcpy(k->secret, secret.p, secret.n);
    derive(s, secret, day, region, service, k->key);
    return k->key;
}

/* ------------------------------------------------------------------------------------------------ signatures
 */

void pbay__sigv4_hash_body(pbay_sigv4 *s, pbay_str body)
{
    uint8_t digest[32];
    s->crypto->hash(PBAY_HASH_SHA256, &body, 1, digest);
    hex(digest, sizeof digest, s->payload);
}

int32_t pbay__sigv4_compute(pbay_sigv4 *s, const pbay_sigv4_request *request, uint32_t n, pbay_str secret,
                            pbay_str region, pbay_str service, pbay_sigv4_signed *out, pbay_str *signed_names)
{
    struct pbay__sigv4_header *h = s->headers;
    sort_headers(h, n);
    /* The most that follows: everything once, what may be encoded three times, names twice, separators. */
    size_t most =
        1024 + request->method.n + 4 * request->path.n + 2 * request->query.n + region.n + service.n;
    for (uint32_t i = 0; i < n; i++) most += 2 * h[i].name.n + h[i].value.n + 4;
    s->n = 0;
    if (pbay__sigv4_room(s, most)) return PBAY_RESOURCE_EXHAUSTED;

    put(s, request->method);
    put_ch(s, '\n');
    if (request->flags & PBAY_SIGV4_S3)
        put(s, request->path.n ? request->path : STR("/"));
    else
        put_path(s, request->path);
    put_ch(s, '\n');
    if (put_query(s, request->query)) return PBAY_RESOURCE_EXHAUSTED;
    put_ch(s, '\n');
    for (uint32_t i = 0; i < n; i++) {
        int again = i && same(h[i].name, h[i - 1].name);
        if (again) {
            s->n--; /* the newline */
            put_ch(s, ',');
        } else {
            put(s, h[i].name);
            put_ch(s, ':');
        }
        put_value(s, h[i].value);
        put_ch(s, '\n');
    }
    put_ch(s, '\n');
    size_t names_at = s->n;
    for (uint32_t i = 0; i < n; i++) {
        if (i && same(h[i].name, h[i - 1].name)) continue;
        if (s->n > names_at) put_ch(s, ';');
        put(s, h[i].name);
    }
    *signed_names = (pbay_str){s->text + names_at, s->n - names_at};
    put_ch(s, '\n');
    put(s, request->flags & PBAY_SIGV4_UNSIGNED ? STR("UNSIGNED-PAYLOAD") : (pbay_str){s->payload, 64});
    out->canonical_request = (pbay_str){s->text, s->n};

    uint8_t digest[32];
    s->crypto->hash(PBAY_HASH_SHA256, &out->canonical_request, 1, digest);
    size_t at = s->n;
    put(s, STR("AWS4-HMAC-SHA256\n"));
    put(s, (pbay_str){s->date, PBAY_SIGV4_DATE});
    put_ch(s, '\n');
    put(s, (pbay_str){s->date, 8});
    put_ch(s, '/');
    put(s, region);
    put_ch(s, '/');
    put(s, service);
    put(s, STR("/aws4_request\n"));
    hex(digest, sizeof digest, s->text + s->n);
    s->n += 64;
    out->string_to_sign = (pbay_str){s->text + at, s->n - at};

    uint8_t spare[32];
    hmac(s, signing_key(s, secret, region, service, spare), out->string_to_sign, digest);
    hex(digest, sizeof digest, s->signature);
    out->signature = (pbay_str){s->signature, 64};
    return PBAY_OK;
}

/* Never signed: proxies change them, or they are not known yet. `name` is in lower case. */
static int left_out(pbay_str name)
{
    static const char *const NAMES[] = {
        "authorization",
        "cache-control",
        "connection",
        "expect",
        "from",
        "keep-alive",
        "max-forwards",
        "pragma",
        "referer",
        "te",
        "trailer",
        "upgrade",
        "user-agent",
        "transfer-encoding",
        "x-amzn-trace-id",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strlen(NAMES[i]) == name.n && memcmp(NAMES[i], name.p, name.n) == 0) return 1;
    return (name.n > 6 && memcmp(name.p, "proxy-", 6) == 0) || (name.n > 4 && memcmp(name.p, "sec-", 4) == 0);
}

/* What the signature brings itself. */
static int brought(pbay_str name)
{
    return same(name, STR("host")) || same(name, STR("x-amz-date")) ||
           same(name, STR("x-amz-content-sha256")) || same(name, STR("x-amz-security-token"));
}

static void set_date(pbay_sigv4 *s, int64_t now_ms)
{
    time_t t = (time_t)(now_ms / 1000);
    struct tm tm;
    char text[32];
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &tm);
    memcpy(s->date, text, PBAY_SIGV4_DATE);
}

static pbay_str authorization(pbay_sigv4 *s, pbay_str key_id, pbay_str region, pbay_str service,
                              pbay_str names)
{
    size_t at = s->n, names_at = (size_t)(names.p - s->text);
    put(s, STR("AWS4-HMAC-SHA256 Credential="));
    put(s, key_id);
    put_ch(s, '/');
    put(s, (pbay_str){s->date, 8});
    put_ch(s, '/');
    put(s, region);
    put_ch(s, '/');
    put(s, service);
    put(s, STR("/aws4_request, SignedHeaders="));
    put(s, (pbay_str){s->text + names_at, names.n});
    put(s, STR(", Signature="));
    put(s, (pbay_str){s->signature, 64});
    return (pbay_str){s->text + at, s->n - at};
}

/* `names` and the texts of *out move with s->text. */
static int32_t room_for_authorization(pbay_sigv4 *s, size_t n, pbay_sigv4_signed *out, pbay_str *names)
{
    /* As numbers: s->text may move, and pointers into it are not to be touched then. */
    uintptr_t old = (uintptr_t)s->text;
    size_t names_at = (uintptr_t)names->p - old, sts_at = (uintptr_t)out->string_to_sign.p - old;
    if (pbay__sigv4_room(s, n)) return PBAY_RESOURCE_EXHAUSTED;
    names->p = s->text + names_at;
    out->canonical_request.p = s->text;
    out->string_to_sign.p = s->text + sts_at;
    return PBAY_OK;
}

int32_t pbay_sigv4_sign(pbay_sigv4 *s, const pbay_aws_keys *keys, pbay_str region, pbay_str service,
                        int64_t now_ms, const pbay_sigv4_request *request, pbay_sigv4_signed *out,
                        const char **why)
{
    if (request->n_headers > PBAY_SIGV4_MAX_HEADERS) {
        *why = "more than 100 headers to sign";
        return PBAY_INVALID_ARGUMENT;
    }
    memset(out, 0, sizeof *out);
    set_date(s, now_ms);
    if (!(request->flags & PBAY_SIGV4_UNSIGNED)) pbay__sigv4_hash_body(s, request->body);

    uint32_t n = 0;
    size_t used = 0;
    for (uint32_t i = 0; i < request->n_headers; i++) {
        pbay_str name = request->headers[i].name;
        if (name.n > sizeof s->names - used) {
            *why = "the names of the headers to sign pass 4 KiB";
            return PBAY_INVALID_ARGUMENT;
        }
        char *low = s->names + used;
        for (size_t k = 0; k < name.n; k++)
            low[k] = (char)(name.p[k] >= 'A' && name.p[k] <= 'Z' ? name.p[k] + ('a' - 'A') : name.p[k]);
        name.p = low;
        if (left_out(name) || brought(name)) continue;
        used += name.n;
        s->headers[n++] = (struct pbay__sigv4_header){name, request->headers[i].value};
    }
    pbay_header *h = out->headers;
    h[out->n_headers++] = (pbay_header){STR("x-amz-date"), {s->date, PBAY_SIGV4_DATE}};
    h[out->n_headers++] = (pbay_header){STR("x-amz-content-sha256"), request->flags & PBAY_SIGV4_UNSIGNED
                                                                         ? STR("UNSIGNED-PAYLOAD")
                                                                         : (pbay_str){s->payload, 64}};
    if (keys->token.n) h[out->n_headers++] = (pbay_header){STR("x-amz-security-token"), keys->token};
    for (uint32_t i = 0; i < out->n_headers; i++)
        s->headers[n++] = (struct pbay__sigv4_header){h[i].name, h[i].value};
    s->headers[n++] = (struct pbay__sigv4_header){STR("host"), request->host};

    pbay_str names = {NULL, 0};
    int32_t rc = pbay__sigv4_compute(s, request, n, keys->secret, region, service, out, &names);
    if (rc == PBAY_OK)
        rc = room_for_authorization(s, 256 + keys->id.n + region.n + service.n + names.n, out, &names);
    if (rc != PBAY_OK) {
        *why = "out of memory";
        return rc;
    }
    h[out->n_headers++] =
        (pbay_header){STR("authorization"), authorization(s, keys->id, region, service, names)};
    return PBAY_OK;
}
