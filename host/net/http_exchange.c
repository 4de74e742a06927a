/* SPDX-License-Identifier: MIT */
/* One exchange: what curl is told, what it says back, and what that means to an operator. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "net/http_client_priv.h"

enum { HEAD_MAX = 256 * 1024, UP_HIGH = 256 * 1024, UP_LOW = 64 * 1024, DEFAULT_REPLY = 32 << 20 };

#define SET(easy, option, value) PB_REQUIRE(curl_easy_setopt((easy), (option), (value)) == CURLE_OK)

void pb__fetch_tell(struct pb_fetch_exchange *ex)
{
    if (!ex->over) pb_loop_defer(ex->client->loop, &ex->deliver);
}

/* ------------------------------------------------------------------------------------------------ callbacks
 */

/* Before each sending, also when curl found a kept connection dead and takes another. */
static int on_sending(void *user, char *remote, char *local, int remote_port, int local_port)
{
    struct pb_fetch_exchange *ex = user;
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    if (ex->sent && (!ex->idempotent || (ex->flags & PB_FETCH_STREAM_BODY))) {
        /* The first copy may have been acted upon: whether to repeat is not for a library to say. */
        ex->resent = true;
        return CURL_PREREQFUNC_ABORT;
    }
    ex->sent = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct pb_fetch_exchange *ex = user;
    n *= size;
    pbay_str line = pb_str_trim(pb_str(p, n));
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
        ex->head.n = 0;
        ex->n_head_lines = 0;
        return n;
    }
    if (line.n == 0) {
        long status = 0;
        curl_easy_getinfo(ex->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 && !ex->head_ready) {
            ex->head_ready = true;
            if (ex->events.on_head) pb__fetch_tell(ex);
        }
        return n;
    }
    size_t colon = pb_str_chr(line, ':');
    if (colon == line.n || colon == 0) return n;
    if (ex->head.n + n > HEAD_MAX) {
        ex->too_large = true;
        return 0;
    }
    pbay_str value = pb_str_trim(pb_str(line.p + colon + 1, line.n - colon - 1));
    PB_GROW(ex->head_lines, ex->head_lines_cap, ex->n_head_lines + 1);
    struct pb_fetch_line *h = &ex->head_lines[ex->n_head_lines++];
    h->name = (uint32_t)ex->head.n;
    h->n_name = (uint32_t)colon;
    for (size_t i = 0; i < colon; i++)
        pb_buf_ch(&ex->head, (char)(line.p[i] >= 'A' && line.p[i] <= 'Z' ? line.p[i] + 32 : line.p[i]));
    h->value = (uint32_t)ex->head.n;
    h->n_value = (uint32_t)value.n;
    pb_buf_str(&ex->head, value);
    return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct pb_fetch_exchange *ex = user;
    n *= size;
    if (ex->flags & PB_FETCH_STREAM_REPLY) {
        if (ex->body.n + ex->uncredited >= PB_FETCH_WINDOW) {
            ex->paused_in = true;
            return CURL_WRITEFUNC_PAUSE;
        }
        pb_buf_add(&ex->body, p, n);
        pb__fetch_tell(ex);
        return n;
    }
    if (n > ex->max_reply - ex->body.n) {
        ex->too_large = true;
        return 0;
    }
    pb_buf_add(&ex->body, p, n);
    return n;
}

static size_t on_wanted(char *p, size_t size, size_t n, void *user)
{
    struct pb_fetch_exchange *ex = user;
    n *= size;
    size_t have = ex->up.n - ex->up_at;
    if (have == 0) {
        if (ex->body_finished) return 0;
        ex->paused_out = true;
        return CURL_READFUNC_PAUSE;
    }
    if (n > have) n = have;
    memcpy(p, ex->up.p + ex->up_at, n);
    ex->up_at += n;
    if (ex->up_at == ex->up.n) {
        ex->up_at = 0;
        pb_buf_reset(&ex->up, PB_FETCH_KEEP);
    }
    if (ex->up.n - ex->up_at <= UP_LOW && ex->tell_writable) pb__fetch_tell(ex);
    return n;
}

/* ------------------------------------------------------------------------------------------------ request */

static bool has_header(const struct pb_fetch_request *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (pb_str_ieq(r->headers[i].name, pb_str_c(name))) return true;
    return false;
}

static void add_line(struct pb_fetch_exchange *ex, uint32_t *n, pbay_str name, pbay_str value,
                     const char *between)
{
    struct curl_slist *node = &ex->slots[*n];
    node->data = ex->lines.p + ex->lines.n;
    node->next = NULL;
    pb_buf_str(&ex->lines, name);
    pb_buf_c(&ex->lines, between);
    pb_buf_str(&ex->lines, value);
    pb_buf_ch(&ex->lines, 0);
    if (*n) ex->slots[*n - 1].next = node;
    ++*n;
}

/* curl's list of header lines, without an allocation per line. */
static void set_headers(struct pb_fetch_exchange *ex, const struct pb_fetch_request *r, bool has_body)
{
    static const char *const UNASKED[] = {"Accept", "Expect", "Content-Type"};
    size_t total = 64;
    for (uint32_t i = 0; i < r->n_headers; i++) total += r->headers[i].name.n + r->headers[i].value.n + 4;
    ex->lines.n = 0;
    pb_buf_room(&ex->lines, total); /* nodes point into it */
    PB_GROW(ex->slots, ex->slots_cap, r->n_headers + PB_COUNTOF(UNASKED));
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_headers; i++) {
        pbay_str value = pb_str_trim(r->headers[i].value);
        add_line(ex, &n, r->headers[i].name, value, value.n ? ": " : ";");
    }
    /* What curl would add of its own: "Name:" takes it away. */
    for (size_t i = 0; i < PB_COUNTOF(UNASKED); i++)
        if ((i < 2 || has_body) && !has_header(r, UNASKED[i]))
            add_line(ex, &n, pb_str_c(UNASKED[i]), PB_STR(""), ":");
    ex->headers = ex->slots;
    SET(ex->easy, CURLOPT_HTTPHEADER, ex->headers);
}

static void set_method(struct pb_fetch_exchange *ex, const struct pb_fetch_request *r, bool has_body)
{
    CURL *e = ex->easy;
    char method[33];
    memcpy(method, r->method.p, r->method.n);
    method[r->method.n] = 0;
    if (ex->flags & PB_FETCH_STREAM_BODY) {
        SET(e, CURLOPT_UPLOAD, 1L);
        SET(e, CURLOPT_READFUNCTION, on_wanted);
        SET(e, CURLOPT_READDATA, ex);
        SET(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_length);
        SET(e, CURLOPT_CUSTOMREQUEST, method);
    } else if (has_body) {
        SET(e, CURLOPT_POST, 1L);
        SET(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        SET(e, CURLOPT_POSTFIELDS, r->body.n ? r->body.p : "");
        if (strcmp(method, "POST") != 0) SET(e, CURLOPT_CUSTOMREQUEST, method);
    } else if (strcmp(method, "HEAD") == 0) {
        SET(e, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "GET") != 0) {
        SET(e, CURLOPT_CUSTOMREQUEST, method);
    }
}

/* Checks that need no curl. */
static int allowed(struct pb_fetch_exchange *ex, const struct pb_fetch_request *r, struct pb_err *err)
{
    struct pb_http_client *c = ex->client;
    if (pb_http_head_check(r->method, r->headers, r->n_headers, err) < 0) return -1;
    if (pb_http_url_parse(r->url, &ex->parts, err) < 0) return -1;
    pbay_str host = ex->parts.host;
    if (!ex->parts.tls && !(r->flags & (PB_FETCH_CONFIGURED | PB_FETCH_METADATA)))
        return pb_fail(
            err, PBAY_PERMISSION_DENIED,
            "http://%.*s: only https is used, unless the configuration itself names an http:// URL",
            PB_FMT(ex->parts.authority));
    if (!(r->flags & PB_FETCH_METADATA) && !pb_http_host_allowed(host))
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "%.*s is a link-local or metadata address: no requests are sent there", PB_FMT(host));
    if ((r->flags & PB_FETCH_STREAM_BODY) && r->body_length < -1)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a body of %lld bytes", (long long)r->body_length);
    if (!ex->parts.tls && (r->flags & PB_FETCH_CONFIGURED)) {
        char *key = pb_strndup(host.p, host.n);
        if (pb_map_add(&c->warned, pb_str_c(key), key))
            pb_log(PB_LOG_WARN, "net", "requests to this host go over http, unencrypted", PB_V("host", host));
        else
            pb_free(key);
    }
    return 0;
}

static bool idempotent(pbay_str method)
{
    static const char *const SAFE[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    for (size_t i = 0; i < PB_COUNTOF(SAFE); i++)
        if (pb_str_is(method, SAFE[i])) return true;
    return false;
}

/* curl is told what was decided here and reads no variables. */
static void set_outgoing(struct pb_fetch_exchange *ex, const struct pb_outgoing *out)
{
    CURL *e = ex->easy;
    const char *ca = pb_outgoing_ca_file(out), *cert = pb_outgoing_client_cert(out);
    if (ca) SET(e, CURLOPT_CAINFO, ca);
    if (cert) {
        SET(e, CURLOPT_SSLCERT, cert);
        SET(e, CURLOPT_SSLKEY, pb_outgoing_client_key(out));
    }
    SET(e, CURLOPT_PROXY, ex->proxy ? ex->proxy->url : "");
    SET(e, CURLOPT_NOPROXY, "");
    if (!ex->proxy || !ex->proxy->user) return;
    SET(e, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
    SET(e, CURLOPT_PROXYUSERNAME, ex->proxy->user);
    SET(e, CURLOPT_PROXYPASSWORD, ex->proxy->password);
}

int pb__fetch_prepare(struct pb_fetch_exchange *ex, const struct pb_fetch_request *r, struct pb_err *err)
{
    struct pb_http_client *c = ex->client;
    CURL *e = ex->easy;
    const struct pb_outgoing *out = r->outgoing ? r->outgoing : c->outgoing;
    if (allowed(ex, r, err) < 0) return -1;
    ex->proxy = NULL;
    if (!(r->flags & PB_FETCH_METADATA) &&
        pb_outgoing_proxy(out, ex->parts.tls, ex->parts.host, ex->parts.port, &ex->proxy, err))
        return -1;

    ex->flags = r->flags;
    ex->url.n = 0;
    pb_buf_str(&ex->url, r->url);
    pb_buf_ch(&ex->url, 0);
    /* The parts lie in the copy from now on. */
    ex->parts.host.p = ex->url.p + (ex->parts.host.p - r->url.p);
    ex->parts.authority.p = ex->url.p + (ex->parts.authority.p - r->url.p);
    ex->timeout_ms = r->timeout_ms > 0 ? r->timeout_ms : 60000;
    ex->connect_ms = r->connect_timeout_ms > 0 ? r->connect_timeout_ms : 10000;
    ex->max_reply = r->max_reply ? r->max_reply : DEFAULT_REPLY;
    ex->idempotent = idempotent(r->method);
    ex->up_left = r->body_length;

    curl_easy_reset(e);
    bool has_body =
        !(r->flags & PB_FETCH_STREAM_BODY) && (r->body.n || pb_str_is(r->method, "POST") ||
                                               pb_str_is(r->method, "PUT") || pb_str_is(r->method, "PATCH"));
    SET(e, CURLOPT_PRIVATE, ex);
    SET(e, CURLOPT_URL, ex->url.p);
    SET(e, CURLOPT_PROTOCOLS_STR, ex->parts.tls ? "https" : "http");
    SET(e, CURLOPT_PATH_AS_IS, 1L);
    SET(e, CURLOPT_NOSIGNAL, 1L);
    SET(e, CURLOPT_ERRORBUFFER, ex->curl_err);
    SET(e, CURLOPT_TCP_NODELAY, 1L);
    SET(e, CURLOPT_TCP_KEEPALIVE, 1L);
    /* Over TLS, ALPN says at once whether streams can share a connection. Over cleartext only the first
     * answer would: all requests would wait for it. */
    SET(e, CURLOPT_PIPEWAIT, ex->parts.tls ? 1L : 0L);
    SET(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(e, CURLOPT_ACCEPT_ENCODING, "");
    SET(e, CURLOPT_TIMEOUT_MS, (long)ex->timeout_ms);
    SET(e, CURLOPT_CONNECTTIMEOUT_MS, (long)ex->connect_ms);
    SET(e, CURLOPT_EXPECT_100_TIMEOUT_MS, 0L);
    if (c->user_agent[0]) SET(e, CURLOPT_USERAGENT, c->user_agent);
    set_outgoing(ex, out);
    /* No other request may meet this connection in the pool. */
    if (r->flags & PB_FETCH_METADATA) SET(e, CURLOPT_FORBID_REUSE, 1L);
    SET(e, CURLOPT_OPENSOCKETFUNCTION, pb__fetch_open_socket);
    SET(e, CURLOPT_OPENSOCKETDATA, ex);
    SET(e, CURLOPT_CLOSESOCKETFUNCTION, pb__fetch_close_socket);
    SET(e, CURLOPT_CLOSESOCKETDATA, c);
    SET(e, CURLOPT_PREREQFUNCTION, on_sending);
    SET(e, CURLOPT_PREREQDATA, ex);
    SET(e, CURLOPT_HEADERFUNCTION, on_header);
    SET(e, CURLOPT_HEADERDATA, ex);
    SET(e, CURLOPT_WRITEFUNCTION, on_body);
    SET(e, CURLOPT_WRITEDATA, ex);
    set_method(ex, r, has_body);
    set_headers(ex, r, has_body || (r->flags & PB_FETCH_STREAM_BODY));
    ex->curl_err[0] = 0;
    return 0;
}

int32_t pb_fetch_write(struct pb_http_client *c, uint64_t exchange, pbay_str piece)
{
    struct pb_fetch_exchange *ex = pb_handle_get(&c->handles, exchange);
    if (!ex || ex->over || ex->body_finished || !(ex->flags & PB_FETCH_STREAM_BODY)) return PBAY_CANCELLED;
    if (ex->up_left >= 0) {
        if (piece.n > (uint64_t)ex->up_left) {
            pb_fetch_cancel(c, exchange);
            return PBAY_OUT_OF_RANGE;
        }
        ex->up_left -= (int64_t)piece.n;
    }
    pb_buf_str(&ex->up, piece);
    if (ex->paused_out && piece.n) {
        ex->unpause = true;
        pb__fetch_tell(ex);
    }
    if (ex->up.n - ex->up_at <= UP_HIGH) return PBAY_OK;
    ex->tell_writable = true;
    return PBAY_LATER;
}

void pb_fetch_finish(struct pb_http_client *c, uint64_t exchange)
{
    struct pb_fetch_exchange *ex = pb_handle_get(&c->handles, exchange);
    if (!ex || ex->over || ex->body_finished) return;
    ex->body_finished = true;
    if (ex->paused_out) {
        ex->unpause = true;
        pb__fetch_tell(ex);
    }
}

/* ------------------------------------------------------------------------------------------------ reply */

struct pb_fetch_reply pb__fetch_reply(struct pb_fetch_exchange *ex)
{
    struct pb_fetch_reply r = {0};
    long status = 0, connects = 1;
    PB_GROW(ex->reply_headers, ex->reply_headers_cap, ex->n_head_lines);
    for (uint32_t i = 0; i < ex->n_head_lines; i++) {
        const struct pb_fetch_line *h = &ex->head_lines[i];
        ex->reply_headers[i].name = pb_str(ex->head.p + h->name, h->n_name);
        ex->reply_headers[i].value = pb_str(ex->head.p + h->value, h->n_value);
    }
    if (ex->head_ready) curl_easy_getinfo(ex->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(ex->easy, CURLINFO_NUM_CONNECTS, &connects);
    r.status = (int32_t)status;
    r.headers = ex->reply_headers;
    r.n_headers = ex->n_head_lines;
    r.connection_reused = ex->sent && connects == 0;
    if (!(ex->flags & PB_FETCH_STREAM_REPLY)) r.body = pb_buf_view(&ex->body);
    r.result = pb_err_result(&ex->err);
    return r;
}

/* "connection refused", as the system calls it, in the middle of a sentence. */
static const char *os_reason(struct pb_fetch_exchange *ex, char *out, size_t cap)
{
    long no = 0;
    curl_easy_getinfo(ex->easy, CURLINFO_OS_ERRNO, &no);
    char text[128];
    const char *s = no                ? strerror_r((int)no, text, sizeof text)
                    : ex->curl_err[0] ? ex->curl_err
                                      : "no reason given";
    snprintf(out, cap, "%s", s);
    if (no && out[0]) out[0] = (char)tolower((unsigned char)out[0]);
    return out;
}

static void timed_out(struct pb_fetch_exchange *ex, struct pb_err *err, const char *peer)
{
    double lookup = 0, connect = 0;
    curl_easy_getinfo(ex->easy, CURLINFO_NAMELOOKUP_TIME, &lookup);
    curl_easy_getinfo(ex->easy, CURLINFO_CONNECT_TIME, &connect);
    int64_t limit = ex->connect_ms < ex->timeout_ms ? ex->connect_ms : ex->timeout_ms;
    if (ex->sent)
        pb_fail(err, PBAY_DEADLINE_EXCEEDED, "%s did not %s within %lld ms", peer,
                ex->head_ready ? "finish its answer" : "answer", (long long)ex->timeout_ms);
    else if (lookup <= 0 && connect <= 0)
        pb_fail(err, PBAY_DEADLINE_EXCEEDED, "looking up %.*s: no answer within %lld ms",
                PB_FMT(ex->parts.host), (long long)limit);
    else
        pb_fail(err, PBAY_DEADLINE_EXCEEDED, "connecting to %s: no answer within %lld ms", peer,
                (long long)limit);
}

/* A request that is not tunnelled may be answered by the proxy itself. */
static bool proxy_answered(struct pb_fetch_exchange *ex)
{
    long status = 0;
    if (!ex->proxy || ex->parts.tls) return false;
    curl_easy_getinfo(ex->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 407;
}

/* What went wrong before the other side was reached. */
static bool proxy_failed(struct pb_fetch_exchange *ex, CURLcode rc, struct pb_err *err, const char *peer)
{
    char reason[CURL_ERROR_SIZE + 1];
    const char *proxy = ex->proxy->host;
    unsigned port = ex->proxy->port;
    long status = 0;
    curl_easy_getinfo(ex->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    if (proxy_answered(ex)) status = 407;
    if (status == 407)
        pb_fail(err, PBAY_UNAVAILABLE, "the proxy %s:%u wants a user name and password%s (407)", proxy, port,
                ex->proxy->user ? " other than those it was given" : "");
    else if (status >= 300)
        pb_fail(err, PBAY_UNAVAILABLE, "the proxy %s:%u does not connect to %s: %ld", proxy, port, peer,
                status);
    else if (rc == CURLE_COULDNT_RESOLVE_PROXY)
        pb_fail(err, PBAY_UNAVAILABLE, "looking up the proxy %s: no such host, or no name server answers",
                proxy);
    else if (rc == CURLE_COULDNT_CONNECT)
        pb_fail(err, PBAY_UNAVAILABLE, "connecting to the proxy %s:%u: %s", proxy, port,
                os_reason(ex, reason, sizeof reason));
    else
        return false;
    err->vendor_status = (int32_t)status;
    return true;
}

void pb__fetch_outcome(struct pb_fetch_exchange *ex, CURLcode rc)
{
    struct pb_err *err = &ex->err;
    char peer[300], reason[CURL_ERROR_SIZE + 1];
    bool v6 = ex->parts.host.n && memchr(ex->parts.host.p, ':', ex->parts.host.n);
    pb_err_clear(err);
    if (rc == CURLE_OK && !proxy_answered(ex)) return;
    snprintf(peer, sizeof peer, v6 ? "[%.*s]:%u" : "%.*s:%u", PB_FMT(ex->parts.host),
             (unsigned)ex->parts.port);
    uint32_t advice = PBAY_ADVICE_RETRY;
    if (ex->proxy && proxy_failed(ex, rc, err, peer)) {
        advice = err->vendor_status && err->vendor_status < 500 ? PBAY_ADVICE_NONE : PBAY_ADVICE_RETRY;
    } else if (ex->refused && !ex->sent) {
        pb_fail(err, PBAY_PERMISSION_DENIED,
                "%.*s has a link-local or metadata address: no requests are sent there",
                PB_FMT(ex->parts.host));
        advice = PBAY_ADVICE_NONE;
    } else if (ex->too_large) {
        if (ex->head_ready)
            pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "the answer of %s has more than %llu bytes", peer,
                    (unsigned long long)ex->max_reply);
        else
            pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "the head of the answer of %s has more than %d bytes", peer,
                    HEAD_MAX);
        advice = PBAY_ADVICE_NONE;
    } else if (ex->resent) {
        pb_fail(err, PBAY_UNAVAILABLE, "%s closed the connection before it answered", peer);
    } else {
        switch (rc) {
        case CURLE_COULDNT_RESOLVE_HOST:
            pb_fail(err, PBAY_UNAVAILABLE, "looking up %.*s: no such host, or no name server answers",
                    PB_FMT(ex->parts.host));
            break;
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_PROXY:
            pb_fail(err, PBAY_UNAVAILABLE, "the proxy on the way to %s: %s", peer,
                    os_reason(ex, reason, sizeof reason));
            break;
        case CURLE_COULDNT_CONNECT:
            pb_fail(err, PBAY_UNAVAILABLE, "connecting to %s: %s", peer,
                    os_reason(ex, reason, sizeof reason));
            break;
        case CURLE_OPERATION_TIMEDOUT: timed_out(ex, err, peer); break;
        case CURLE_SSL_CONNECT_ERROR:
            pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: %s", peer,
                    ex->curl_err[0] ? ex->curl_err : "the handshake failed");
            break;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CERTPROBLEM:
            pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: %s", peer,
                    ex->curl_err[0] ? ex->curl_err : "its certificate is not trusted");
            advice = PBAY_ADVICE_NONE;
            break;
        case CURLE_GOT_NOTHING:
            pb_fail(err, PBAY_UNAVAILABLE, "%s closed the connection before it answered", peer);
            break;
        case CURLE_PARTIAL_FILE:
            pb_fail(err, PBAY_UNAVAILABLE, "%s closed the connection in the middle of its answer", peer);
            break;
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
            pb_fail(err, PBAY_UNAVAILABLE, "the connection to %s broke: %s", peer,
                    os_reason(ex, reason, sizeof reason));
            break;
        case CURLE_BAD_CONTENT_ENCODING:
        case CURLE_WRITE_ERROR:
            pb_fail(err, PBAY_DATA_LOSS, "the answer of %s is damaged: %s", peer,
                    ex->curl_err[0] ? ex->curl_err : "it cannot be decompressed");
            break;
        default:
            pb_fail(err, ex->sent ? PBAY_UNAVAILABLE : PBAY_INTERNAL, "the exchange with %s failed: %s", peer,
                    ex->curl_err[0] ? ex->curl_err : curl_easy_strerror(rc));
            break;
        }
    }
    err->effect = ex->sent ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE;
    err->advice = advice;
}
