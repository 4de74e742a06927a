/* SPDX-License-Identifier: MIT */
/* Requests for the plugin's routes, as the host hands them on; and pbay.host.request/1. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mockhost/calls.h"
#include "plugin/connector_priv.h"

enum { DEFAULT_BODY = 16 << 20, TIMEOUT_S = 60 };

static uint64_t handles;

static bool takes(const pbay_route *route, pbay_str method)
{
    pbay_str rest = pb_str_c(route->method), one;
    while (pb_str_split(&rest, '|', &one))
        if (pb_str_eq(one, method)) return true;
    return false;
}

/* The best route below the connector; -1: none, *other: there is one for other methods. */
static int find(const struct pb_plugin *p, pbay_str suffix, pbay_str method, bool *other, pbay_str *star)
{
    int best = -1;
    size_t length = 0;
    *other = false;
    for (uint32_t i = 0; p->has_routes && i < p->routes.n_routes; i++) {
        pbay_str s = pb_str_c(p->route_table[i].suffix);
        const bool any = pb_str_ends(s, PB_STR("/*"));
        if (any) s.n--;
        if (any ? !pb_str_starts(suffix, s) : !pb_str_eq(suffix, s)) continue;
        if (!takes(&p->route_table[i], method)) {
            *other = true;
            continue;
        }
        const size_t worth = any ? s.n : SIZE_MAX;
        if (best >= 0 && worth <= length) continue;
        best = (int)i;
        length = worth;
        *star = any ? pb_str(suffix.p + s.n, suffix.n - s.n) : pb_str(NULL, 0);
    }
    return best;
}

static void answer(struct pbay_mock_call *c, int32_t status)
{
    c->status = status;
    pb_mock_call_end(c, NULL);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static pbay_str decoded(struct pb_arena *mem, pbay_str s)
{
    char *out = pb_arena_alloc(mem, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        const bool is = s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0;
        out[n++] = is ? (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])) : s.p[i];
        if (is) i += 2;
    }
    return pb_str(out, n);
}

/* What the plugin is shown; it may read it until it has answered. */
static void fill(struct pbay_mock_call *c, const char *method, const char *target, const char *headers,
                 pbay_str body)
{
    struct pb_mock_headers *h = pb_arena_zalloc(&c->mem, sizeof *h);
    struct pbay_mock *m = c->m;
    char *full = pb_arena_printf(&c->mem, "/%s%s", m->connector->name, target);
    const size_t question = strcspn(full, "?");
    pb_mock_headers_parse(h, headers ? headers : "");
    pbay_header *list = pb_arena_alloc(&c->mem, (h->n + 1) * sizeof *list);
    for (uint32_t i = 0; i < h->n; i++)
        list[i] =
            (pbay_header){pb_arena_str(&c->mem, h->list[i].name), pb_arena_str(&c->mem, h->list[i].value)};
    c->request =
        (pbay_request_info){.struct_size = sizeof c->request,
                            .method = pb_arena_str(&c->mem, pb_str_c(method)),
                            .target = pb_str_c(full),
                            .path = decoded(&c->mem, pb_str(full, question)),
                            .query = full[question] ? pb_str_c(full + question + 1) : pb_str(NULL, 0),
                            .headers = list,
                            .n_headers = h->n,
                            .body = pb_arena_str(&c->mem, body),
                            .peer = PB_STR("127.0.0.1:4711"),
                            .deadline = m->ns + TIMEOUT_S * PB_SEC};
    pb_mock_headers_free(h);
}

pbay_mock_call *pbay_mock_request(pbay_mock *m, const char *method, const char *target, const char *headers,
                                  pbay_str body)
{
    char *name = pb_sprintf("%s %s", method, target);
    struct pbay_mock_call *c = pb_mock_call_new(m, PB_MOCK_REQUEST, name);
    struct pb_connector *conn = pb_mock_instance(m, true);
    bool other = false;
    pb_free(name);
    if (!conn) {
        c->ended = true;
        return c;
    }
    fill(c, method, target, headers, body);
    const size_t own = strlen(conn->name) + 1;
    pbay_str star = {NULL, 0}, suffix = pb_str(c->request.path.p + own, c->request.path.n - own);
    const int i = find(m->plugin, suffix, c->request.method, &other, &star);
    const pbay_route *route = i < 0 ? NULL : &m->plugin->route_table[i];
    if (!route) {
        answer(c, other ? 405 : 404);
        return c;
    }
    if (body.n > (route->max_body ? route->max_body : DEFAULT_BODY)) {
        answer(c, 413);
        return c;
    }
    if (route->auth == PBAY_AUTH_HOST && !m->principal) {
        answer(c, 401);
        return c;
    }
    c->handle = ++handles;
    c->index = (uint32_t)i;
    c->request.suffix = star;
    c->own_auth = route->auth == PBAY_AUTH_OWN || (route->auth == PBAY_AUTH_EITHER && !m->principal);
    if (!c->own_auth && route->auth != PBAY_AUTH_NONE)
        c->request.principal = pb_arena_str(&c->mem, pb_str_c(m->principal));
    pb_connector_request(conn, c->index, c->handle, &c->request, c->own_auth);
    return c;
}

int32_t pbay_mock_status(pbay_mock_call *c)
{
    pbay_mock_code(c);
    return c->status;
}

const char *pbay_mock_header(pbay_mock_call *c, const char *name)
{
    pbay_mock_code(c);
    return pb_mock_headers_get(&c->headers, name);
}

/* ------------------------------------------------------------------------------------------------ the
 * service */

static int32_t accept_caller(pbay_request request, pbay_str principal)
{
    (void)principal;
    if (!pb_mock_on_loop(PBAY_SVC_REQUEST, "accept")) return PBAY_INTERNAL;
    struct pbay_mock_call *c = pb_mock_call_of(PB_MOCK_REQUEST, request);
    if (!c) return PBAY_NOT_FOUND;
    c->flags |= PBAY_MOCK_ACCEPTED;
    pb_connector_proven(c->m->connector);
    return PBAY_OK;
}

static void respond(pbay_request request, int32_t status, const pbay_header *headers, uint32_t n,
                    pbay_str body)
{
    if (!pb_mock_on_loop(PBAY_SVC_REQUEST, "respond")) return;
    struct pbay_mock_call *c = pb_mock_call_of(PB_MOCK_REQUEST, request);
    if (!c) {
        pb_mock_fault("a request was answered twice, or one that there is not");
        return;
    }
    if (status < 200 || status > 599) pb_mock_fault("%s: the status %d is none of HTTP's", c->name, status);
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < headers[i].value.n; k++)
            if (headers[i].value.p[k] == '\r' || headers[i].value.p[k] == '\n' || !headers[i].value.p[k])
                pb_mock_fault("%s: the header %.*s has a CR, LF or NUL in its value", c->name,
                              PB_FMT(headers[i].name));
    pb_mock_headers_copy(&c->headers, headers, n);
    pb_buf_str(&c->text, body);
    answer(c, status);
}

const pbay_request_1 pb_mock_requests = {sizeof pb_mock_requests, 0, accept_caller, respond};
