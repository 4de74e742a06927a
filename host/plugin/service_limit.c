/* SPDX-License-Identifier: MIT */
/* pbay.host.limit/1: windows of the store, in a name space of the connector's or of its plugin's. */
#include <patchbay/host_limit.h>

#include <string.h>

#include "base/mem.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "store/durable.h"

enum { NAME_MOST = 128 };

struct take {
    struct pb_connector *connector;
    struct pb_store_op op;
    struct pb_defer refused;
    struct pb_err err;
    char *key;
    uint32_t n, max;
    int64_t window_ms, after_ms;
    void (*taken)(void *user, const pbay_result *result, int64_t after_ms);
    void *user;
};

/* [store thread] */
static int run(struct pb_store *s, void *user, struct pb_err *err)
{
    struct take *t = user;
    return pb_store_window_take(s, pb_str_c(t->key), t->max, t->window_ms, t->n, &t->after_ms, err);
}

static void answer(struct take *t, const struct pb_err *err)
{
    struct pb_connector *c = t->connector;
    static const pbay_result fine = PBAY_RESULT_OK;
    pbay_result result = err ? pb_err_result(err) : fine;
    struct pb_visit v;
    pb_visit_enter(&v, c, "limit taken", NULL);
    t->taken(t->user, &result, err ? 0 : t->after_ms);
    pb_visit_leave(&v);
    pb_free(t->key);
    pb_free(t);
    pb_connector_ended(c);
}

static void done(void *user, const struct pb_err *err)
{
    answer(user, err);
}

static void refused(void *user)
{
    struct take *t = user;
    answer(t, &t->err);
}

static void limit_take(const pbay_host *host, pbay_str name, uint32_t n, uint32_t max, int64_t window_ms,
                       void (*taken)(void *user, const pbay_result *result, int64_t after_ms), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    struct take *t = pb_zalloc(sizeof *t);
    *t = (struct take){
        .connector = c, .n = n, .max = max, .window_ms = window_ms, .taken = taken, .user = user};
    t->op = (struct pb_store_op){.run = run, .done = done, .user = t};
    t->refused = pb_defer_make(refused, t);
    pb_connector_began(c);
    if (pb_connector_locked(c, PBAY_SVC_LIMIT))
        pb_fail(&t->err, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    else if (!name.n || name.n > NAME_MOST || !pb_utf8_valid(name) || !n || n > max || window_ms < 1)
        pb_fail(&t->err, PBAY_INVALID_ARGUMENT,
                "a window of %zu bytes of name, %u of %u in %lld ms; expected 1 to %d, at least 1 of as "
                "many, in 1",
                name.n, n, max, (long long)window_ms, NAME_MOST);
    else if (!c->env->durable)
        pb_fail(&t->err, PBAY_UNAVAILABLE, "there is no store here");
    else {
        const bool shared = name.n > 7 && memcmp(name.p, "plugin/", 7) == 0;
        t->key = shared ? pb_sprintf("plugin %.100s/%.*s", c->plugin->name, (int)(name.n - 7), name.p + 7)
                        : pb_sprintf("connector %.100s/%.*s", c->name, PB_FMT(name));
        pb_store_post(pb_durable_store(c->env->durable), &t->op);
        return;
    }
    pb_loop_defer(c->env->loop, &t->refused);
}

const pbay_limit_1 pb_service_limit = {.struct_size = sizeof(pbay_limit_1), .take = limit_take};
