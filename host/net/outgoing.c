/* SPDX-License-Identifier: MIT */
#include "net/outgoing.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"
#include "net/http_rules.h"
#include "net/tls.h"

enum way { WAY_CONFIGURED, WAY_CLEAR, WAY_TLS, WAYS };

struct pb_outgoing {
    struct pb_proxy proxies[WAYS]; /* host NULL: none */
    struct pb_err *bad[WAYS];      /* a variable that is of no use; NULL: none */
    bool configured;               /* the configuration says which proxy, or that there is none */
    char *no_proxy, *ca_file, *client_cert, *client_key;
    struct pb_tls *tls;
};

/* ------------------------------------------------------------------------------------------------ proxies */

static int unhex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* User and password are percent-encoded in a URL. NULL when they are not, or hold a control character. */
static char *unescape(pbay_str s)
{
    char *out = pb_alloc(s.n + 1), *at = out;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? unhex(s.p[i + 1]) : -1, lo = i + 2 < s.n ? unhex(s.p[i + 2]) : -1;
            c = (char)(hi < 0 || lo < 0 ? 0 : hi << 4 | lo);
            i += 2;
        }
        if ((unsigned char)c < ' ' || c == 0x7f) {
            pb_free(out);
            return NULL;
        }
        *at++ = c;
    }
    *at = 0;
    return out;
}

static int credentials(pbay_str text, struct pb_proxy *out, struct pb_err *err)
{
    size_t colon = pb_str_chr(text, ':');
    out->user = unescape(pb_str(text.p, colon));
    out->password =
        unescape(colon < text.n ? pb_str(text.p + colon + 1, text.n - colon - 1) : pb_str(NULL, 0));
    if (!out->user || !out->password)
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "user name and password of a proxy are percent-encoded, and hold no control characters");
    if (strchr(out->user, ':'))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "the user name of a proxy has a colon: RFC 7617 has none");
    struct pb_buf plain = {0}, b = {0};
    pb_buf_printf(&plain, "%s:%s", out->user, out->password);
    pb_buf_c(&b, "Basic ");
    pb_base64_encode(pb_buf_view(&plain), &b);
    out->basic = pb_strndup(b.p, b.n);
    pb_buf_free(&plain);
    pb_buf_free(&b);
    return 0;
}

static int parse(pbay_str text, struct pb_proxy *out, struct pb_err *err)
{
    pbay_str rest = pb_str_trim(text), scheme = PB_STR("http");
    for (size_t i = 0; i + 3 <= rest.n; i++)
        if (memcmp(rest.p + i, "://", 3) == 0) {
            scheme = pb_str(rest.p, i);
            rest = pb_str(rest.p + i + 3, rest.n - i - 3);
            break;
        }
    if (!pb_str_ieq(scheme, PB_STR("http")))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "a proxy of the kind \"%.*s\" is not known here; http://host:port is",
                       PB_FMT(pb_str(scheme.p, scheme.n < 32 ? scheme.n : 32)));
    size_t at = rest.n;
    while (at && rest.p[at - 1] != '@') at--;
    if (at && credentials(pb_str(rest.p, at - 1), out, err)) return -1;
    rest = pb_str(rest.p + at, rest.n - at);
    if (rest.n && rest.p[rest.n - 1] == '/') rest.n--;
    struct pb_buf url = {0};
    struct pb_http_url parts;
    pb_buf_c(&url, "http://");
    pb_buf_str(&url, rest);
    int rc = pb_http_url_parse(pb_buf_view(&url), &parts, err);
    if (rc == 0 && parts.authority.n != rest.n) rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "a path");
    if (rc == 0) {
        out->host = pb_strndup(parts.host.p, parts.host.n);
        out->port = parts.port;
        out->url =
            pb_sprintf(strchr(out->host, ':') ? "http://[%s]:%u" : "http://%s:%u", out->host, out->port);
    } else {
        pb_fail_in(err, "a proxy is written http://host:port");
    }
    pb_buf_free(&url);
    return rc;
}

int pb_proxy_parse(pbay_str text, struct pb_proxy *out, struct pb_err *err)
{
    *out = (struct pb_proxy){0};
    int rc = parse(text, out, err);
    if (rc) pb_proxy_free(out);
    return rc;
}

void pb_proxy_free(struct pb_proxy *p)
{
    pb_free(p->host);
    pb_free(p->url);
    pb_free(p->user);
    pb_free(p->password);
    pb_free(p->basic);
    *p = (struct pb_proxy){0};
}

/* ------------------------------------------------------------------------------------------------ exceptions
 */

static int address(pbay_str s, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') s = pb_str(s.p + 1, s.n - 2);
    if (s.n >= sizeof text) return 0;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (inet_pton(AF_INET, text, out) == 1) return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

static bool in_network(pbay_str item, size_t slash, const uint8_t *addr, int n)
{
    uint8_t net[16];
    uint64_t bits;
    int m = address(pb_str(item.p, slash), net);
    if (m != n || !pb_parse_u64(pb_str(item.p + slash + 1, item.n - slash - 1), &bits) ||
        bits > (uint64_t)m * 8)
        return false;
    for (uint64_t i = 0; i < bits; i++)
        if ((addr[i / 8] ^ net[i / 8]) & (0x80 >> (i % 8))) return false;
    return true;
}

/* "name:8080": the port, which is cut off; 0: none is written. Addresses of IPv6 have colons of their own. */
static uint16_t port_of(pbay_str *item)
{
    uint64_t port;
    size_t at = item->n;
    while (at && item->p[at - 1] != ':') at--;
    if (!at || !pb_parse_u64(pb_str(item->p + at, item->n - at), &port) || port > 65535) return 0;
    pbay_str head = pb_str(item->p, at - 1);
    bool bracketed = head.n && head.p[head.n - 1] == ']';
    if (!bracketed && pb_str_chr(head, ':') < head.n) return 0;
    *item = head;
    return (uint16_t)port;
}

static bool excepts(pbay_str item, pbay_str host, const uint8_t *addr, int addr_n, uint16_t port)
{
    if (pb_str_is(item, "*")) return true;
    uint16_t only = port_of(&item);
    if (only && only != port) return false;
    size_t slash = pb_str_chr(item, '/');
    if (slash < item.n) return addr_n && in_network(item, slash, addr, addr_n);
    uint8_t other[16];
    int other_n = address(item, other);
    if (other_n || addr_n) return other_n == addr_n && memcmp(other, addr, (size_t)addr_n) == 0;
    if (item.n && item.p[0] == '.') item = pb_str(item.p + 1, item.n - 1);
    if (item.n && item.p[item.n - 1] == '.') item.n--;
    if (!item.n || item.n > host.n) return false;
    pbay_str tail = pb_str(host.p + host.n - item.n, item.n);
    return pb_str_ieq(tail, item) && (tail.p == host.p || tail.p[-1] == '.');
}

bool pb_no_proxy(pbay_str list, pbay_str host, uint16_t port)
{
    uint8_t addr[16];
    int addr_n = address(host, addr);
    if (host.n && host.p[host.n - 1] == '.') host.n--;
    for (size_t i = 0; i < list.n;) {
        size_t n = i;
        while (n < list.n && list.p[n] != ',' && list.p[n] != ' ' && list.p[n] != '\t') n++;
        if (n > i && excepts(pb_str(list.p + i, n - i), host, addr, addr_n, port)) return true;
        i = n + 1;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------ together
 */

static const char *variable(const char *lower, const char *upper)
{
    const char *v = getenv(lower);
    if ((!v || !*v) && upper) v = getenv(upper);
    return v && *v ? v : NULL;
}

/* What a variable says is wrong only when it is needed. http_proxy in capitals is what a CGI program's client
 * can set: nobody reads it. */
static void from_variables(struct pb_outgoing *o)
{
    const char *all = variable("all_proxy", "ALL_PROXY");
    for (enum way way = WAY_CLEAR; way <= WAY_TLS; way++) {
        const char *name = way == WAY_TLS ? "https_proxy" : "http_proxy";
        const char *text = way == WAY_TLS ? variable(name, "HTTPS_PROXY") : variable(name, NULL);
        if (!text && all) {
            name = "all_proxy";
            text = all;
        }
        if (!text) continue;
        struct pb_err err;
        if (pb_proxy_parse(pb_str_c(text), &o->proxies[way], &err) == 0) continue;
        o->bad[way] = pb_alloc(sizeof err);
        *o->bad[way] = err;
        pb_fail_in(o->bad[way], "the variable %s", name);
        o->bad[way]->code = PBAY_FAILED_PRECONDITION;
    }
}

static char *copy(const char *s)
{
    return s && *s ? pb_strdup(s) : NULL;
}

struct pb_outgoing *pb_outgoing_new(const struct pb_outgoing_conf *conf, struct pb_err *err)
{
    struct pb_outgoing *o = pb_zalloc(sizeof *o);
    const char *no_proxy = conf->no_proxy ? conf->no_proxy : variable("no_proxy", "NO_PROXY");
    o->no_proxy = copy(no_proxy);
    o->ca_file = copy(conf->ca_file && *conf->ca_file ? conf->ca_file : variable("SSL_CERT_FILE", NULL));
    o->client_cert = copy(conf->client_cert);
    o->client_key = copy(conf->client_key && *conf->client_key ? conf->client_key : conf->client_cert);
    o->configured = conf->proxy != NULL;
    int rc = 0;
    if (!o->configured)
        from_variables(o);
    else if (*conf->proxy && strcmp(conf->proxy, "none") != 0)
        rc = pb_proxy_parse(pb_str_c(conf->proxy), &o->proxies[WAY_CONFIGURED], err);
    if (rc == 0 && o->client_key && !o->client_cert)
        rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "client_key = %s: without client_cert it is of no use",
                     o->client_key);
    /* Files that the operator names are looked at now, what the system has when it is needed. */
    if (rc == 0 && (o->client_cert || (conf->ca_file && *conf->ca_file)) && !pb_outgoing_tls(o, err)) rc = -1;
    if (rc == 0) return o;
    pb_outgoing_free(o);
    return NULL;
}

void pb_outgoing_free(struct pb_outgoing *o)
{
    if (!o) return;
    for (int i = 0; i < WAYS; i++) {
        pb_proxy_free(&o->proxies[i]);
        pb_free(o->bad[i]);
    }
    pb_tls_unref(o->tls);
    pb_free(o->no_proxy);
    pb_free(o->ca_file);
    pb_free(o->client_cert);
    pb_free(o->client_key);
    pb_free(o);
}

int pb_outgoing_proxy(const struct pb_outgoing *o, bool tls, pbay_str host, uint16_t port,
                      const struct pb_proxy **proxy, struct pb_err *err)
{
    enum way way = o->configured ? WAY_CONFIGURED : tls ? WAY_TLS : WAY_CLEAR;
    *proxy = NULL;
    if (!o->proxies[way].host && !o->bad[way]) return 0;
    if (o->no_proxy && pb_no_proxy(pb_str_c(o->no_proxy), host, port)) return 0;
    if (o->bad[way]) {
        if (err) *err = *o->bad[way];
        return -1;
    }
    *proxy = &o->proxies[way];
    return 0;
}

struct pb_tls *pb_outgoing_tls(struct pb_outgoing *o, struct pb_err *err)
{
    if (o->tls) return o->tls;
    const struct pb_tls_client_files files = {o->ca_file, o->client_cert, o->client_key};
    o->tls = pb_tls_client_new(&files, err);
    return o->tls;
}

const char *pb_outgoing_ca_file(const struct pb_outgoing *o)
{
    return o->ca_file;
}

const char *pb_outgoing_client_cert(const struct pb_outgoing *o)
{
    return o->client_cert;
}

const char *pb_outgoing_client_key(const struct pb_outgoing *o)
{
    return o->client_key;
}
