/* SPDX-License-Identifier: MIT */
#include "endpoints/http_door.h"

#include <inttypes.h>
#include <stdio.h>

#include "endpoints/functions_http.h"
#include "endpoints/routes.h"
#include "net/http_status.h"

struct pb_http_door {
    struct pb_functions_http *functions;
    struct pb_routes *routes;
    struct pb_gate *gate;
};

/* ---------------------------------------------------------------------------------------------- answers */

#define TYPE_JSON                                                                                            \
    {                                                                                                        \
        PB_STR("content-type"), PB_STR("application/json")                                                   \
    }
#define NO_STORE                                                                                             \
    {                                                                                                        \
        PB_STR("cache-control"), PB_STR("no-store")                                                          \
    }

void pb_http_json(struct pb_http_request *req, int status, pbay_str body)
{
    const pbay_header headers[] = {TYPE_JSON, NO_STORE};
    pb_http_respond(req, status, headers, PB_COUNTOF(headers), body);
}

static void put_error(const struct pb_err *err, struct pb_buf *out)
{
    pb_buf_printf(out, "{\"error\":{\"code\":\"%s\",\"message\":", pb_code_name(err->code));
    pb_buf_json(out, pb_str_c(err->msg));
    pb_buf_c(out, "}}\n");
}

void pb_http_error(struct pb_http_request *req, int status, const struct pb_err *err)
{
    struct pb_buf b = {0};
    char seconds[PB_F64_MAX];
    pbay_header headers[4] = {TYPE_JSON, NO_STORE};
    size_t n = 2;
    if (!status) status = pb_http_status_of(err->code);
    if (status == 401) headers[n++] = (pbay_header){PB_STR("www-authenticate"), PB_STR("Bearer")};
    if (status == 429 || status == 503) {
        int64_t s = (err->retry_after_ms + 999) / 1000;
        headers[n].name = PB_STR("retry-after");
        headers[n++].value = pb_str(seconds, pb_format_i64(s > 0 ? s : 1, seconds));
    }
    put_error(err, &b);
    pb_http_respond(req, status, headers, n, pb_buf_view(&b));
    pb_buf_free(&b);
}

void pb_http_not_allowed(struct pb_http_request *req, const char *allow)
{
    struct pb_buf b = {0};
    struct pb_err err;
    pbay_str method = pb_http_method(req);
    pb_fail(&err, PBAY_UNIMPLEMENTED, "%.*s is not for this path; %s is", PB_FMT(method), allow);
    put_error(&err, &b);
    const pbay_header headers[] = {TYPE_JSON, NO_STORE, {PB_STR("allow"), pb_str_c(allow)}};
    pb_http_respond(req, 405, headers, PB_COUNTOF(headers), pb_buf_view(&b));
    pb_buf_free(&b);
}

bool pb_http_type_is(const struct pb_http_request *req, const char *type)
{
    pbay_str s = pb_http_header(req, "content-type");
    s.n = pb_str_chr(s, ';');
    return pb_str_ieq(pb_str_trim(s), pb_str_c(type));
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int pb_http_unescape(pbay_str s, struct pb_buf *out, struct pb_err *err)
{
    size_t start = out->n;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? hex(s.p[i + 1]) : -1, lo = i + 2 < s.n ? hex(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0) goto bad;
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        if (!c) goto bad;
        pb_buf_ch(out, c);
    }
    if (pb_utf8_valid(pb_str(out->p + start, out->n - start))) return 0;
bad:
    out->n = start;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "the path is not percent-encoded UTF-8");
}

/* ---------------------------------------------------------------------------------------------- guests */

static void guest_gone(struct pb_http_job *job)
{
    pb_http_guest_free((struct pb_http_guest *)(void *)job);
}

struct pb_http_guest *pb_http_guest_new(struct pb_gate *gate, struct pb_http_request *req, bool own)
{
    struct pb_http_guest *guest = pb_zalloc(sizeof *guest);
    struct pb_err err;
    guest->job.gone = guest_gone;
    int status = gate ? pb_gate_http(gate, req, own, &guest->pass, &err) : 0;
    if (status) {
        pb_free(guest);
        pb_http_error(req, status, &err);
        return NULL;
    }
    if (!gate) {
        struct pb_identity *id = &guest->pass.id;
        id->peer = pb_http_peer(req);
        id->principal = id->subject = pb_http_tls_subject(req);
        if (id->subject.n) id->method = PB_AUTH_CERT;
    }
    return guest;
}

void pb_http_guest_free(struct pb_http_guest *guest)
{
    if (!guest) return;
    pb_pass_close(&guest->pass);
    pb_free(guest);
}

/* ---------------------------------------------------------------------------------------------- requests */

static bool is_functions(pbay_str path)
{
    return pb_str_is(path, "/functions") || pb_str_starts(path, PB_STR("/functions/"));
}

static void head(void *user, struct pb_http_request *req)
{
    struct pb_http_door *door = user;
    /* Who is not let in is told before a body is read. */
    bool own = door->routes && !is_functions(pb_http_path(req)) && pb_routes_head(door->routes, req);
    struct pb_http_guest *guest = pb_http_guest_new(door->gate, req, own);
    if (guest) pb_http_set_user(req, &guest->job);
}

static void request(void *user, struct pb_http_request *req)
{
    struct pb_http_door *door = user;
    struct pb_http_guest *guest = pb_http_user(req);
    struct pb_err err;
    pb_http_set_user(req, NULL);
    if (is_functions(pb_http_path(req))) {
        pb_functions_http_request(door->functions, req, &guest);
    } else if (!door->routes || !pb_routes_request(door->routes, req, &guest)) {
        pb_fail(&err, PBAY_NOT_FOUND, "nothing is served at this path; GET /functions lists the functions");
        pb_http_error(req, 0, &err);
    }
    pb_http_guest_free(guest);
}

static void gone(void *user, struct pb_http_request *req)
{
    (void)user;
    struct pb_http_job *job = pb_http_user(req);
    if (job) job->gone(job);
}

const struct pb_http_ops pb_http_door_ops = {.head = head, .request = request, .gone = gone};

struct pb_http_door *pb_http_door_new(struct pb_loop *loop, const struct pb_catalog *catalog,
                                      struct pb_flow *flow, struct pb_routes *routes, struct pb_gate *gate)
{
    struct pb_http_door *door = pb_zalloc(sizeof *door);
    door->functions = pb_functions_http_new(loop, catalog, flow);
    door->routes = routes;
    door->gate = gate;
    return door;
}

void pb_http_door_free(struct pb_http_door *door)
{
    if (!door) return;
    pb_functions_http_free(door->functions);
    pb_free(door);
}
