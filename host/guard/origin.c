/* SPDX-License-Identifier: MIT */
#include "guard/origin.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/encode.h"
#include "guard/digest.h"

/* host[:port]; name has its brackets when it is an IPv6 address. */
struct place {
    pbay_str name;
    pbay_str port; /* empty: none */
};

static bool is_port(pbay_str s)
{
    uint64_t n;
    return s.n && s.p[0] != '+' && pb_parse_u64(s, &n) && n >= 1 && n <= 65535;
}

static bool place_of(pbay_str text, struct place *out)
{
    size_t n = 0;
    if (text.n && text.p[0] == '[') {
        n = pb_str_chr(text, ']');
        if (n == text.n) return false;
        n++;
    } else
        n = pb_str_chr(text, ':');
    out->name = pb_str(text.p, n);
    out->port = pb_str(NULL, 0);
    if (!n || n > 255) return false;
    for (size_t i = 0; i < n; i++) {
        char c = text.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                     c == '-' || c == '_';
        if (!plain && !(text.p[0] == '[' && (c == ':' || c == '[' || c == ']'))) return false;
    }
    if (n == text.n) return true;
    out->port = pb_str(text.p + n + 1, text.n - n - 1);
    return text.p[n] == ':' && is_port(out->port);
}

static bool is_address(pbay_str name)
{
    char text[64];
    struct in6_addr any;
    bool v6 = name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';
    if (v6) name = pb_str(name.p + 1, name.n - 2);
    if (!name.n || name.n >= sizeof text) return false;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, &any) == 1;
}

/* An origin: scheme://host[:port], nothing more. */
static bool origin_of(pbay_str text, bool *tls, struct place *out)
{
    static const struct {
        pbay_str prefix;
        bool tls;
    } SCHEMES[] = {{{"https://", 8}, true}, {{"http://", 7}, false}};
    for (size_t i = 0; i < PB_COUNTOF(SCHEMES); i++) {
        if (!pb_str_starts(text, SCHEMES[i].prefix)) continue;
        *tls = SCHEMES[i].tls;
        return place_of(pb_str(text.p + SCHEMES[i].prefix.n, text.n - SCHEMES[i].prefix.n), out);
    }
    return false;
}

static bool same_place(const struct place *a, const struct place *b, bool tls)
{
    pbay_str usual = tls ? PB_STR("443") : PB_STR("80");
    return pb_str_ieq(a->name, b->name) &&
           pb_str_eq(a->port.n ? a->port : usual, b->port.n ? b->port : usual);
}

int pb_vhost_check(const struct pb_vhost *site, struct pb_err *err)
{
    struct place p;
    bool tls;
    for (size_t i = 0; i < site->n_hosts; i++)
        if (!place_of(site->hosts[i], &p))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "hosts: \"%.*s\" is neither NAME nor NAME:PORT",
                           PB_FMT(site->hosts[i]));
    for (size_t i = 0; i < site->n_origins; i++)
        if (!origin_of(site->origins[i], &tls, &p))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "origins: \"%.*s\" is not https://NAME[:PORT]",
                           PB_FMT(site->origins[i]));
    return 0;
}

int pb_host_check(const struct pb_vhost *site, pbay_str host, struct pb_err *err)
{
    struct place p, own;
    if (!place_of(host, &p))
        return pb_fail(err, PBAY_PERMISSION_DENIED, "Host \"%.*s\" is no host", PB_FMT(host));
    if (site->loopback && (pb_str_ieq(p.name, PB_STR("localhost")) || pb_str_is(p.name, "127.0.0.1") ||
                           pb_str_is(p.name, "[::1]")))
        return 0;
    if (site->addresses && is_address(p.name)) return 0;
    for (size_t i = 0; i < site->n_hosts; i++)
        if (place_of(site->hosts[i], &own) && pb_str_ieq(own.name, p.name) &&
            (!own.port.n || pb_str_eq(own.port, p.port)))
            return 0;
    return pb_fail(err, PBAY_PERMISSION_DENIED,
                   "Host \"%.*s\" is not a name of this listener; when it is, add it to `hosts`",
                   PB_FMT(host));
}

bool pb_method_is_safe(pbay_str method)
{
    return pb_str_is(method, "GET") || pb_str_is(method, "HEAD") || pb_str_is(method, "OPTIONS");
}

int pb_origin_check(const struct pb_vhost *site, const struct pb_origin_request *req, struct pb_err *err)
{
    if (req->origin.p) {
        struct place from, to, other;
        bool tls, other_tls;
        bool known = origin_of(req->origin, &tls, &from); /* "null" (sandboxed, redirected) is not */
        if (known && tls == site->tls && place_of(req->host, &to) && same_place(&from, &to, tls)) return 0;
        for (size_t i = 0; known && i < site->n_origins; i++)
            if (origin_of(site->origins[i], &other_tls, &other) && other_tls == tls &&
                same_place(&from, &other, tls))
                return 0;
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "a page of \"%.*s\" sends this to \"%.*s\"; when it may, add it to `origins`",
                       PB_FMT(req->origin), PB_FMT(req->host));
    }
    /* A link on another site may lead here; a change must not come from there. */
    if (!req->fetch_site.n || pb_method_is_safe(req->method) || pb_str_is(req->fetch_site, "same-origin") ||
        pb_str_is(req->fetch_site, "none"))
        return 0;
    return pb_fail(err, PBAY_PERMISSION_DENIED,
                   "a browser says that another site's page sends this (Sec-Fetch-Site: "
                   "%.*s)",
                   PB_FMT(req->fetch_site));
}

int pb_json_type_check(pbay_str content_type, struct pb_err *err)
{
    pbay_str rest = content_type, part;
    bool good = pb_str_split(&rest, ';', &part) && pb_str_ieq(pb_str_trim(part), PB_STR("application/json"));
    while (good && pb_str_split(&rest, ';', &part)) {
        size_t eq = pb_str_chr(part, '=');
        if (eq == part.n || !pb_str_ieq(pb_str_trim(pb_str(part.p, eq)), PB_STR("charset"))) continue;
        pbay_str v = pb_str(part.p + eq + 1, part.n - eq - 1);
        v = pb_str_trim(v);
        if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"') v = pb_str(v.p + 1, v.n - 2);
        good = pb_str_ieq(v, PB_STR("utf-8"));
    }
    if (good) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "Content-Type is \"%.*s\"; application/json is expected",
                   PB_FMT(content_type));
}

/* ------------------------------------------------------------------------------------------------ forms */

enum { TIME_BYTES = 8, TOKEN_BYTES = TIME_BYTES + PB_SHA256_SIZE };

static void csrf_mac(const uint8_t *key, pbay_str session, const uint8_t at[TIME_BYTES],
                     uint8_t out[PB_MAC_SIZE_MAX])
{
    /* The time has a fixed length: no session can pass for another with its end in the time. */
    const pbay_str parts[] = {PB_STR("patchbay form\0"), pb_str((const char *)at, TIME_BYTES), session};
    pb_mac(PB_MAC_SHA256, pb_str((const char *)key, PB_CSRF_KEY), parts, PB_COUNTOF(parts), out);
}

void pb_csrf_issue(const uint8_t key[PB_CSRF_KEY], pbay_str session, int64_t now_ms,
                   char out[PB_CSRF_LEN + 1])
{
    uint8_t bytes[TIME_BYTES + PB_MAC_SIZE_MAX];
    struct pb_buf b = {0};
    for (int i = 0; i < TIME_BYTES; i++) bytes[i] = (uint8_t)((uint64_t)now_ms >> (56 - 8 * i));
    csrf_mac(key, session, bytes, bytes + TIME_BYTES);
    pb_base64url_encode(pb_str((const char *)bytes, TOKEN_BYTES), &b);
    memcpy(out, b.p, PB_CSRF_LEN);
    out[PB_CSRF_LEN] = 0;
    pb_buf_free(&b);
}

int pb_csrf_check(const uint8_t key[PB_CSRF_KEY], pbay_str session, pbay_str token, int64_t now_ms,
                  struct pb_err *err)
{
    struct pb_buf b = {0};
    uint8_t want[PB_MAC_SIZE_MAX];
    uint64_t at = 0;
    bool good = token.n == PB_CSRF_LEN && pb_base64url_decode(token, &b) && b.n == TOKEN_BYTES;
    if (good) {
        const uint8_t *bytes = (const uint8_t *)b.p;
        for (int i = 0; i < TIME_BYTES; i++) at = at << 8 | bytes[i];
        csrf_mac(key, session, bytes, want);
        good = pb_same_ct(want, PB_SHA256_SIZE, bytes + TIME_BYTES, PB_SHA256_SIZE);
    }
    pb_buf_free(&b);
    if (!good) return pb_fail(err, PBAY_PERMISSION_DENIED, "the form's token is not one of this session");
    if ((int64_t)at > now_ms || now_ms - (int64_t)at > PB_CSRF_AGE_MS)
        return pb_fail(err, PBAY_PERMISSION_DENIED, "the form is too old: load the page again");
    return 0;
}
