/* SPDX-License-Identifier: MIT */
#include "app/serve.h"

#include <unistd.h>

#include "app/gatekeeper.h"
#include "app/leash.h"
#include "base/log.h"
#include "store/durable.h"
#include "endpoints/admin.h"
#include "endpoints/health.h"
#include "endpoints/http_door.h"
#include "endpoints/qlik_sse.h"
#include "endpoints/reflection.h"
#include "net/grpc_server.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/tls.h"

/* One listener with everything behind it: gRPC or HTTP. */
struct door {
    struct pb_serving *serving;
    const char *name; /* "sse", "http", "qrag.NAME" */
    struct pb_listener *listener;
    bool drained;
    struct pb_gate *gate;

    struct pb_grpc_server *grpc;
    struct pb_sse *sse;
    struct pb_health *health;

    struct pb_http_server *http;
    struct pb_http_door *endpoints;
    struct pb_admin *admin;
};

struct pb_serving {
    struct pb_serving_options o;
    struct door *doors;
    size_t n;
    const struct pb_catalog **catalogs;
    bool draining;
    void (*drained)(void *user);
    void *drained_user;
};

/* What the sections [listen "..."] and [qrag "..."] have in common. */
struct place {
    const char *name;
    const struct pbay_config *cfg;
    pbay_str address, tls_dir;
    bool own; /* [listen]: it has keys that [qrag] does not have */
    bool sse;
};

/* ------------------------------------------------------------------------------------------------ who may
 * come in */

static pbay_str text_of(const struct place *p, const char *key)
{
    return p->own ? pb_config_get_str(p->cfg, key) : pb_str(NULL, 0);
}

static bool is_local(const struct place *p)
{
    return pb_address_is_local(p->address);
}

/* Do clients need a certificate? */
static bool mutual(const struct place *p)
{
    return p->tls_dir.n || text_of(p, "tls_ca").n;
}

static bool required(const struct place *p)
{
    if (p->own && pb_config_get_int(p->cfg, "auth") == 1) return true;
    return !is_local(p) && !pb_config_get_int(p->cfg, "insecure");
}

/*
 * Qlik shows certificates and nothing else, so keys alone do not make its listener one that it can use,
 * unless the operator asks for that. The admin token is always there for [listen "admin"].
 */
static int check_exposure(const struct place *p, const struct pb_gatekeeper *keeper, struct pb_err *err)
{
    bool asked = p->own && pb_config_get_int(p->cfg, "auth") == 1;
    bool keys = pb_gatekeeper_knows(keeper) || strcmp(p->name, "admin") == 0;
    bool authenticated = mutual(p) || (keys && (!p->sse || asked));
    if (asked && !authenticated)
        return pb_config_fail(p->cfg, "auth", err,
                              "nobody could prove who he is: write a [key] or an [issuer], or set tls_dir");
    const struct pb_exposure e = {.listener = p->name,
                                  .address = p->address,
                                  .authenticated = authenticated,
                                  .insecure = pb_config_get_int(p->cfg, "insecure") != 0};
    if (pb_exposure_check(&e, err) == 0) return 0;
    return pb_config_fail(p->cfg, "address", err,
                          "anybody who reaches %.*s could call functions: set tls_dir for mutual TLS%s, "
                          "listen on 127.0.0.1, or "
                          "write `insecure = yes` when the network itself keeps others out",
                          PB_FMT(p->address), p->sse ? "" : ", write a [key] or an [issuer]");
}

static void allow_clients(struct pb_tls *tls, const struct pbay_config *cfg)
{
    uint32_t n = pb_config_count(cfg, "clients");
    pbay_str *subjects = pb_array(n ? n : 1, sizeof *subjects), key;
    for (uint32_t i = 0; i < n; i++) subjects[i] = pb_config_item(cfg, "clients", i, &key);
    pb_tls_allow(tls, subjects, n);
    pb_free(subjects);
}

static int load_tls_files(const struct place *p, enum pb_tls_alpn alpn, struct pb_tls **out,
                          struct pb_err *err)
{
    static const char *const names[] = {"tls_cert", "tls_key", "tls_ca"};
    char *path[PB_COUNTOF(names)] = {NULL};
    for (size_t i = 0; i < PB_COUNTOF(names); i++) {
        pbay_str s = text_of(p, names[i]);
        if (s.n) path[i] = pb_strndup(s.p, s.n);
    }
    const struct pb_tls_files files = {path[0], path[1], path[2]};
    int rc = 0;
    if (p->tls_dir.n)
        rc = pb_config_fail(p->cfg, "tls_cert", err, "tls_dir stands there too: one of the two");
    else if (!path[0] || !path[1])
        rc = pb_config_fail(p->cfg,
                            path[0]   ? "tls_cert"
                            : path[1] ? "tls_key"
                                      : "tls_ca",
                            err, "tls_cert and tls_key belong together");
    else if (!(*out = pb_tls_server_new(&files, alpn, err)))
        rc = pb_fail_in(err, "%.*s: tls_cert", PB_FMT(pb_config_where(p->cfg, "tls_cert")));
    for (size_t i = 0; i < PB_COUNTOF(names); i++) pb_free(path[i]);
    if (!rc && text_of(p, "tls_ca").n) allow_clients(*out, p->cfg);
    return rc;
}

/* The listener's certificates; *out NULL: it speaks cleartext. */
static int load_tls(const struct place *p, const struct pb_gatekeeper *keeper, enum pb_tls_alpn alpn,
                    struct pb_tls **out, struct pb_err *err)
{
    *out = NULL;
    if (check_exposure(p, keeper, err)) return -1;
    if (text_of(p, "tls_cert").n || text_of(p, "tls_key").n || text_of(p, "tls_ca").n)
        return load_tls_files(p, alpn, out, err);
    if (!p->tls_dir.n) return 0;
    char *dir = pb_strndup(p->tls_dir.p, p->tls_dir.n);
    *out = pb_tls_server_from_dir(dir, alpn, err);
    pb_free(dir);
    if (!*out) return pb_fail_in(err, "%.*s: tls_dir", PB_FMT(pb_config_where(p->cfg, "tls_dir")));
    allow_clients(*out, p->cfg);
    return 0;
}

/* Names by which browsers and others know an HTTP listener; arrays live in the generation. */
static int vhost_of(struct pb_generation *g, const struct place *p, bool tls, struct pb_vhost *v,
                    struct pb_err *err)
{
    char machine[256] = "";
    uint32_t hosts = pb_config_count(p->cfg, "hosts"), origins = pb_config_count(p->cfg, "origins");
    pbay_str *h = pb_arena_alloc(&g->mem, (hosts + 1) * sizeof *h), key;
    pbay_str *o = pb_arena_alloc(&g->mem, (origins + 1) * sizeof *o);
    for (uint32_t i = 0; i < hosts; i++) h[i] = pb_config_item(p->cfg, "hosts", i, &key);
    for (uint32_t i = 0; i < origins; i++) o[i] = pb_config_item(p->cfg, "origins", i, &key);
    *v = (struct pb_vhost){.hosts = h,
                           .n_hosts = hosts,
                           .loopback = true,
                           .addresses = true,
                           .tls = tls,
                           .origins = o,
                           .n_origins = origins};
    if (pb_vhost_check(v, err)) return pb_fail_in(err, "%.*s", PB_FMT(pb_config_where(p->cfg, "address")));
    if (!is_local(p) && gethostname(machine, sizeof machine - 1) == 0 && *machine) {
        h[v->n_hosts++] = pb_arena_str(&g->mem, pb_str_c(machine));
        struct pb_err odd; /* a name that no URL can have */
        if (pb_vhost_check(v, &odd)) v->n_hosts--;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ listening
 */

static uint64_t ticket_of(struct pb_count_hold hold)
{
    return hold.tag | hold.cell; /* the tag's low 24 bits are free, and a cell's number fits there */
}

static bool admit(void *user, pbay_str peer, uint64_t *ticket)
{
    struct pb_serving *s = user;
    struct pb_count_hold hold;
    if (!pb_quota_conn(pb_gatekeeper_quota(s->o.gatekeeper), peer, pb_mono_coarse_ns(), &hold)) return false;
    atomic_fetch_add_explicit(&s->o.page->rows[s->o.row].conns, 1, memory_order_relaxed);
    *ticket = ticket_of(hold);
    return true;
}

static void leave(void *user, uint64_t ticket)
{
    struct pb_serving *s = user;
    const uint64_t low = (UINT64_C(1) << 24) - 1;
    atomic_fetch_sub_explicit(&s->o.page->rows[s->o.row].conns, 1, memory_order_relaxed);
    pb_quota_conn_end(pb_gatekeeper_quota(s->o.gatekeeper),
                      (struct pb_count_hold){ticket & ~low, (uint32_t)(ticket & low)});
}

static int listen_at(struct door *d, const struct place *p, const char *protocol, struct pb_tls *tls,
                     void (*take)(void *user, struct pb_conn *conn), struct pb_err *err)
{
    struct pb_serving *s = d->serving;
    char *address = pb_strndup(p->address.p, p->address.n), where[PB_BOUND_NAME];
    struct pb_listener_options o = {
        .name = p->name, .address = address, .protocol = protocol, .tls = tls, .take = take, .user = d};
    o.max_conns = (uint32_t)pb_config_get_int(s->o.generation->site->limits, "connections");
    o.admit = admit;
    o.leave = leave;
    o.admit_user = s;
    struct pb_leash *leash = s->o.leash;
    if (!leash)
        d->listener = pb_listener_open(s->o.loop, &o, err);
    else if (pb_leash_listen(leash, p->name, address, where, err) == 0) {
        o.address = where;
        o.gone = pb_leash_conn_gone;
        o.gone_user = leash;
        d->listener = pb_listener_for_fds(s->o.loop, &o);
    }
    pb_free(address);
    if (!d->listener) return pb_fail_in(err, "%.*s", PB_FMT(pb_config_where(p->cfg, "address")));
    /* Whether callers have to prove who they are was decided by the address that is written; who hands a
     * socket over may have bound another. */
    pbay_str real = pb_listener_address(d->listener);
    if (!is_local(p) || pb_address_is_local(real)) return 0;
    return pb_config_fail(p->cfg, "address", err,
                          "the socket of this listener is open at %.*s, where other machines can reach it: "
                          "write that here, or bind what is handed over (ListenStream= of the .socket unit) "
                          "to the address that stands here",
                          PB_FMT(real));
}

static void take_grpc(void *user, struct pb_conn *conn)
{
    struct door *d = user;
    pb_grpc_server_take(d->grpc, conn);
}

static void take_http(void *user, struct pb_conn *conn)
{
    struct door *d = user;
    pb_http_server_take(d->http, conn);
}

static struct door *add(struct pb_serving *s, const char *name)
{
    struct door *d = &s->doors[s->n++];
    d->serving = s;
    d->name = name;
    return d;
}

static int open_sse(struct pb_serving *s, const struct place *p, const struct pb_catalog *catalog,
                    struct pb_err *err)
{
    const struct pbay_config *limits = s->o.generation->site->limits;
    const struct pb_grpc_options o = {.max_message = (size_t)pb_config_get_int(limits, "max_message"),
                                      .max_streams = (uint32_t)pb_config_get_int(limits, "max_streams"),
                                      .max_header = (uint32_t)pb_config_get_int(limits, "max_header")};
    struct pb_tls *tls;
    if (load_tls(p, s->o.gatekeeper, PB_ALPN_H2, &tls, err)) return -1;
    struct door *d = add(s, p->name);
    d->gate = pb_gatekeeper_gate(s->o.gatekeeper, p->name, required(p), NULL);
    d->grpc = pb_grpc_server_new(s->o.loop, p->name, &o);
    d->sse = pb_sse_new(s->o.loop, d->grpc, catalog, s->o.flow, s->o.evaluator, d->gate);
    d->health = pb_health_new(d->grpc);
    pb_reflection_register(d->grpc);
    int rc = listen_at(d, p, "gRPC (HTTP/2)", tls, take_grpc, err);
    pb_tls_unref(tls);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ admin */

static int admin_login(void *user, pbay_str key, struct pb_err *err)
{
    struct pb_serving *s = user;
    return pb_gatekeeper_admin(s->o.gatekeeper, key, err);
}

/* A line when the store does not work. True: nothing of it keeps traffic away. */
static bool store_ready(struct pb_serving *s, struct pb_buf *out)
{
    struct pb_store_health h;
    char since[PB_TIME_MAX];
    pb_store_async_health(pb_durable_store(s->o.durable), &h);
    if (h.up) return true;
    bool required = pb_config_get_int(s->o.generation->site->store, "required") != 0;
    pb_format_time(h.since_ms, since);
    pb_buf_printf(out,
                  "degraded since %s: the store does not work, so what is durable is refused%s; it is tried "
                  "again until it works: %s\n",
                  since, required ? "" : " while scoring goes on", h.why.msg);
    return !required;
}

/*
 * Traffic is welcome until it drains; a connector that is out does not keep the others from serving, and a
 * store that is away does not keep anybody from scoring.
 */
static bool admin_ready(void *user, struct pb_buf *out)
{
    struct pb_serving *s = user;
    struct pb_registry *r = s->o.generation->registry;
    for (size_t i = 0; i < pb_registry_n_connectors(r); i++) {
        struct pb_connector *c = pb_registry_connector_at(r, i);
        pbay_str why = {NULL, 0};
        enum pb_connector_state st = pb_connector_state(c, &why);
        if (st == PB_CONNECTOR_UP) continue;
        pb_buf_printf(out, "connector %.*s is %s%s%.*s\n", PB_FMT(pb_connector_name(c)),
                      pb_connector_state_name(st), why.n ? ": " : "", PB_FMT(why));
    }
    if (s->draining) pb_buf_c(out, "this worker is draining\n");
    return store_ready(s, out) && !s->draining;
}

static void make_admin(struct door *d, const struct place *p, bool tls)
{
    struct pb_serving *s = d->serving;
    struct pb_generation *g = s->o.generation;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the items are pointers */
    s->catalogs = pb_array(g->n_qrags + 1, sizeof *s->catalogs);
    s->catalogs[0] = &g->catalog;
    for (size_t i = 0; i < g->n_qrags; i++) s->catalogs[i + 1] = &g->qrags[i].catalog;
    const struct pb_admin_options o = {.loop = s->o.loop,
                                       .gate = d->gate,
                                       .required = required(p),
                                       .tls = tls,
                                       .secret = pb_gatekeeper_secret(s->o.gatekeeper),
                                       .page = s->o.page,
                                       .metrics = s->o.metrics,
                                       .registry = g->registry,
                                       .durable = s->o.durable,
                                       .chains = s->o.chains,
                                       .catalogs = s->catalogs,
                                       .n_catalogs = g->n_qrags + 1,
                                       .login = admin_login,
                                       .ready = admin_ready,
                                       .user = s};
    d->admin = pb_admin_new(&o);
}

static int open_http(struct pb_serving *s, const struct place *p, struct pb_err *err)
{
    const struct pbay_config *limits = s->o.generation->site->limits;
    struct pb_http_options o = {.max_body = (size_t)pb_config_get_int(limits, "max_body"),
                                .max_bodies = (size_t)pb_config_get_int(limits, "max_bodies"),
                                .head_ms = pb_config_get_int(limits, "head_timeout"),
                                .body_ms = pb_config_get_int(limits, "body_timeout"),
                                .write_ms = pb_config_get_int(limits, "write_timeout"),
                                .idle_ms = pb_config_get_int(limits, "idle_timeout")};
    struct pb_vhost vhost;
    struct pb_tls *tls;
    if (load_tls(p, s->o.gatekeeper, PB_ALPN_H2, &tls, err)) return -1;
    int rc = vhost_of(s->o.generation, p, tls != NULL, &vhost, err);
    if (!rc) {
        struct door *d = add(s, p->name);
        bool admin = strcmp(p->name, "admin") == 0; /* it asks by itself, page by page */
        d->gate = pb_gatekeeper_gate(s->o.gatekeeper, p->name, !admin && required(p), &vhost);
        if (admin) {
            o.pack_min = SIZE_MAX; /* its pages hold tokens, whose length must not show */
            make_admin(d, p, tls != NULL);
            d->http = pb_http_server_new(s->o.loop, p->name, &o, &pb_admin_ops, d->admin);
        } else {
            d->endpoints =
                pb_http_door_new(s->o.loop, &s->o.generation->catalog, s->o.flow, s->o.routes, d->gate);
            d->http = pb_http_server_new(s->o.loop, p->name, &o, &pb_http_door_ops, d->endpoints);
        }
        rc = listen_at(d, p, "HTTP", tls, take_http, err);
    }
    pb_tls_unref(tls);
    return rc;
}

static struct place place_of_listen(const struct pb_site_part *part)
{
    bool sse = pb_str_is(part->name, "sse");
    return (struct place){.name = sse                              ? "sse"
                                  : pb_str_is(part->name, "admin") ? "admin"
                                                                   : "http",
                          .cfg = part->cfg,
                          .address = pb_config_get_str(part->cfg, "address"),
                          .tls_dir = pb_config_get_str(part->cfg, "tls_dir"),
                          .own = true,
                          .sse = sse};
}

static struct place place_of_qrag(struct pb_generation *g, const struct pb_qrag *q)
{
    return (struct place){.name = pb_arena_printf(&g->mem, "qrag.%.*s", PB_FMT(q->part->name)),
                          .cfg = q->part->cfg,
                          .address = q->address,
                          .tls_dir = q->tls_dir,
                          .sse = true};
}

static int check_some(const struct pb_generation *g, struct pb_err *err)
{
    if (g->site->listens.n + g->n_qrags) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "%s: nothing to listen on: write a [listen \"sse\"] with an address", g->site->path);
}

static int open_all(struct pb_serving *s, struct pb_err *err)
{
    struct pb_generation *g = s->o.generation;
    const struct pb_site_parts *listens = &g->site->listens;
    s->doors = pb_zalloc((listens->n + g->n_qrags + 1) * sizeof *s->doors);
    for (size_t i = 0; i < listens->n; i++) {
        const struct place p = place_of_listen(&listens->list[i]);
        bool sse = pb_str_is(listens->list[i].name, "sse");
        if (sse ? open_sse(s, &p, &g->catalog, err) : open_http(s, &p, err)) return -1;
    }
    for (size_t i = 0; i < g->n_qrags; i++) {
        const struct place p = place_of_qrag(g, &g->qrags[i]);
        if (open_sse(s, &p, &g->qrags[i].catalog, err)) return -1;
    }
    return check_some(g, err);
}

static struct place place_at(struct pb_generation *g, size_t i)
{
    const struct pb_site_parts *listens = &g->site->listens;
    return i < listens->n ? place_of_listen(&listens->list[i]) : place_of_qrag(g, &g->qrags[i - listens->n]);
}

/* What opening would find: an address that is none, or that another has. */
static int check_address(struct pb_generation *g, size_t i, const struct place *p, struct pb_err *err)
{
    PB_AUTO_FREE char *address = pb_strndup(p->address.p, p->address.n);
    if (pb_bound_check(address, err))
        return pb_fail_in(err, "%.*s", PB_FMT(pb_config_where(p->cfg, "address")));
    for (size_t k = 0; k < i && !pb_str_ends(p->address, PB_STR(":0")); k++) {
        const struct place other = place_at(g, k);
        if (pb_str_eq(other.address, p->address))
            return pb_config_fail(p->cfg, "address", err, "the listener %s is at %.*s already", other.name,
                                  PB_FMT(p->address));
    }
    return 0;
}

int pb_serving_check(struct pb_generation *g, struct pb_gatekeeper *keeper, struct pb_err *err)
{
    const struct pb_site_parts *listens = &g->site->listens;
    int rc = check_some(g, err);
    for (size_t i = 0; !rc && i < listens->n + g->n_qrags; i++) {
        const struct place p = place_at(g, i);
        struct pb_tls *tls = NULL;
        struct pb_vhost vhost;
        rc = check_address(g, i, &p, err);
        if (!rc) rc = load_tls(&p, keeper, PB_ALPN_H2, &tls, err);
        if (!rc && !p.sse) rc = vhost_of(g, &p, tls != NULL, &vhost, err);
        pb_tls_unref(tls);
    }
    return rc;
}

struct pb_serving *pb_serving_open(const struct pb_serving_options *options, struct pb_err *err)
{
    struct pb_serving *s = pb_zalloc(sizeof *s);
    s->o = *options;
    if (open_all(s, err) == 0) return s;
    pb_serving_free(s);
    return NULL;
}

void pb_serving_each(const struct pb_serving *s, void (*fn)(void *user, const char *name, pbay_str address),
                     void *user)
{
    for (size_t i = 0; i < s->n; i++) fn(user, s->doors[i].name, pb_listener_address(s->doors[i].listener));
}

static struct door *find(struct pb_serving *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->doors[i].listener && strcmp(s->doors[i].name, name) == 0) return &s->doors[i];
    return NULL;
}

void pb_serving_adopt(struct pb_serving *s, const char *name, int fd)
{
    struct door *d = find(s, name);
    struct pb_err err;
    if (d && pb_listener_adopt(d->listener, fd, &err) == 0) return;
    if (!d) {
        close(fd);
        pb_leash_conn_gone(s->o.leash);
        pb_fail(&err, PBAY_UNAVAILABLE, "it is not open any more");
    }
    pb_log(PB_LOG_WARN, "app", "a connection could not be taken over", PB_S("listener", name),
           PB_S("why", err.msg));
}

void pb_serving_ids_changed(struct pb_serving *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->doors[i].sse) pb_sse_ids_changed(s->doors[i].sse);
}

/* ------------------------------------------------------------------------------------------------ the end */

static void maybe_drained(struct pb_serving *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!s->doors[i].drained) return;
    void (*drained)(void *) = s->drained;
    s->drained = NULL;
    if (drained) drained(s->drained_user);
}

static void door_drained(void *user)
{
    struct door *d = user;
    d->drained = true;
    maybe_drained(d->serving);
}

void pb_serving_drain(struct pb_serving *s, void (*drained)(void *user), void *user)
{
    s->draining = true;
    s->drained = drained;
    s->drained_user = user;
    for (size_t i = 0; i < s->n; i++) {
        struct door *d = &s->doors[i];
        pb_listener_close(d->listener);
        d->listener = NULL;
        if (d->health) pb_health_drain(d->health);
        if (d->grpc)
            pb_grpc_server_drain(d->grpc, door_drained, d);
        else
            pb_http_server_drain(d->http, door_drained, d);
    }
}

/* Servers first: their calls end, and with them what the endpoints keep. */
static void close_door(struct door *d)
{
    pb_listener_close(d->listener);
    if (d->grpc) pb_grpc_server_free(d->grpc);
    if (d->http) pb_http_server_free(d->http);
    d->listener = NULL;
    d->grpc = NULL;
    d->http = NULL;
    d->drained = true;
}

void pb_serving_abandon(struct pb_serving *s)
{
    for (size_t i = 0; i < s->n; i++) close_door(&s->doors[i]);
    maybe_drained(s);
}

void pb_serving_free(struct pb_serving *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) {
        struct door *d = &s->doors[i];
        close_door(d);
        pb_sse_free(d->sse);
        pb_health_free(d->health);
        pb_http_door_free(d->endpoints);
        pb_admin_free(d->admin);
        pb_gate_free(d->gate);
    }
    pb_free(s->catalogs);
    pb_free(s->doors);
    pb_free(s);
}
