/* SPDX-License-Identifier: MIT */
#include "endpoints/admin.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "endpoints/admin_priv.h"
#include "endpoints/form.h"
#include "endpoints/http_door.h"
#include "plugin/registry.h"
#include "store/durable.h"

enum { BODY_MAX = 16 * 1024, ASK_MAGIC = 0x41534b21 };
#define COOKIE "patchbay"

struct pb_admin {
    struct pb_admin_options o;
};

/* A request that waits for the store. */
struct ask {
    struct pb_http_job job; /* first */
    uint32_t magic;
    struct pb_admin *admin;
    struct pb_http_request *req; /* NULL: the client left */
    void (*answer)(struct ask *ask, bool read);
    struct pb_store_op op;
    struct pb_admin_store store;
    char csrf[PB_CSRF_LEN + 1]; /* empty: not signed in */
    pbay_str by;                /* who pauses: static or in text */
    bool pause;
    struct pb_buf text; /* kind, name, why, one behind the other, each with NUL */
    pbay_str kind, name, why;
    struct pb_err err;
};

/* ------------------------------------------------------------------------------------------------ answers */

#define CSP                                                                                                  \
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

static void respond(struct pb_http_request *req, int status, const char *type, pbay_str body,
                    const pbay_header *more, size_t n_more)
{
    pbay_header h[12] = {{PB_STR("content-type"), pb_str_c(type)},
                         {PB_STR("cache-control"), PB_STR("no-store")},
                         {PB_STR("content-security-policy"), PB_STR(CSP)},
                         {PB_STR("x-content-type-options"), PB_STR("nosniff")},
                         {PB_STR("x-frame-options"), PB_STR("DENY")},
                         {PB_STR("referrer-policy"), PB_STR("no-referrer")},
                         {PB_STR("cross-origin-resource-policy"), PB_STR("same-origin")}};
    size_t n = 7;
    for (size_t i = 0; i < n_more && n < PB_COUNTOF(h); i++) h[n++] = more[i];
    pb_http_respond(req, status, h, n, body);
}

static void plain(struct pb_http_request *req, int status, pbay_str body)
{
    respond(req, status, "text/plain; charset=utf-8", body, NULL, 0);
}

static void see_other(struct pb_http_request *req, const char *cookie)
{
    const pbay_header h[] = {{PB_STR("location"), PB_STR("/")}, {PB_STR("set-cookie"), pb_str_c(cookie)}};
    respond(req, 303, "text/plain; charset=utf-8", pb_str("", 0), h, *cookie ? 2 : 1);
}

void pb_admin_respond(struct pb_http_request *req, int status, const char *type, pbay_str body)
{
    respond(req, status, type, body, NULL, 0);
}

void pb_admin_see_other(struct pb_http_request *req, const char *to)
{
    const pbay_header h[] = {{PB_STR("location"), pb_str_c(to)}};
    respond(req, 303, "text/plain; charset=utf-8", pb_str("", 0), h, 1);
}

static void login_page(struct pb_http_request *req, int status, bool wrong)
{
    struct pb_buf b = {0};
    pb_admin_login_page(wrong, &b);
    respond(req, status, "text/html; charset=utf-8", pb_buf_view(&b), NULL, 0);
    pb_buf_free(&b);
}

/* ------------------------------------------------------------------------------------------------ who */

/* By a key, a token or a certificate with the scope; certificates have none. */
static bool shown(const struct pb_identity *id)
{
    return id->admin;
}

/* The session that the cookie stands for; p NULL: none. */
static pbay_str session(const struct pb_admin *a, struct pb_http_request *req)
{
    struct pb_err err;
    pbay_str s = pb_cookie_get(pb_http_header(req, "cookie"), COOKIE);
    if (!s.n || pb_csrf_check(a->o.secret, PB_STR("session"), s, pb_now_ms(), &err)) return pb_str(NULL, 0);
    return s;
}

/* Reading: whoever the listener lets in; beyond loopback somebody must be proven, or signed in. */
static bool may_read(const struct pb_admin *a, const struct pb_identity *id, pbay_str session_of)
{
    return !a->o.required || id->method != PB_AUTH_NONE || session_of.n;
}

/* Changing: the scope, or a session and the token of a page of ours. */
static int may_change(const struct pb_admin *a, const struct pb_pass *pass, struct pb_http_request *req,
                      struct pb_err *err)
{
    if (shown(&pass->id)) return 0;
    pbay_str s = session(a, req);
    struct pb_buf csrf = {0};
    int rc = -1;
    if (!s.n)
        pb_fail(err, pass->id.method == PB_AUTH_NONE ? PBAY_UNAUTHENTICATED : PBAY_PERMISSION_DENIED,
                "a change needs a key with the scope %s, as a header or by signing in", PB_ADMIN_SCOPE);
    else if (!pb_form_get(pb_http_body(req), "csrf", &csrf))
        pb_fail(err, PBAY_PERMISSION_DENIED, "the form has no token: it is not one of our pages");
    else
        rc = pb_csrf_check(a->o.secret, s, pb_buf_view(&csrf), pb_now_ms(), err);
    pb_buf_free(&csrf);
    return rc ? pb_gate_refuse(pass, err) : 0;
}

/* ------------------------------------------------------------------------------------------------ the store
 */

static void store_free(struct pb_admin_store *s)
{
    for (size_t i = 0; i < s->n; i++) pb_free(s->queues[i].name);
    pb_free(s->queues);
    pb_pauses_free(&s->pauses);
    *s = (struct pb_admin_store){0};
}

static void count(void *user, pbay_str queue, enum pb_job_state state, uint64_t n)
{
    struct pb_admin_store *s = user;
    size_t i = 0;
    while (i < s->n && !pb_str_is(queue, s->queues[i].name)) i++;
    if (i == s->n) {
        PB_GROW(s->queues, s->cap, s->n + 1);
        s->queues[s->n++] = (struct pb_admin_queue){.name = pb_strndup(queue.p, queue.n)};
    }
    if ((size_t)state < PB_COUNTOF(s->queues[i].n)) s->queues[i].n[state] += n;
}

static int read_store(struct pb_store *s, void *user, struct pb_err *err)
{
    struct ask *ask = user;
    store_free(&ask->store);
    return pb_store_job_counts(s, count, &ask->store, err) || pb_store_pause_list(s, &ask->store.pauses, err)
               ? -1
               : 0;
}

static int write_pause(struct pb_store *s, void *user, struct pb_err *err)
{
    struct ask *a = user;
    return a->pause ? pb_store_pause(s, a->kind, a->name, a->by, a->why, err)
                    : pb_store_unpause(s, a->kind, a->name, a->by, err);
}

static void ask_gone(struct pb_http_job *job)
{
    struct ask *ask = (struct ask *)(void *)job;
    ask->req = NULL; /* freed when the store has answered */
}

static void ask_free(struct ask *ask)
{
    store_free(&ask->store);
    pb_buf_free(&ask->text);
    ask->magic = 0;
    pb_free(ask);
}

static void store_done(void *user, const struct pb_err *err)
{
    struct ask *ask = user;
    PB_MAGIC_CHECK(ask, ASK_MAGIC);
    if (ask->req) {
        if (err) ask->err = *err;
        ask->answer(ask, !err);
    }
    ask_free(ask);
}

static struct ask *ask_new(struct pb_admin *a, struct pb_http_request *req,
                           void (*answer)(struct ask *ask, bool read))
{
    struct ask *ask = pb_zalloc(sizeof *ask);
    ask->job.gone = ask_gone;
    ask->magic = ASK_MAGIC;
    ask->admin = a;
    ask->req = req;
    ask->answer = answer;
    return ask;
}

static void post(struct ask *ask, int (*run)(struct pb_store *s, void *user, struct pb_err *err), bool reads)
{
    struct pb_durable *d = ask->admin->o.durable;
    pb_http_set_user(ask->req, &ask->job);
    ask->op = (struct pb_store_op){.run = run, .done = store_done, .user = ask, .reads = reads};
    if (d)
        pb_store_post(pb_durable_store(d), &ask->op);
    else {
        struct pb_err none;
        pb_fail(&none, PBAY_UNAVAILABLE, "there is no store");
        store_done(ask, &none);
    }
}

/* ------------------------------------------------------------------------------------------------ reading */

static bool store_up(const struct pb_admin_options *o)
{
    struct pb_store_health health = {0};
    if (o->durable) pb_store_async_health(pb_durable_store(o->durable), &health);
    return health.up;
}

static void metrics(struct ask *ask, bool read)
{
    const struct pb_admin_options *o = &ask->admin->o;
    static const char help[] = "# HELP patchbay_queue_jobs Durable jobs by queue and state.\n"
                               "# TYPE patchbay_queue_jobs gauge\n";
    struct pb_buf b = {0}, labels = {0};
    pb_registry_publish(o->registry);
    pb_metrics_text(o->metrics, &b);
    if (read) pb_buf_c(&b, help);
    for (size_t i = 0; read && i < ask->store.n; i++)
        for (size_t st = 0; st < PB_COUNTOF(ask->store.queues[i].n); st++) {
            if (!ask->store.queues[i].n[st]) continue;
            labels.n = 0;
            pb_metric_label(&labels, "queue", pb_str_c(ask->store.queues[i].name));
            pb_metric_label(&labels, "state", pb_str_c(pb_job_state_name((enum pb_job_state)st)));
            pb_buf_printf(&b, "patchbay_queue_jobs{%.*s} %llu\n", PB_FMT(pb_buf_view(&labels)),
                          (unsigned long long)ask->store.queues[i].n[st]);
        }
    pb_buf_printf(&b,
                  "# HELP patchbay_store_up Does the store work?\n# TYPE patchbay_store_up gauge\n"
                  "patchbay_store_up %d\n",
                  read && store_up(o));
    respond(ask->req, 200, "text/plain; version=0.0.4; charset=utf-8", pb_buf_view(&b), NULL, 0);
    pb_buf_free(&labels);
    pb_buf_free(&b);
}

static bool readiness(const struct ask *ask, bool read, struct pb_buf *out)
{
    const struct pb_admin_options *o = &ask->admin->o;
    bool ready = o->ready(o->user, out);
    if (!read && store_up(o)) pb_buf_printf(out, "the store cannot be read: %s\n", ask->err.msg);
    return ready;
}

static void ready(struct ask *ask, bool read)
{
    struct pb_buf b = {0};
    bool is = readiness(ask, read, &b);
    if (!b.n) pb_buf_c(&b, "ready\n");
    plain(ask->req, is ? 200 : 503, pb_buf_view(&b));
    pb_buf_free(&b);
}

static void page(struct ask *ask, bool read)
{
    struct pb_buf b = {0}, notes = {0};
    struct pb_admin_view v = {.o = &ask->admin->o, .store = read ? &ask->store : NULL};
    pb_registry_publish(ask->admin->o.registry);
    v.ready = readiness(ask, read, &notes);
    v.degraded = !store_up(v.o);
    v.notes = pb_buf_view(&notes);
    v.csrf = pb_str_c(ask->csrf);
    pb_admin_page(&v, &b);
    respond(ask->req, 200, "text/html; charset=utf-8", pb_buf_view(&b), NULL, 0);
    pb_buf_free(&notes);
    pb_buf_free(&b);
}

static void get(struct pb_admin *a, struct pb_http_request *req, const struct pb_pass *pass, pbay_str path)
{
    pbay_str s = session(a, req);
    struct pb_err err;
    if (pb_str_is(path, "/healthz")) {
        plain(req, 200, PB_STR("ok\n"));
        return;
    }
    if (pb_str_is(path, "/style.css")) {
        respond(req, 200, "text/css; charset=utf-8", pb_str((const char *)pb_admin_css, pb_admin_css_size),
                NULL, 0);
        return;
    }
    bool is_page = pb_str_is(path, "/");
    if (pb_str_is(path, "/login") || (is_page && !may_read(a, &pass->id, s))) {
        login_page(req, 200, false);
        return;
    }
    if (!may_read(a, &pass->id, s)) {
        pb_fail(&err, PBAY_UNAUTHENTICATED, "%.*s needs a key here", PB_FMT(path));
        pb_gate_refuse(pass, &err);
        pb_http_error(req, 0, &err);
        return;
    }
    if (pb_admin_chains_path(path)) {
        char csrf[PB_CSRF_LEN + 1] = "";
        if (s.n) pb_csrf_issue(a->o.secret, s, pb_now_ms(), csrf);
        pb_admin_chains_get(&a->o, req, path, pb_str_c(csrf));
        return;
    }
    struct ask *ask = ask_new(a, req, is_page ? page : pb_str_is(path, "/readyz") ? ready : metrics);
    if (is_page && s.n) pb_csrf_issue(a->o.secret, s, pb_now_ms(), ask->csrf);
    post(ask, read_store, true);
}

/* ------------------------------------------------------------------------------------------------ changing
 */

static void login(struct pb_admin *a, struct pb_http_request *req, const struct pb_pass *pass)
{
    struct pb_buf key = {0};
    struct pb_err err;
    char cookie[PB_CSRF_LEN + 128], token[PB_CSRF_LEN + 1];
    bool good = pb_form_get(pb_http_body(req), "key", &key);
    if (!good) pb_fail(&err, PBAY_UNAUTHENTICATED, "the form has no key");
    if (good) good = a->o.login(a->o.user, pb_str_trim(pb_buf_view(&key)), &err) == 0;
    if (key.p) pb_wipe(key.p, key.n);
    pb_buf_free(&key);
    if (!good) {
        pb_gate_refuse(pass, &err);
        login_page(req, 403, true);
        return;
    }
    pb_csrf_issue(a->o.secret, PB_STR("session"), pb_now_ms(), token);
    snprintf(cookie, sizeof cookie, COOKIE "=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s", token,
             PB_CSRF_AGE_MS / 1000, a->o.tls ? "; Secure" : "");
    pb_log(PB_LOG_INFO, "endpoints", "signed in", PB_V("peer", pass->id.peer));
    see_other(req, cookie);
}

/* Back to the page for a browser, a line for a program. */
static void changed(struct pb_http_request *req)
{
    if (pb_cookie_get(pb_http_header(req, "cookie"), COOKIE).n)
        see_other(req, "");
    else
        plain(req, 200, PB_STR("ok\n"));
}

static void pause_written(struct ask *ask, bool written)
{
    if (written) pb_durable_look(ask->admin->o.durable);
    if (written)
        changed(ask->req);
    else
        pb_http_error(ask->req, 0, &ask->err);
}

static pbay_str field(pbay_str body, const char *name, struct pb_buf *into, size_t *at)
{
    *at = into->n;
    bool there = pb_form_get(body, name, into);
    size_t n = into->n - *at;
    pb_buf_ch(into, 0);
    return pb_str(there ? "" : NULL, n); /* where it lies is known when all are there */
}

static void set_pause(struct pb_admin *a, struct pb_http_request *req, const struct pb_pass *pass, bool pause)
{
    static const char *const kinds[] = {"chain", "app", "connector", "function", "queue"};
    pbay_str body = pb_http_body(req);
    struct ask *ask = ask_new(a, req, pause_written);
    struct pb_err err;
    size_t at[4];
    pbay_str got[4] = {field(body, "kind", &ask->text, &at[0]), field(body, "name", &ask->text, &at[1]),
                       field(body, "why", &ask->text, &at[2])};
    at[3] = ask->text.n;
    pb_buf_printf(&ask->text, "page:%.*s", PB_FMT(pass->id.principal.n ? pass->id.principal : pass->id.peer));
    got[3].n = ask->text.n - at[3];
    for (int i = 0; i < 4; i++) got[i].p = ask->text.p + at[i];
    ask->kind = got[0];
    ask->name = got[1];
    ask->why = got[2];
    ask->by = got[3];
    ask->pause = pause;
    bool known = false;
    for (size_t i = 0; i < PB_COUNTOF(kinds); i++) known = known || pb_str_is(ask->kind, kinds[i]);
    if (known && ask->name.n && ask->name.n <= 256 && ask->why.n <= 1024) {
        post(ask, write_pause, false);
        return;
    }
    pb_fail(&err, PBAY_INVALID_ARGUMENT,
            "kind= one of chain, app, connector, function, queue, and name= are expected");
    ask_free(ask);
    pb_http_error(req, 0, &err);
}

static void set_log(struct pb_admin *a, struct pb_http_request *req)
{
    struct pb_buf level = {0}, room = {0};
    struct pb_err err;
    pb_form_get(pb_http_body(req), "level", &level);
    pb_form_get(pb_http_body(req), "room", &room);
    int rc = pb_page_log_level(a->o.page, pb_buf_view(&level), pb_buf_view(&room), &err);
    pb_buf_free(&level);
    pb_buf_free(&room);
    if (rc)
        pb_http_error(req, 0, &err);
    else
        changed(req);
}

static bool chain_deed(struct pb_admin *a, struct pb_http_request *req, const struct pb_pass *pass,
                       pbay_str deed)
{
    struct pb_buf who = {0};
    pb_buf_printf(&who, "page:%.*s", PB_FMT(pass->id.principal.n ? pass->id.principal : pass->id.peer));
    bool browser = pb_cookie_get(pb_http_header(req, "cookie"), COOKIE).n > 0;
    bool done = pb_admin_chains_deed(&a->o, req, deed, pb_buf_view(&who), browser);
    pb_buf_free(&who);
    return done;
}

static void post_request(struct pb_admin *a, struct pb_http_request *req, const struct pb_pass *pass,
                         pbay_str path)
{
    struct pb_err err;
    struct pb_buf what = {0};
    if (!pb_http_type_is(req, "application/x-www-form-urlencoded")) {
        pb_fail(&err, PBAY_INVALID_ARGUMENT, "a form (application/x-www-form-urlencoded) is expected");
        pb_http_error(req, 415, &err);
        return;
    }
    if (pb_str_is(path, "/login")) {
        login(a, req, pass);
        return;
    }
    if (may_change(a, pass, req, &err)) {
        pb_http_error(req, 0, &err);
        return;
    }
    if (pb_str_is(path, "/logout")) {
        see_other(req, COOKIE "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        return;
    }
    pb_form_get(pb_http_body(req), "do", &what);
    pbay_str verb = pb_buf_view(&what);
    if (pb_str_is(verb, "pause") || pb_str_is(verb, "unpause"))
        set_pause(a, req, pass, pb_str_is(verb, "pause"));
    else if (pb_str_is(verb, "log"))
        set_log(a, req);
    else if (!chain_deed(a, req, pass, verb)) {
        pb_fail(&err, PBAY_INVALID_ARGUMENT,
                "do= is one of pause, unpause, log, start, resume, skip, cancel, replay and release");
        pb_http_error(req, 0, &err);
    }
    pb_buf_free(&what);
}

/* ------------------------------------------------------------------------------------------------ requests
 */

static void on_head(void *user, struct pb_http_request *req)
{
    struct pb_admin *a = user;
    struct pb_http_guest *guest = pb_http_guest_new(a->o.gate, req, false);
    if (!guest) return;
    pb_http_limit_body(req, BODY_MAX);
    pb_http_set_user(req, &guest->job);
}

static void on_request(void *user, struct pb_http_request *req)
{
    static const char *const gets[] = {"/", "/healthz", "/readyz", "/metrics", "/style.css", "/login"};
    static const char *const posts[] = {"/action", "/login", "/logout"};
    struct pb_admin *a = user;
    struct pb_http_guest *guest = pb_http_user(req);
    struct pb_err err;
    pbay_str path = pb_http_path(req), method = pb_http_method(req);
    bool can_get = pb_admin_chains_path(path), can_post = false;
    for (size_t i = 0; i < PB_COUNTOF(gets); i++) can_get = can_get || pb_str_is(path, gets[i]);
    for (size_t i = 0; i < PB_COUNTOF(posts); i++) can_post = can_post || pb_str_is(path, posts[i]);
    pb_http_set_user(req, NULL);
    if (can_get && (pb_str_is(method, "GET") || pb_str_is(method, "HEAD")))
        get(a, req, &guest->pass, path);
    else if (can_post && pb_str_is(method, "POST"))
        post_request(a, req, &guest->pass, path);
    else if (can_get || can_post)
        pb_http_not_allowed(req, can_get && can_post ? "GET, HEAD, POST" : can_get ? "GET, HEAD" : "POST");
    else {
        pb_fail(&err, PBAY_NOT_FOUND, "there are /, /chains, /runs, /healthz, /readyz and /metrics");
        pb_http_error(req, 0, &err);
    }
    pb_http_guest_free(guest);
}

static void on_gone(void *user, struct pb_http_request *req)
{
    (void)user;
    struct pb_http_job *job = pb_http_user(req);
    if (job) job->gone(job);
}

const struct pb_http_ops pb_admin_ops = {.head = on_head, .request = on_request, .gone = on_gone};

struct pb_admin *pb_admin_new(const struct pb_admin_options *options)
{
    struct pb_admin *a = pb_zalloc(sizeof *a);
    a->o = *options;
    return a;
}

void pb_admin_free(struct pb_admin *admin)
{
    pb_free(admin);
}
