/* SPDX-License-Identifier: MIT */
/* Requests: each route gets what a careless and what a hostile client sends; every one is answered once. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"

static struct {
    uint64_t handle;
    uint32_t answers;
    int32_t status;
    const char *where;
} asked;

static int32_t accept_caller(pbay_request request, pbay_str principal)
{
    (void)principal;
    return request == asked.handle ? PBAY_OK : PBAY_NOT_FOUND;
}

static void respond(pbay_request request, int32_t status, const pbay_header *headers, uint32_t n,
                    pbay_str body)
{
    if (request != asked.handle) return; /* stale: the host would not mind either */
    if (asked.answers++) kit_fault("%s: one request was answered twice", asked.where);
    if (status < 200 || status > 599) kit_fault("%s: the status %d is none of HTTP's", asked.where, status);
    if (body.n && !body.p) kit_fault("%s: a body of %zu bytes at NULL", asked.where, body.n);
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < headers[i].value.n; k++)
            if (headers[i].value.p[k] == '\r' || headers[i].value.p[k] == '\n' || !headers[i].value.p[k])
                kit_fault("%s: the header %.*s has a CR, LF or NUL in its value", asked.where,
                          (int)headers[i].name.n, headers[i].name.p);
    asked.status = status;
}

const pbay_request_1 kit_requests = {sizeof kit_requests, 0, accept_caller, respond};

static void ask(struct kit *k, struct pb_connector *c, uint32_t route, pbay_str body, bool cancel)
{
    static const pbay_header headers[] = {{{"content-type", 12}, {"application/json", 16}},
                                          {{"host", 4}, {"127.0.0.1:8080", 14}}};
    const pbay_route *r = &k->plugin->route_table[route];
    char target[512];
    size_t method = strcspn(r->method, "|"), suffix = strcspn(r->suffix, "*");
    int n = snprintf(target, sizeof target, "/check%.*s%s", (int)suffix, r->suffix,
                     r->suffix[suffix] ? "something" : "");
    const pbay_str path = {target, (size_t)n};
    const pbay_request_info info = {.struct_size = sizeof info,
                                    .method = {r->method, method},
                                    .target = path,
                                    .path = path,
                                    .suffix = r->suffix[suffix] ? pb_str("something", 9) : pb_str("", 0),
                                    .headers = headers,
                                    .n_headers = PB_COUNTOF(headers),
                                    .body = body,
                                    .peer = {"127.0.0.1:4711", 14},
                                    .principal = {"key:check", 9},
                                    .deadline = pb_mono_ns() + k->patience_ms * PB_MS};
    asked.handle++;
    asked.answers = 0;
    asked.where = target;
    pb_connector_request(c, route, asked.handle, &info, r->auth == PBAY_AUTH_OWN);
    if (cancel && !asked.answers) pb_connector_request_cancel(c, route, asked.handle);
    for (int64_t end = pb_mono_ns() + k->patience_ms * PB_MS; !asked.answers;) {
        kit_turn(k);
        if (pb_mono_ns() > end)
            kit_fault("%s: a request was not answered within %lld ms: every request owes one `respond`",
                      target, (long long)k->patience_ms);
    }
    if (asked.status < 300 && r->auth == PBAY_AUTH_OWN && !strncmp(r->method, "POST", 4))
        kit_fault("%s: a request without any credentials was answered %d, though the route says that it "
                  "verifies its "
                  "callers itself (PBAY_AUTH_OWN)",
                  target, asked.status);
}

void check_routes(struct kit *k)
{
    static char deep[200000];
    memset(deep, '[', sizeof deep);
    const pbay_str bodies[] = {
        {"", 0},        {"{}", 2},          {"{\"data\":[[0,1]]}", 16}, {"\xff\xfe\0x", 4},
        {"{\"a\":", 5}, {deep, sizeof deep}};
    kit_open(k);
    if (!k->plugin->has_routes) kit_skip("it offers no routes");
    struct pb_connector *c = kit_started(k);
    for (uint32_t route = 0; route < k->plugin->routes.n_routes; route++)
        for (size_t b = 0; b < PB_COUNTOF(bodies); b++) {
            ask(k, c, route, bodies[b], false);
            ask(k, c, route, bodies[b], true);
        }
    kit_no_faults(k, c);
    kit_close(k, c);
}
