/* SPDX-License-Identifier: MIT */
/* What a handler reads of a request. */
#include "net/http_priv.h"

#include <string.h>

#include "base/mem.h"
#include "net/zip.h"

/* ------------------------------------------------------------------------------------------------ reading */

pbay_str pb_http_method(const struct pb_http_request *req)
{
    return req->method;
}

pbay_str pb_http_path(const struct pb_http_request *req)
{
    pbay_str t = req->target;
    return pb_str(t.p, pb_str_chr(t, '?'));
}

pbay_str pb_http_query(const struct pb_http_request *req)
{
    pbay_str t = req->target;
    size_t q = pb_str_chr(t, '?');
    return q < t.n ? pb_str(t.p + q + 1, t.n - q - 1) : pb_str(NULL, 0);
}

pbay_str pb_http_host(const struct pb_http_request *req)
{
    return req->host;
}

pbay_str pb_http_body(const struct pb_http_request *req)
{
    return pb_buf_view(&req->body);
}

struct pb_buf pb_http_take_body(struct pb_http_request *req)
{
    struct pb_buf body = req->body;
    req->body = (struct pb_buf){0};
    return body;
}

pbay_str pb_http_header(const struct pb_http_request *req, const char *name)
{
    pbay_str wanted = pb_str_c(name);
    for (size_t i = 0; i < req->n_headers; i++)
        if (pb_str_eq(req->headers[i].name, wanted)) return req->headers[i].value;
    return pb_str(NULL, 0);
}

const pbay_header *pb_http_headers(const struct pb_http_request *req, size_t *n)
{
    *n = req->n_headers;
    return req->headers;
}

pbay_str pb_http_peer(const struct pb_http_request *req)
{
    return pb_conn_peer(req->conn);
}

pbay_str pb_http_tls_subject(const struct pb_http_request *req)
{
    return pb_conn_tls_subject(req->conn);
}

bool pb_http_is_tls(const struct pb_http_request *req)
{
    return pb_conn_is_tls(req->conn);
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

size_t pb_http_body_limit(const struct pb_http_request *req)
{
    return req->max_body;
}

int pb_http_decode_body(const struct pb_http_request *req, size_t max, struct pb_buf *out, struct pb_err *err)
{
    pbay_str coding = pb_str_trim(pb_http_header(req, "content-encoding")), body = pb_http_body(req);
    uint32_t zip = pb_str_ieq(coding, PB_STR("gzip")) || pb_str_ieq(coding, PB_STR("x-gzip")) ? PB_ZIP_GZIP
                   : pb_str_ieq(coding, PB_STR("deflate"))                                    ? PB_ZIP_ZLIB
                                                                                              : 0;
    if (zip) {
        if (!pb_inflate(zip, body, max, out, err)) return 0;
        return err->code == PBAY_RESOURCE_EXHAUSTED ? 413 : 400;
    }
    if (coding.n && !pb_str_ieq(coding, PB_STR("identity"))) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "content-encoding: gzip, deflate or none is expected");
        return 415;
    }
    pb_buf_str(out, body);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ inside */

void pb__http_request_reset(struct pb_http_request *req)
{
    struct pb_http_request next = {
        .magic = PB_HTTP_MAGIC, .body = req->body, .headers = req->headers, .headers_cap = req->headers_cap};
    *req = next;
    pb_buf_reset(&req->body, PB_HTTP_BODY_KEEP);
}

enum { SHORT_BODY = 64 << 10 };

bool pb__http_body_fits(struct pb_http_request *req, size_t n)
{
    struct pb_http_server *server = req->server;
    bool full = server->bodies + n > server->o.max_bodies;
    if (full && server->bodies > req->counted && req->counted + n > SHORT_BODY) return false;
    server->bodies += n;
    req->counted += n;
    return true;
}

void pb__http_body_forget(struct pb_http_request *req)
{
    if (req->counted) req->server->bodies -= req->counted;
    req->counted = 0;
}

bool pb__http_body_crawls(const struct pb_http_request *req)
{
    int64_t took = pb_loop_now(req->server->loop) - req->body_since;
    if (took <= req->server->o.body_ms * PB_MS) return false;
    return (int64_t)req->body.n < (took - req->server->o.body_ms * PB_MS) / PB_SEC * 256;
}
