/* SPDX-License-Identifier: MIT */
#include "store/control.h"

#include "base/attr.h"
#include "base/check.h"
#include "base/mem.h"
#include "store/engine.h"

int pb_store_lease_take(struct pb_store *s, pbay_str name, pbay_str owner, int64_t ttl_ms, int64_t *fence,
                        struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("lease", name, 1, err) != 0 || pb__check_name("owner", owner, 1, err) != 0) return -1;
    if (ttl_ms < 1) return pb_fail(err, PBAY_INVALID_ARGUMENT, "a lease of %lld ms", (long long)ttl_ms);
    return s->engine->lease_take(s, name, owner, ttl_ms, fence, err);
}

int pb_store_forfeit(struct pb_store *s, bool (*gone)(pbay_str owner), uint32_t *n, struct pb_err *err)
{
    uint32_t none;
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->forfeit(s, gone, n ? n : &none, err);
}

int pb_store_lease_renew(struct pb_store *s, pbay_str name, int64_t fence, int64_t ttl_ms, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (ttl_ms < 1) return pb_fail(err, PBAY_INVALID_ARGUMENT, "a lease of %lld ms", (long long)ttl_ms);
    return s->engine->lease_renew(s, name, fence, ttl_ms, err);
}

int pb_store_lease_release(struct pb_store *s, pbay_str name, int64_t fence, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->lease_renew(s, name, fence, 0, err);
}

int pb_store_window_take(struct pb_store *s, pbay_str key, uint32_t n, int64_t window_ms, uint32_t want,
                         int64_t *after_ms, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("window", key, 1, err) != 0) return -1;
    if (n < 1 || n > 1000000 || want < 1 || want > n || window_ms < 1)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "%u of %u starts in %lld ms; expected 1 to as many as there are", want, n,
                       (long long)window_ms);
    return s->engine->window_take(s, key, n, window_ms, want, after_ms, err);
}

/* ------------------------------------------------------------------------ pauses and audit */

struct pause_set {
    struct pb_pause pause;
    bool on;
};

static int pause_set(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pause_set *p = user;
    bool changed;
    char *object;
    if (s->engine->pause_set(s, &p->pause, p->on, &changed, err) != 0) return -1;
    if (!changed) return 0;
    object = pb_sprintf("%.*s %.*s", PB_FMT(p->pause.kind), PB_FMT(p->pause.name));
    struct pb_audit a = {.who = p->pause.by,
                         .what = p->on ? PB_STR("pause") : PB_STR("unpause"),
                         .object = pb_str_c(object),
                         .detail = p->pause.why};
    int rc = s->engine->audit_put(s, &a, err);
    pb_free(object);
    return rc;
}

static int set(struct pb_store *s, struct pause_set *p, struct pb_err *err)
{
    static const char *const kinds[] = {"queue", "connector", "function", "chain", "app"};
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    bool found = false;
    for (size_t i = 0; i < PB_COUNTOF(kinds); i++) found |= pb_str_is(p->pause.kind, kinds[i]);
    if (!found)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "cannot pause a \"%.*s\"; expected queue, connector, function, chain or app",
                       PB_FMT(p->pause.kind));
    if (pb__check_name("name", p->pause.name, 1, err) != 0 ||
        pb__check_name("person", p->pause.by, 1, err) != 0 ||
        pb__check_name("reason", p->pause.why, 0, err) != 0)
        return -1;
    return pb_store_atomic(s, pause_set, p, err);
}

int pb_store_pause(struct pb_store *s, pbay_str kind, pbay_str name, pbay_str by, pbay_str why,
                   struct pb_err *err)
{
    struct pause_set p = {{kind, name, by, why, 0}, true};
    return set(s, &p, err);
}

int pb_store_unpause(struct pb_store *s, pbay_str kind, pbay_str name, pbay_str by, struct pb_err *err)
{
    struct pause_set p = {{kind, name, by, {NULL, 0}, 0}, false};
    return set(s, &p, err);
}

int pb_store_pause_list(struct pb_store *s, struct pb_pauses *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = (struct pb_pauses){NULL, 0, 0};
    return s->engine->pause_list(s, out, err);
}

void pb_pauses_free(struct pb_pauses *list)
{
    for (size_t i = 0; i < list->n; i++) pb_free(list->items[i]);
    pb_free(list->items);
    *list = (struct pb_pauses){NULL, 0, 0};
}

int pb_store_audit_put(struct pb_store *s, const struct pb_audit *a, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("person", a->who, 1, err) != 0 || pb__check_name("deed", a->what, 1, err) != 0 ||
        pb__check_size("object", a->object, (size_t)2 * PB_STORE_NAME_MAX, err) != 0 ||
        pb__check_size("detail", a->detail, 4096, err) != 0)
        return -1;
    return s->engine->audit_put(s, a, err);
}

int pb_store_audit_list(struct pb_store *s, int64_t before_seq, uint32_t limit, struct pb_audits *out,
                        struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = (struct pb_audits){NULL, 0, 0};
    if (!limit || limit > PB_LIST_MAX) limit = PB_LIST_MAX;
    return s->engine->audit_list(s, before_seq > 0 ? before_seq : INT64_MAX, limit, out, err);
}

void pb_audits_free(struct pb_audits *list)
{
    for (size_t i = 0; i < list->n; i++) pb_free(list->items[i]);
    pb_free(list->items);
    *list = (struct pb_audits){NULL, 0, 0};
}

int pb_store_prune(struct pb_store *s, const struct pb_retention *keep, bool *more, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (keep->events < 0 || keep->jobs < 0 || keep->audit < 0)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a retention that is negative");
    return s->engine->prune(s, keep, more, err);
}
