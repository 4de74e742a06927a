/* SPDX-License-Identifier: MIT */
#include "endpoints/routes.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/handle.h"
#include "base/log.h"
#include "endpoints/http_door.h"
#include "guard/bearer.h"
#include "loop/loop.h"
#include "net/zip.h"
#include "plugin/connector.h"
#include "plugin/invoke.h"
#include "plugin/registry.h"

enum { JOB_MAGIC = 0x524f5554, TIMEOUT_MS = 60000, DEFAULT_BODY = 16 << 20 };

/* One route at one path. */
struct place {
    pbay_str path; /* without the star, in the arena */
    bool star;     /* everything below path, which ends in '/' */
    struct pb_connector *connector;
    uint32_t index;
    const pbay_route *route;
    const struct pb_allow *allow; /* NULL: no list */
};

struct job {
    struct pb_http_job http; /* first */
    uint32_t magic;
    struct pb_routes *routes;
    struct job *next, **link;
    struct pb_http_request *req; /* NULL: answered, or the client left */
    uint64_t handle;
    const struct place *place;
    struct pb_http_guest *guest;
    struct pb_arena arena; /* what info points to */
    struct pb_buf body;    /* unpacked, or the request's when that has gone before the answer */
    pbay_request_info info;
    struct pb_deadline deadline;
    struct pb_invoked *children; /* what the plugin has invoked for it */
    bool called;                 /* something was: it has its own line in the log */
};

struct pb_routes {
    struct pb_loop *loop;
    struct pb_routes_options o;
    struct place *places;
    size_t n, cap;
    struct pb_arena arena;
    struct pb_handles handles;
    struct job *jobs;
};

/* The service has no argument that says whose requests it is about: a worker is one thread with one of these.
 */
static _Thread_local struct pb_routes *mine;

/* ---------------------------------------------------------------------------------------------- the table */

static size_t max_body(const pbay_route *route)
{
    return route->max_body ? (size_t)route->max_body : DEFAULT_BODY;
}

/* Is this method in "GET|POST"? */
static bool takes(const pbay_route *route, pbay_str method)
{
    pbay_str rest = pb_str_c(route->method), one;
    while (pb_str_split(&rest, '|', &one))
        if (pb_str_eq(one, method)) return true;
    return false;
}

static bool methods_meet(const pbay_route *a, const pbay_route *b)
{
    pbay_str rest = pb_str_c(a->method), one;
    while (pb_str_split(&rest, '|', &one))
        if (takes(b, one)) return true;
    return false;
}

static int add(struct pb_routes *r, pbay_str path, struct pb_connector *c, uint32_t index,
               const struct pb_allow *allow, struct pb_err *err)
{
    const pbay_route *route = &pb_connector_plugin(c)->route_table[index];
    bool star = pb_str_ends(path, PB_STR("/*"));
    if (star) path.n--;
    for (size_t i = 0; i < r->n; i++) {
        struct place *p = &r->places[i];
        if (!pb_str_eq(p->path, path) || p->star != star || !methods_meet(p->route, route)) continue;
        if (p->route == route && p->connector == c && allow && !p->allow) {
            p->allow = allow; /* [route] with a connector's own path: only who may come there */
            return 0;
        }
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "two routes stand at %s %.*s%s: of connector \"%.*s\" and of \"%.*s\"", route->method,
                       PB_FMT(path), star ? "*" : "", PB_FMT(pb_connector_name(p->connector)),
                       PB_FMT(pb_connector_name(c)));
    }
    PB_GROW(r->places, r->cap, r->n + 1);
    r->places[r->n++] = (struct place){pb_arena_str(&r->arena, path), star, c, index, route, allow};
    return 0;
}

int pb_routes_add_all(struct pb_routes *r, const struct pb_registry *registry, struct pb_err *err)
{
    for (size_t i = 0; i < pb_registry_n_connectors(registry); i++) {
        struct pb_connector *c = pb_registry_connector_at(registry, i);
        const struct pb_plugin *plugin = pb_connector_plugin(c);
        if (!plugin->has_routes) continue;
        for (uint32_t k = 0; k < plugin->routes.n_routes; k++) {
            struct pb_buf path = {0};
            pb_buf_printf(&path, "/%.*s%s", PB_FMT(pb_connector_name(c)), plugin->route_table[k].suffix);
            int rc = add(r, pb_buf_view(&path), c, k, NULL, err);
            pb_buf_free(&path);
            if (rc) return -1;
        }
    }
    return 0;
}

int pb_routes_add(struct pb_routes *r, pbay_str path, struct pb_connector *c, pbay_str suffix,
                  const struct pb_allow *allow, struct pb_err *err)
{
    const struct pb_plugin *plugin = pb_connector_plugin(c);
    bool found = false;
    if (!path.n || *path.p != '/')
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "route \"%.*s\" must begin with a slash", PB_FMT(path));
    for (uint32_t k = 0; plugin->has_routes && k < plugin->routes.n_routes; k++) {
        if (!pb_str_is(suffix, plugin->route_table[k].suffix)) continue;
        found = true;
        if (add(r, path, c, k, allow, err)) return -1;
    }
    if (found) return 0;
    return pb_fail(err, PBAY_NOT_FOUND, "connector \"%.*s\" has no route with suffix \"%.*s\"",
                   PB_FMT(pb_connector_name(c)), PB_FMT(suffix));
}

static bool stands_at(const struct place *p, pbay_str path)
{
    return p->star ? pb_str_starts(path, p->path) : pb_str_eq(path, p->path);
}

/* The best place for the path and method. NULL: none; *other: there is one for other methods. */
static const struct place *find(const struct pb_routes *r, pbay_str path, pbay_str method, bool *other)
{
    const struct place *best = NULL;
    *other = false;
    for (size_t i = 0; i < r->n; i++) {
        const struct place *p = &r->places[i];
        if (!stands_at(p, path)) continue;
        if (!takes(p->route, method)) {
            *other = true;
            continue;
        }
        bool better = !best || (best->star && (!p->star || p->path.n > best->path.n));
        if (better) best = p;
    }
    return best;
}

/* "GET, POST": every method that stands at the path, once. */
static void allowed(const struct pb_routes *r, pbay_str path, struct pb_buf *out)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!stands_at(&r->places[i], path)) continue;
        pbay_str rest = pb_str_c(r->places[i].route->method), one;
        while (pb_str_split(&rest, '|', &one)) {
            pbay_str have = pb_buf_view(out), item;
            bool there = false;
            while (pb_str_split(&have, ',', &item)) there = there || pb_str_eq(pb_str_trim(item), one);
            if (there) continue;
            if (out->n) pb_buf_c(out, ", ");
            pb_buf_str(out, one);
        }
    }
}

/* ---------------------------------------------------------------------------------------------- the answer
 */

static void job_free(struct job *j)
{
    pb_invoke_orphan(&j->children);
    pb_deadline_cancel(&j->deadline);
    pb_handle_release(&j->routes->handles, j->handle);
    *j->link = j->next;
    if (j->next) j->next->link = j->link;
    pb_buf_free(&j->body);
    pb_arena_free(&j->arena);
    pb_http_guest_free(j->guest);
    j->magic = 0;
    pb_free(j);
}

/* What the plugin was shown stays where it is until it has answered. */
static void leave_request(struct job *j)
{
    if (!j->body.p) j->body = pb_http_take_body(j->req);
    j->req = NULL;
}

static void on_gone(struct pb_http_job *http)
{
    struct job *j = (struct job *)(void *)http;
    PB_MAGIC_CHECK(j, JOB_MAGIC);
    pb_deadline_cancel(&j->deadline);
    leave_request(j); /* the plugin still owes its answer */
    pb_invoke_orphan(&j->children);
    pb_connector_request_cancel(j->place->connector, j->place->index, j->handle);
}

static void on_late(void *user)
{
    struct job *j = user;
    struct pb_http_request *req = j->req;
    struct pb_err err;
    leave_request(j);
    pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "connector \"%.*s\" did not answer in time",
            PB_FMT(pb_connector_name(j->place->connector)));
    pb_log(PB_LOG_WARN, "endpoints", "route not answered in time",
           PB_V("connector", pb_connector_name(j->place->connector)), PB_V("path", j->info.path));
    pb_http_error(req, 0, &err);
    pb_invoke_orphan(&j->children);
    pb_connector_request_cancel(j->place->connector, j->place->index, j->handle);
}

static struct job *job_of(pbay_request request)
{
    struct job *j = mine ? pb_handle_get(&mine->handles, request) : NULL;
    if (j) PB_MAGIC_CHECK(j, JOB_MAGIC);
    return j;
}

static bool own_auth(const pbay_route *route)
{
    return route->auth == PBAY_AUTH_OWN || route->auth == PBAY_AUTH_EITHER;
}

/* A key or a bearer token is there for the host. */
static bool shows_itself(struct pb_http_request *req)
{
    pbay_str bearer;
    const pbay_header authorization = {PB_STR("authorization"), pb_http_header(req, "authorization")};
    return pb_http_header(req, "x-api-key").n || pb_bearer_of(&authorization, &bearer);
}

static int32_t svc_accept(pbay_request request, pbay_str principal)
{
    struct job *j = job_of(request);
    if (!j) return PBAY_NOT_FOUND;
    struct pb_err err;
    struct pb_identity *id = &j->guest->pass.id;
    j->info.principal = pb_arena_str(&j->arena, principal);
    bool proven = id->method != PB_AUTH_NONE && pb_str_eq(id->principal, principal);
    if (!proven) {
        id->method = PB_AUTH_SIGNATURE;
        id->principal = id->key = j->info.principal;
    }
    if (pb_gate_route(&j->guest->pass, j->place->allow, j->info.path, false, &err)) return err.code;
    pb_connector_proven(j->place->connector);
    return PBAY_OK;
}

static void svc_respond(pbay_request request, int32_t status, const pbay_header *headers, uint32_t n,
                        pbay_str body)
{
    struct job *j = job_of(request);
    if (!j) return;
    if (status < 200 || status > 599) {
        pb_connector_fault(j->place->connector, "respond", "a status that is not between 200 and 599");
        status = 500;
    }
    if (j->req) {
        enum pb_log_level level = j->called && status < 400 ? PB_LOG_DEBUG : PB_LOG_INFO;
        pb_log(level, "endpoints", "route", PB_V("connector", pb_connector_name(j->place->connector)),
               PB_V("method", j->info.method), PB_V("path", j->info.path), PB_I("status", status),
               PB_V("principal", j->info.principal), PB_V("peer", j->info.peer));
        pb_http_respond(j->req, status, headers, n, body);
    }
    job_free(j);
}

bool pb_routes_parent(pbay_request request, struct pb_request_parent *out)
{
    struct job *j = job_of(request);
    if (!j) return false;
    j->called = true;
    *out = (struct pb_request_parent){&j->info, &j->children};
    return true;
}

const pbay_request_1 *pb_routes_service(void)
{
    static const pbay_request_1 service = {
        .struct_size = sizeof service, .accept = svc_accept, .respond = svc_respond};
    return &service;
}

/* ---------------------------------------------------------------------------------------------- the request
 */

/* Is there nothing to undo and nothing to refuse in it? */
static bool is_plain(pbay_str raw)
{
    for (size_t i = 0; i < raw.n; i++) {
        unsigned char c = (unsigned char)raw.p[i];
        if (c <= ' ' || c >= 0x7f || c == '%' || (c == '.' && i && raw.p[i - 1] == '/')) return false;
    }
    return true;
}

/* Borrows raw or what mem holds. "." and ".." are not for paths that decide who answers. */
static int decode_path(pbay_str raw, struct pb_buf *mem, pbay_str *path, struct pb_err *err)
{
    *path = raw;
    if (is_plain(raw)) return 0;
    if (pb_http_unescape(raw, mem, err)) return -1;
    *path = pb_buf_view(mem);
    pbay_str rest = *path, part;
    while (pb_str_split(&rest, '/', &part))
        if (pb_str_is(part, ".") || pb_str_is(part, ".."))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "\".\" and \"..\" must not stand in a path");
    return 0;
}

/* The body as the route wants it: as it came, or unpacked into j->body. 0, or the HTTP status with err. */
static int read_body(struct job *j, struct pb_err *err)
{
    const pbay_route *route = j->place->route;
    pbay_str raw = pb_http_body(j->req), coding = pb_http_header(j->req, "content-encoding");
    int status = 0;
    if (route->body == PBAY_BODY_DECODED && coding.n)
        status = pb_http_decode_body(j->req, max_body(route), &j->body, err);
    else if (route->body == PBAY_BODY_SNIFFED && pb_zip_sniff(raw) != PB_ZIP_SNIFF &&
             pb_inflate(PB_ZIP_SNIFF, raw, max_body(route), &j->body, err))
        status = err->code == PBAY_RESOURCE_EXHAUSTED ? 413 : 400;
    j->info.body = j->body.p ? pb_buf_view(&j->body) : raw;
    return status;
}

static void fill_info(struct job *j, pbay_str path, pbay_str principal)
{
    struct pb_http_request *req = j->req;
    struct pb_arena *a = &j->arena;
    size_t n;
    const pbay_header *headers = pb_http_headers(req, &n);
    pbay_header *copy = pb_arena_alloc(a, (n + 1) * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = (pbay_header){pb_arena_str(a, headers[i].name), pb_arena_str(a, headers[i].value)};
    pbay_str raw = pb_http_path(req), query = pb_http_query(req);
    bool whole = raw.p && query.p == raw.p + raw.n + 1; /* as it stands on the request line */
    pbay_str target = pb_arena_str(a, pb_str(raw.p, raw.n + (whole ? 1 + query.n : 0)));
    path = pb_arena_str(a, path);
    const struct place *p = j->place;
    pbay_str trace = pb_http_header(req, "traceparent");
    if (!pb_traceparent_is(trace)) trace = pb_str(NULL, 0);
    j->info = (pbay_request_info){
        .struct_size = sizeof j->info,
        .method = pb_arena_str(a, pb_http_method(req)),
        .target = target,
        .path = path,
        .suffix = p->star ? pb_str(path.p + p->path.n, path.n - p->path.n) : pb_str("", 0),
        .query = pb_arena_str(a, query),
        .headers = copy,
        .n_headers = (uint32_t)n,
        .body = j->info.body,
        .peer = pb_arena_str(a, pb_http_peer(req)),
        .principal = pb_arena_str(a, principal),
        .traceparent = pb_arena_str(a, trace),
    };
}

static void dispatch(struct pb_routes *r, struct pb_http_request *req, const struct place *p, pbay_str path,
                     struct pb_http_guest **guest)
{
    struct pb_err err;
    const struct pb_pass *pass = &(*guest)->pass;
    bool own = own_auth(p->route); /* the plugin says who it is, and its list is looked at then */
    if (!own && pb_gate_route(pass, p->allow, path, p->route->auth == PBAY_AUTH_HOST, &err)) {
        pb_http_error(req, 0, &err);
        return;
    }
    pbay_str principal = pass->id.principal;
    struct job *j = pb_zalloc(sizeof *j);
    *j = (struct job){.http.gone = on_gone, .magic = JOB_MAGIC, .routes = r, .req = req, .place = p};
    j->guest = *guest;
    *guest = NULL;
    j->deadline.fn = on_late;
    j->deadline.user = j;
    j->link = &r->jobs;
    j->next = r->jobs;
    if (j->next) j->next->link = &j->next;
    r->jobs = j;
    j->handle = pb_handle_new(&r->handles, j);
    int status = read_body(j, &err);
    if (status) {
        pb_http_error(req, status, &err);
        job_free(j);
        return;
    }
    fill_info(j, path, principal);
    j->info.deadline = pb_mono_coarse_ns() + r->o.timeout_ms * PB_MS;
    pb_deadline_set(r->loop, &j->deadline, j->info.deadline);
    pb_http_set_user(req, &j->http);
    /* It may be answered, and gone, when this returns. */
    pb_connector_request(p->connector, p->index, j->handle, &j->info, own);
}

bool pb_routes_head(struct pb_routes *r, struct pb_http_request *req)
{
    struct pb_buf mem = {0};
    struct pb_err err;
    pbay_str path;
    bool other, own = false;
    if (!decode_path(pb_http_path(req), &mem, &path, &err)) {
        const struct place *p = find(r, path, pb_http_method(req), &other);
        if (p) pb_http_limit_body(req, max_body(p->route));
        own = p && own_auth(p->route) && !(p->route->auth == PBAY_AUTH_EITHER && shows_itself(req));
    }
    pb_buf_free(&mem);
    return own;
}

bool pb_routes_request(struct pb_routes *r, struct pb_http_request *req, struct pb_http_guest **guest)
{
    struct pb_buf mem = {0};
    struct pb_err err;
    pbay_str path;
    bool other, done = true;
    if (decode_path(pb_http_path(req), &mem, &path, &err)) {
        pb_http_error(req, 0, &err);
    } else {
        const struct place *p = find(r, path, pb_http_method(req), &other);
        if (p) {
            dispatch(r, req, p, path, guest);
        } else if (other) {
            struct pb_buf methods = {0};
            allowed(r, path, &methods);
            pb_buf_ch(&methods, 0);
            pb_http_not_allowed(req, methods.p);
            pb_buf_free(&methods);
        } else {
            done = false;
        }
    }
    pb_buf_free(&mem);
    return done;
}

struct pb_routes *pb_routes_new(struct pb_loop *loop, const struct pb_routes_options *options)
{
    struct pb_routes *r = pb_zalloc(sizeof *r);
    r->loop = loop;
    if (options) r->o = *options;
    if (r->o.timeout_ms <= 0) r->o.timeout_ms = TIMEOUT_MS;
    PB_REQUIRE(!mine);
    mine = r;
    return r;
}

void pb_routes_free(struct pb_routes *r)
{
    if (!r) return;
    while (r->jobs) {
        PB_REQUIRE(!r->jobs->req);
        job_free(r->jobs); /* a plugin that never answered */
    }
    mine = NULL;
    pb_handles_free(&r->handles);
    pb_arena_free(&r->arena);
    pb_free(r->places);
    pb_free(r);
}
