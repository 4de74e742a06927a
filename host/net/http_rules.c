/* SPDX-License-Identifier: MIT */
#include "net/http_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"

/* ------------------------------------------------------------------------------------------------ URLs */

static bool digits_only(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n > 0;
}

/* Would inet_aton, and so many a program, take it for an address? The last label decides. */
static bool looks_numeric(pbay_str host)
{
    if (host.n && host.p[host.n - 1] == '.') host.n--;
    size_t at = host.n;
    while (at && host.p[at - 1] != '.') at--;
    pbay_str last = pb_str(host.p + at, host.n - at);
    return digits_only(last) || (last.n >= 2 && last.p[0] == '0' && (last.p[1] | 32) == 'x');
}

static int host_check(pbay_str host, bool bracketed, struct pb_err *err)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char addr[16];
    if (host.n == 0) return pb_fail(err, PBAY_INVALID_ARGUMENT, "a URL without a host");
    if (host.n > 253)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a URL whose host has %zu bytes; 253 are allowed", host.n);
    bool fits = host.n < sizeof text;
    if (fits) {
        memcpy(text, host.p, host.n);
        text[host.n] = 0;
    }
    if (bracketed) {
        if (!fits || inet_pton(AF_INET6, text, addr) != 1)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "\"[%.*s]\" is not an IPv6 address", PB_FMT(host));
        return 0;
    }
    if (looks_numeric(host) && (!fits || inet_pton(AF_INET, text, addr) != 1))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "the host \"%.*s\" is neither a name nor four decimal numbers", PB_FMT(host));
    for (size_t i = 0; i < host.n; i++) {
        unsigned char c = (unsigned char)host.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '.' || c == '_';
        if (!ok)
            return pb_fail(
                err, PBAY_INVALID_ARGUMENT,
                "the host \"%.*s\" has a character that names do not have (international names are written "
                "as xn--...)",
                PB_FMT(host));
    }
    return 0;
}

int pb_http_url_parse(pbay_str url, struct pb_http_url *out, struct pb_err *err)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];
        if (c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>')
            return pb_fail(err, PBAY_INVALID_ARGUMENT,
                           "a URL with the byte 0x%02x at offset %zu: it must be percent-encoded", c, i);
    }
    size_t skip = 0;
    if (url.n >= 8 && pb_str_ieq(pb_str(url.p, 8), PB_STR("https://"))) {
        out->tls = true;
        skip = 8;
    } else if (url.n >= 7 && pb_str_ieq(pb_str(url.p, 7), PB_STR("http://"))) {
        skip = 7;
    } else {
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a URL that begins with neither https:// nor http://");
    }
    pbay_str a = pb_str(url.p + skip, 0);
    while (skip + a.n < url.n && a.p[a.n] != '/' && a.p[a.n] != '?') a.n++;
    if (memchr(a.p, '@', a.n))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a URL with a user name: use a header");
    out->authority = a;
    pbay_str port = {NULL, 0};
    bool bracketed = a.n && a.p[0] == '[';
    if (bracketed) {
        const char *end = memchr(a.p, ']', a.n);
        if (!end) return pb_fail(err, PBAY_INVALID_ARGUMENT, "a URL whose host begins with [ and has no ]");
        out->host = pb_str(a.p + 1, (size_t)(end - a.p - 1));
        port = pb_str(end + 1, a.n - (size_t)(end + 1 - a.p));
    } else {
        size_t colon = pb_str_chr(a, ':');
        out->host = pb_str(a.p, colon);
        port = pb_str(a.p + colon, a.n - colon);
    }
    out->port = out->tls ? 443 : 80;
    if (port.n) {
        uint64_t v = 0;
        if (port.p[0] != ':' || !digits_only(pb_str(port.p + 1, port.n - 1)) ||
            !pb_parse_u64(pb_str(port.p + 1, port.n - 1), &v) || v == 0 || v > 65535)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%.*s\" does not end in a port from 1 to 65535",
                           PB_FMT(a));
        out->port = (uint16_t)v;
    }
    return host_check(out->host, bracketed, err);
}

int pb_http_host_check(pbay_str host, struct pb_err *err)
{
    return host_check(host, pb_str_chr(host, ':') < host.n, err);
}

/* ------------------------------------------------------------------------------------------------ addresses
 */

static bool v4_allowed(const uint8_t a[4])
{
    static const uint8_t METADATA[][4] = {
        {100, 100, 100, 200}, /* Alibaba Cloud */
        {168, 63, 129, 16},   /* Azure */
        {192, 0, 0, 192},     /* Oracle Cloud */
    };
    if (a[0] == 169 && a[1] == 254) return false;
    for (size_t i = 0; i < PB_COUNTOF(METADATA); i++)
        if (memcmp(a, METADATA[i], 4) == 0) return false;
    return true;
}

static bool v6_allowed(const uint8_t a[16])
{
    static const uint8_t EC2[16] = {0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
    static const uint8_t CONTAINER[16] = {0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x23};
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t COMPATIBLE[12] = {0};
    static const uint8_t NAT64[12] = {0, 0x64, 0xff, 0x9b};
    if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) return false;
    if (memcmp(a, EC2, 16) == 0 || memcmp(a, CONTAINER, 16) == 0) return false;
    if (memcmp(a, MAPPED, 12) == 0 || memcmp(a, COMPATIBLE, 12) == 0 || memcmp(a, NAT64, 12) == 0)
        return v4_allowed(a + 12);
    if (a[0] == 0x20 && a[1] == 0x02) return v4_allowed(a + 2); /* 6to4, RFC 3056 */
    return true;
}

bool pb_http_address_allowed(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, addr, sizeof in);
        return v4_allowed((const uint8_t *)&in.sin_addr);
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, addr, sizeof in);
        return v6_allowed((const uint8_t *)&in.sin6_addr);
    }
    return false;
}

bool pb_http_host_allowed(pbay_str host)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t addr[16];
    if (host.n >= sizeof text) return true;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    if (inet_pton(AF_INET, text, addr) == 1) return v4_allowed(addr);
    if (inet_pton(AF_INET6, text, addr) == 1) return v6_allowed(addr);
    return true;
}

/* ------------------------------------------------------------------------------------------------ head */

static bool token(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c && strchr("!#$%&'*+-.^_`|~", c));
        if (!ok) return false;
    }
    return s.n > 0;
}

int pb_http_head_check(pbay_str method, const pbay_header *headers, uint32_t n, struct pb_err *err)
{
    static const char *const OURS[] = {
        "host", "content-length", "transfer-encoding", "connection",      "expect", "upgrade",
        "te",   "trailer",        "keep-alive",        "proxy-connection"};
    if (!token(method) || method.n > 32)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%.*s\" is not an HTTP method", PB_FMT(method));
    for (uint32_t i = 0; i < n; i++) {
        pbay_str name = headers[i].name, value = headers[i].value;
        if (!token(name))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%.*s\" is not a header's name", PB_FMT(name));
        for (size_t k = 0; k < PB_COUNTOF(OURS); k++)
            if (pb_str_ieq(name, pb_str_c(OURS[k])))
                return pb_fail(err, PBAY_INVALID_ARGUMENT,
                               "the header \"%.*s\" is written by the gateway itself", PB_FMT(name));
        for (size_t k = 0; k < value.n; k++) {
            unsigned char c = (unsigned char)value.p[k];
            if ((c < ' ' && c != '\t') || c == 0x7f)
                return pb_fail(
                    err, PBAY_INVALID_ARGUMENT,
                    "the value of the header \"%.*s\" has the control character 0x%02x at offset %zu",
                    PB_FMT(name), c, k);
        }
    }
    return 0;
}
