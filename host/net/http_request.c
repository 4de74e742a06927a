/* SPDX-License-Identifier: MIT */
/* What a handler reads of a request, and how its response is written. */
#include "net/http_priv.h"

#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"

const char *pb_http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {{200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {303, "See Other"},
                 {304, "Not Modified"},
                 {307, "Temporary Redirect"},
                 {308, "Permanent Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {406, "Not Acceptable"},
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {410, "Gone"},
                 {411, "Length Required"},
                 {412, "Precondition Failed"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {499, "Client Closed Request"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {505, "HTTP Version Not Supported"},
                 {507, "Insufficient Storage"}};
    for (size_t i = 0; i < PB_COUNTOF(table); i++)
        if (table[i].status == status) return table[i].text;
    return "";
}

const char *pb__http_date(struct pb_http_server *server)
{
    int64_t now = pb_now_ms() / 1000;
    if (now != server->date_s) {
        time_t t = (time_t)now;
        struct tm tm;
        server->date_s = now;
        gmtime_r(&t, &tm);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT",
                 &tm); /* the C locale's names */
    }
    return server->date;
}

/* ------------------------------------------------------------------------------------------------ reading */

pbay_str pb_http_method(const struct pb_http_request *req)
{
    return pb_h1_method(&req->hc->h1);
}

pbay_str pb_http_path(const struct pb_http_request *req)
{
    pbay_str t = pb_h1_target(&req->hc->h1);
    return pb_str(t.p, pb_str_chr(t, '?'));
}

pbay_str pb_http_query(const struct pb_http_request *req)
{
    pbay_str t = pb_h1_target(&req->hc->h1);
    size_t q = pb_str_chr(t, '?');
    return q < t.n ? pb_str(t.p + q + 1, t.n - q - 1) : pb_str(NULL, 0);
}

pbay_str pb_http_host(const struct pb_http_request *req)
{
    return pb_h1_host(&req->hc->h1);
}

pbay_str pb_http_body(const struct pb_http_request *req)
{
    return pb_buf_view(&req->body);
}

pbay_str pb_http_header(const struct pb_http_request *req, const char *name)
{
    const struct pb_h1 *h = &req->hc->h1;
    for (size_t i = 0; i < pb_h1_fields(h); i++)
        if (pb_str_is(pb_h1_field_name(h, i), name)) return pb_h1_field_value(h, i);
    return pb_str(NULL, 0);
}

const pbay_header *pb_http_headers(const struct pb_http_request *req, size_t *n)
{
    *n = req->n_headers;
    return req->headers;
}

pbay_str pb_http_peer(const struct pb_http_request *req)
{
    return pb_conn_peer(req->hc->conn);
}

pbay_str pb_http_tls_subject(const struct pb_http_request *req)
{
    return pb_conn_tls_subject(req->hc->conn);
}

bool pb_http_is_tls(const struct pb_http_request *req)
{
    return pb_conn_is_tls(req->hc->conn);
}

void pb_http_set_user(struct pb_http_request *req, void *user)
{
    req->user = user;
}

void *pb_http_user(const struct pb_http_request *req)
{
    return req->user;
}

void pb_http_limit_body(struct pb_http_request *req, size_t max_body)
{
    req->max_body = max_body;
}

/* ------------------------------------------------------------------------------------------------ responding
 */

static bool ours(pbay_str name)
{
    static const char *const names[] = {"content-length", "date", "connection", "transfer-encoding",
                                        "keep-alive"};
    for (size_t i = 0; i < PB_COUNTOF(names); i++)
        if (pb_str_ieq(name, pb_str_c(names[i]))) return true;
    return false;
}

static bool bodyless(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Status line and headers up to the empty line. length: of the body; -1: it comes in pieces. */
static void put_head(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     int64_t length)
{
    struct pb_http_conn *hc = req->hc;
    const struct pb_h1 *h1 = &hc->h1;
    struct pb_buf *out = &hc->out;
    PB_REQUIRE(req->magic == PB_HTTP_MAGIC && !req->begun && status >= 200 && status <= 599);
    req->begun = true;
    req->no_body = bodyless(status) || pb_str_is(pb_h1_method(h1), "HEAD");
    /* What of the request has not been read cannot be told from the next one. */
    if (!h1->keep_alive || hc->state != PB_HTTP_HANDLING || hc->server->draining) req->close = true;
    req->chunked = length < 0 && h1->minor == 1 && !bodyless(status);
    if (length < 0 && !req->chunked && !req->no_body)
        req->close = true; /* HTTP/1.0: its end is the connection's */
    pb_buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, pb_http_reason(status),
                  pb__http_date(hc->server));
    for (size_t i = 0; i < n; i++) {
        if (ours(headers[i].name) || !pb_h1_token(headers[i].name) || !pb_h1_value_ok(headers[i].value))
            continue;
        pb_buf_str(out, headers[i].name);
        pb_buf_add(out, ": ", 2);
        pb_buf_str(out, headers[i].value);
        pb_buf_add(out, "\r\n", 2);
    }
    if (req->chunked)
        pb_buf_c(out, "Transfer-Encoding: chunked\r\n");
    else if (length >= 0 && !bodyless(status))
        pb_buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
    if (req->close)
        pb_buf_c(out, "Connection: close\r\n");
    else if (h1->minor == 0)
        pb_buf_c(out, "Connection: keep-alive\r\n");
    pb_buf_add(out, "\r\n", 2);
}

void pb_http_respond(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     pbay_str body)
{
    put_head(req, status, headers, n, (int64_t)body.n);
    if (!req->no_body) pb_buf_str(&req->hc->out, body);
    pb__http_complete(req);
}

void pb_http_respond_text(struct pb_http_request *req, int status, const char *text)
{
    const pbay_header h = {PB_STR("Content-Type"), PB_STR("text/plain; charset=utf-8")};
    struct pb_buf b = {0};
    pb_buf_c(&b, text);
    pb_buf_ch(&b, '\n');
    pb_http_respond(req, status, &h, 1, pb_buf_view(&b));
    pb_buf_free(&b);
}

void pb_http_begin(struct pb_http_request *req, int status, const pbay_header *headers, size_t n)
{
    put_head(req, status, headers, n, -1);
    pb_conn_want_write(req->hc->conn);
}

bool pb_http_write(struct pb_http_request *req, struct pb_buf *piece)
{
    struct pb_http_conn *hc = req->hc;
    PB_REQUIRE(req->magic == PB_HTTP_MAGIC && req->begun);
    if (piece->n && !req->no_body) {
        if (req->chunked) pb_buf_printf(&hc->out, "%zx\r\n", piece->n);
        pb_buf_str(&hc->out, pb_buf_view(piece));
        if (req->chunked) pb_buf_add(&hc->out, "\r\n", 2);
        pb_conn_want_write(hc->conn);
    }
    pb_buf_free(piece);
    if (hc->out.n + pb_conn_unsent(hc->conn) < hc->server->o.high) return true;
    req->wants_writable = true;
    return false;
}

void pb_http_end(struct pb_http_request *req)
{
    PB_REQUIRE(req->magic == PB_HTTP_MAGIC && req->begun);
    if (req->chunked && !req->no_body) pb_buf_add(&req->hc->out, "0\r\n\r\n", 5);
    pb__http_complete(req);
}
