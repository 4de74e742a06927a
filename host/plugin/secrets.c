/* SPDX-License-Identifier: MIT */
#include "plugin/secrets.h"

#include <string.h>

#include "base/clock.h"
#include "base/handle.h"
#include "base/log.h"
#include "base/mem.h"
#include "plugin/connector_priv.h"
#include "plugin/registry.h"
#include "plugin/services.h"

enum { AGAIN_S = 5, VALUE_MAX = 64 * 1024 };

/* A reference and its value. */
struct secret {
    char *key;         /* the reference */
    char *value, *old; /* old: may still be borrowed */
    size_t n, n_old;
    bool have;
    int64_t expires_ns, asked_ns; /* monotonic; 0: never */
    struct question *question;    /* under way */
};

struct waiting {
    struct waiting *next;
    void (*got)(void *user, const struct pb_err *err);
    void *user;
};

struct question {
    pbay_resolve handle;
    struct pb_connector *provider; /* held until it has answered */
    struct secret *secret;         /* NULL: given up */
    struct waiting *waiting;
    struct pb_timer limit;
    struct pb_defer done;
    struct pb_err err;
    char *reference;
};

static _Thread_local struct pb_handles questions;

int pb_secrets_scheme(const struct pb_plugin *p, pbay_str scheme)
{
    for (uint32_t i = 0; p->has_secrets && i < p->secrets.n_schemes; i++)
        if (pb_str_is(scheme, p->secrets.schemes[i])) return (int)i;
    return -1;
}

/* ------------------------------------------------------------------------------------------------ values */

static void wipe(char **p, size_t *n)
{
    if (*p) explicit_bzero(*p, *n);
    pb_free(*p);
    *p = NULL;
    *n = 0;
}

static struct secret *secret_of(struct pb_registry *r, pbay_str scheme, pbay_str rest, bool make)
{
    struct pb_map *known = pb_registry_secrets(r);
    PB_AUTO_FREE char *key = pb_sprintf("%.*s:%.*s", PB_FMT(scheme), PB_FMT(rest));
    struct secret *s = pb_map_get(known, pb_str_c(key));
    if (!s && make) {
        s = pb_zalloc(sizeof *s);
        s->key = pb_strdup(key);
        pb_map_add(known, pb_str_c(s->key), s);
    }
    return s;
}

static void set(struct secret *s, pbay_str value, int64_t ttl_ms)
{
    wipe(&s->old, &s->n_old);
    s->old = s->value;
    s->n_old = s->n;
    s->value = pb_strndup(value.p, value.n);
    s->n = value.n;
    s->have = true;
    s->expires_ns = ttl_ms > 0 ? pb_mono_ns() + ttl_ms * PB_MS : 0;
}

void pb_secrets_put(struct pb_registry *r, pbay_str scheme, pbay_str rest, pbay_str value)
{
    set(secret_of(r, scheme, rest, true), value, 0);
}

void pb_secrets_free(struct pb_map *known)
{
    for (size_t i = 0; i < known->n; i++) {
        struct secret *s = known->entries[i].value;
        wipe(&s->value, &s->n);
        wipe(&s->old, &s->n_old);
        pb_free(s->key);
        pb_free(s);
    }
    pb_map_free(known);
}

/* ------------------------------------------------------------------------------------------------ questions
 */

static void tell(struct question *q)
{
    struct waiting *w = q->waiting;
    q->waiting = NULL;
    if (q->secret) q->secret->question = NULL;
    q->secret = NULL;
    while (w) {
        struct waiting *next = w->next;
        w->got(w->user, &q->err);
        pb_free(w);
        w = next;
    }
}

static void over(void *user)
{
    struct question *q = user;
    struct pb_connector *c = q->provider;
    tell(q);
    pb_free(q->reference);
    pb_free(q);
    pb_connector_ended(c);
}

static void late(void *user)
{
    struct question *q = user;
    pb_fail(&q->err, PBAY_DEADLINE_EXCEEDED, "connector \"%s\" did not say what %s is within %lld ms",
            q->provider->name, q->reference, (long long)q->provider->timeout_ms);
    tell(q); /* the answer is still owed, and holds the connector */
}

void pb_secrets_ask(struct pb_connector *c, uint32_t scheme, pbay_str rest,
                    void (*got)(void *user, const struct pb_err *err), void *user)
{
    pbay_str name = pb_str_c(c->plugin->secrets.schemes[scheme]);
    struct secret *s = secret_of(c->registry, name, rest, true);
    struct waiting *w = pb_zalloc(sizeof *w);
    w->got = got;
    w->user = user;
    if (s->question) {
        w->next = s->question->waiting;
        s->question->waiting = w;
        return;
    }
    struct question *q = s->question = pb_zalloc(sizeof *q);
    s->asked_ns = pb_mono_ns();
    q->secret = s;
    q->provider = c;
    q->waiting = w;
    q->reference = pb_sprintf("%.*s:%.*s", PB_FMT(name), PB_FMT(rest));
    q->done = pb_defer_make(over, q);
    q->limit.fn = late;
    q->limit.user = q;
    q->handle = pb_handle_new(&questions, q);
    pb_timer_set(c->env->loop, &q->limit, c->timeout_ms);
    pb_connector_began(c);
    struct pb_visit v;
    pb_visit_enter(&v, c, "secrets", NULL);
    c->plugin->secrets.resolve(c->self, scheme, q->handle, rest);
    pb_visit_leave(&v);
}

static void resolved(pbay_resolve handle, const pbay_result *result, pbay_str value, int64_t ttl_ms)
{
    struct question *q = pb_handle_get(&questions, handle);
    if (!q) {
        if (pb_current.connector)
            pb_connector_fault(pb_current.connector, "a question that is answered was answered", NULL);
        return;
    }
    struct pb_connector *c = q->provider;
    pb_handle_release(&questions, handle);
    if (!questions.live) pb_handles_free(&questions);
    pb_timer_cancel(&q->limit);
    pb_err_clear(&q->err);
    if (result->code != PBAY_OK)
        pb_plugin_why(&q->err, result->code, result, "resolving");
    else if (value.n > VALUE_MAX || (value.n && memchr(value.p, 0, value.n)) || !pb_utf8_valid(value))
        pb_fail(&q->err, PBAY_INVALID_ARGUMENT, "%s is %s", q->reference,
                value.n > VALUE_MAX ? "longer than 64 KiB" : "not text in UTF-8");
    else if (q->secret)
        set(q->secret, value, ttl_ms);
    if (q->err.code != PBAY_OK) pb_fail_in(&q->err, "%s", q->reference);
    pb_loop_defer(c->env->loop, &q->done);
}

const pbay_resolve_1 pb_service_resolve = {
    .struct_size = sizeof(pbay_resolve_1),
    .resolved = resolved,
};

/* ------------------------------------------------------------------------------------------------ again */

static struct pb_connector *provider_of(struct pb_registry *r, pbay_str scheme, int *index)
{
    for (size_t i = 0; i < pb_registry_n_connectors(r); i++) {
        struct pb_connector *c = pb_registry_connector_at(r, i);
        *index = pb_secrets_scheme(c->plugin, scheme);
        if (*index >= 0 && c->started && !c->stopped && c->state != PB_CONNECTOR_OUT) return c;
    }
    return NULL;
}

static void renewed(void *user, const struct pb_err *err)
{
    (void)user;
    if (err->code != PBAY_OK)
        pb_log(PB_LOG_WARN, "plugin", "a secret could not be had again; the old one serves",
               PB_S("error", err->msg));
}

static void again(struct pb_registry *r, struct secret *s, pbay_str scheme, pbay_str rest)
{
    int index;
    struct pb_connector *c = provider_of(r, scheme, &index);
    if (!c || s->question || (s->asked_ns && pb_mono_ns() - s->asked_ns < AGAIN_S * PB_SEC)) return;
    pb_secrets_ask(c, (uint32_t)index, rest, renewed, NULL);
}

bool pb_secrets_known(struct pb_registry *r, pbay_str scheme, pbay_str rest, pbay_str *value)
{
    struct secret *s = secret_of(r, scheme, rest, false);
    if (!s || !s->have) return false;
    wipe(&s->old, &s->n_old);
    if (s->expires_ns && pb_mono_ns() >= s->expires_ns) again(r, s, scheme, rest);
    *value = pb_str(s->value, s->n);
    return true;
}

void pb_secrets_refused(struct pb_registry *r, pbay_str scheme, pbay_str rest)
{
    struct secret *s = secret_of(r, scheme, rest, true);
    again(r, s, scheme, rest);
}
