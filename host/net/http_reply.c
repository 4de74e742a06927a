/* SPDX-License-Identifier: MIT */
/* What a handler answers: headers that are fit to be sent, and compression. */
#include "net/http_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/zip.h"

/* Level 1 is three times as fast as 6 and text gets nearly as small; a step is what may hold up the loop. */
enum { LEVEL = 1, STEP = 128 * 1024 };

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

/* ------------------------------------------------------------------------------------------------
 * compression */

/* A whole body that is compressed over several turns, or a body in pieces. */
struct pb_http_packer {
    struct pb_deflater *deflater;
    struct pb_http_request *req;
    struct pb_buf rest; /* whole body: of it, from at on, is still to be compressed */
    size_t at;
    bool whole;
    struct pb_timer turn;
};

static bool is_text(pbay_str type)
{
    static const char *const texts[] = {
        "application/json",  "application/javascript", "application/xml", "application/x-ndjson",
        "application/jsonl", "application/jsonlines",  "image/svg+xml"};
    type = pb_str_trim(pb_str(type.p, pb_str_chr(type, ';')));
    for (size_t i = 0; i < PB_COUNTOF(texts); i++)
        if (pb_str_ieq(type, pb_str_c(texts[i]))) return true;
    bool text = type.n > 5 && pb_str_ieq(pb_str(type.p, 5), PB_STR("text/"));
    bool json = type.n > 5 && pb_str_ieq(pb_str(type.p + type.n - 5, 5), PB_STR("+json"));
    return (text || json) && !pb_str_ieq(type, PB_STR("text/event-stream"));
}

/* "q=0", "q=0.0", ... */
static bool is_zero(pbay_str params)
{
    pbay_str one;
    while (pb_str_split(&params, ';', &one)) {
        double q;
        one = pb_str_trim(one);
        if (one.n > 2 && (one.p[0] | 0x20) == 'q' && one.p[1] == '=')
            return pb_parse_f64(pb_str_trim(pb_str(one.p + 2, one.n - 2)), &q) && q <= 0;
    }
    return false;
}

/* gzip or deflate, whatever the client's Accept-Encoding (RFC 9110, 12.5.3) takes; 0: neither. */
static uint32_t accepted(const struct pb_http_request *req)
{
    uint32_t zip = 0;
    bool no_gzip = false, any = false, no_deflate = false;
    for (size_t i = 0; i < req->n_headers; i++) {
        if (!pb_str_is(req->headers[i].name, "accept-encoding")) continue;
        pbay_str list = req->headers[i].value, item;
        while (pb_str_split(&list, ',', &item)) {
            size_t semi = pb_str_chr(item, ';');
            pbay_str name = pb_str_trim(pb_str(item.p, semi));
            bool zero =
                is_zero(semi < item.n ? pb_str(item.p + semi + 1, item.n - semi - 1) : pb_str(NULL, 0));
            if (pb_str_ieq(name, PB_STR("gzip")) || pb_str_ieq(name, PB_STR("x-gzip"))) {
                if (zero)
                    no_gzip = true;
                else
                    zip = PB_ZIP_GZIP;
            } else if (pb_str_ieq(name, PB_STR("deflate"))) {
                if (zero)
                    no_deflate = true;
                else if (!zip)
                    zip = PB_ZIP_ZLIB;
            } else if (pb_str_is(name, "*") && !zero) {
                any = true;
            }
        }
    }
    if (zip || !any) return zip;
    return !no_gzip ? PB_ZIP_GZIP : !no_deflate ? PB_ZIP_ZLIB : 0;
}

/* Could this response be compressed, whoever asks? */
static bool packable(const struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     uint64_t length)
{
    bool text = false;
    if (length < req->server->o.pack_min || status < 200 || status == 204 || status == 206 || status == 304)
        return false;
    for (size_t i = 0; i < n; i++) {
        pbay_str name = headers[i].name, value = headers[i].value, one;
        if (pb_str_ieq(name, PB_STR("content-encoding"))) return false;
        if (pb_str_ieq(name, PB_STR("content-type"))) text = is_text(value);
        if (pb_str_ieq(name, PB_STR("cache-control")))
            while (pb_str_split(&value, ',', &one))
                if (pb_str_ieq(pb_str_trim(one), PB_STR("no-transform"))) return false;
    }
    return text;
}

static const char *coding_name(uint32_t zip)
{
    return zip == PB_ZIP_GZIP ? "gzip" : "deflate";
}

static void packer_new(struct pb_http_request *req, uint32_t zip)
{
    struct pb_http_packer *p = pb_zalloc(sizeof *p);
    p->deflater = pb_deflater_new(zip, LEVEL);
    p->req = req;
    req->packer = p;
}

void pb__http_reply_drop(struct pb_http_request *req)
{
    struct pb_http_packer *p = req->packer;
    if (!p) return;
    req->packer = NULL;
    pb_timer_cancel(&p->turn);
    pb_deflater_free(p->deflater);
    pb_buf_free(&p->rest);
    pb_free(p);
}

/* One step of a whole body; the next comes in another turn, or when output has left. */
static void step(void *user)
{
    struct pb_http_packer *p = user;
    struct pb_http_request *req = p->req;
    size_t left = p->rest.n - p->at, n = left < STEP ? left : STEP;
    struct pb_buf out = {0};
    pb_deflater_add(p->deflater, pb_str(p->rest.p + p->at, n), n == left ? PB_FLUSH_END : PB_FLUSH_NONE,
                    &out);
    p->at += n;
    if (out.n)
        req->wire->piece(req, &out);
    else
        pb_buf_free(&out);
    if (n == left) {
        pb__http_reply_drop(req);
        req->wire->end(req);
    } else if (req->wire->unsent(req) >= req->server->o.high) {
        req->wants_writable = true;
    } else {
        pb_timer_set(req->server->loop, &p->turn, 0);
    }
}

void pb__http_writable(struct pb_http_request *req)
{
    struct pb_http_packer *p = req->packer;
    if (p && p->whole)
        pb_timer_set(req->server->loop, &p->turn, 0);
    else if (req->server->ops->writable)
        req->server->ops->writable(req->server->user, req);
}

/* ------------------------------------------------------------------------------------------------ responding
 */

/* Fields of one connection, and those that are set here (RFC 9110, 7.6.1). */
static bool ours(pbay_str name)
{
    static const char *const names[] = {"content-length",    "date",       "connection",
                                        "transfer-encoding", "keep-alive", "proxy-connection",
                                        "upgrade",           "te"};
    for (size_t i = 0; i < PB_COUNTOF(names); i++)
        if (pb_str_ieq(name, pb_str_c(names[i]))) return true;
    return false;
}

/* zip 0: as it is; varies: another client might get another coding. */
static void put_head(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     int64_t length, uint32_t zip, bool varies)
{
    pbay_header stack[24], *fields = stack;
    size_t k = 0;
    PB_REQUIRE(req->magic == PB_HTTP_MAGIC && !req->begun && status >= 200 && status <= 599);
    req->begun = true;
    req->no_body = status == 204 || status == 304 || pb_str_is(req->method, "HEAD");
    if (n + 2 > PB_COUNTOF(stack)) fields = pb_array(n + 2, sizeof *fields);
    for (size_t i = 0; i < n; i++)
        if (!ours(headers[i].name) && pb_h1_token(headers[i].name) && pb_h1_value_ok(headers[i].value))
            fields[k++] = headers[i];
    if (zip) fields[k++] = (pbay_header){PB_STR("Content-Encoding"), pb_str_c(coding_name(zip))};
    if (varies) fields[k++] = (pbay_header){PB_STR("Vary"), PB_STR("Accept-Encoding")};
    req->wire->head(req, status, fields, k, length);
    if (fields != stack) pb_free(fields);
}

void pb_http_respond(struct pb_http_request *req, int status, const pbay_header *headers, size_t n,
                     pbay_str body)
{
    bool varies = packable(req, status, headers, n, body.n);
    uint32_t zip = varies ? accepted(req) : 0;
    struct pb_buf out = {0};
    if (zip && body.n > STEP && !pb_str_is(req->method, "HEAD")) {
        /* The handler is done with it, the client is not. */
        req->known = false;
        put_head(req, status, headers, n, -1, zip, varies);
        packer_new(req, zip);
        struct pb_http_packer *p = req->packer;
        p->whole = true;
        p->turn = (struct pb_timer){.fn = step, .user = p};
        pb_buf_str(&p->rest, body);
        pb_timer_set(req->server->loop, &p->turn, 0);
        return;
    }
    if (zip) {
        struct pb_deflater *d = pb_deflater_new(zip, LEVEL);
        pb_deflater_add(d, body, PB_FLUSH_END, &out);
        pb_deflater_free(d);
    } else {
        pb_buf_str(&out, body);
    }
    put_head(req, status, headers, n, (int64_t)out.n, zip, varies);
    if (out.n)
        req->wire->piece(req, &out);
    else
        pb_buf_free(&out);
    req->wire->end(req);
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
    bool varies = packable(req, status, headers, n, UINT64_MAX);
    uint32_t zip = varies ? accepted(req) : 0;
    put_head(req, status, headers, n, -1, zip, varies);
    if (zip && !req->no_body) packer_new(req, zip);
}

bool pb_http_write(struct pb_http_request *req, struct pb_buf *piece)
{
    PB_REQUIRE(req->magic == PB_HTTP_MAGIC && req->begun);
    if (req->packer && piece->n) {
        struct pb_buf out = {0};
        pb_deflater_add(req->packer->deflater, pb_buf_view(piece), PB_FLUSH_SYNC, &out);
        pb_buf_free(piece);
        *piece = out;
    }
    req->wire->piece(req, piece);
    *piece = (struct pb_buf){0};
    if (req->wire->unsent(req) < req->server->o.high) return true;
    req->wants_writable = true;
    return false;
}

void pb_http_end(struct pb_http_request *req)
{
    PB_REQUIRE(req->magic == PB_HTTP_MAGIC && req->begun);
    if (req->packer) {
        struct pb_buf out = {0};
        pb_deflater_add(req->packer->deflater, pb_str(NULL, 0), PB_FLUSH_END, &out);
        pb__http_reply_drop(req);
        req->wire->piece(req, &out);
    }
    req->wire->end(req);
}
