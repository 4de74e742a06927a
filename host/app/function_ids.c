/* SPDX-License-Identifier: MIT */
#include "app/function_ids.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/durable.h"

/* ------------------------------------------------------------------------ the copy */

static char *copy_path(const char *state_dir)
{
    return pb_sprintf("%s/function-ids.json", state_dir);
}

/* {"SCOPE": {"NAME": ID}}; what cannot be read is as good as none. Returned owned. */
static json_t *read_copy(const char *state_dir)
{
    json_error_t why;
    if (!state_dir) return json_object();
    PB_AUTO_FREE char *path = copy_path(state_dir);
    json_t *all = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(all)) return all;
    if (all || access(path, F_OK) == 0)
        pb_log(PB_LOG_WARN, "app", "the copy of the functions' ids cannot be read; it is made anew",
               PB_S("file", path), PB_S("why", all ? "it is no object" : why.text));
    json_decref(all);
    return json_object();
}

static int32_t copied(json_t *all, const struct pb_declared *d)
{
    PB_AUTO_FREE char *scope = pb_strndup(d->scope.p, d->scope.n);
    PB_AUTO_FREE char *name = pb_strndup(d->fn.name.p, d->fn.name.n);
    const json_t *id = json_object_get(json_object_get(all, scope), name);
    json_int_t n = json_is_integer(id) ? json_integer_value(id) : -1;
    return n >= 0 && n <= INT32_MAX ? (int32_t)n : -1;
}

static void note(json_t *all, const struct pb_declared *d)
{
    PB_AUTO_FREE char *scope = pb_strndup(d->scope.p, d->scope.n);
    PB_AUTO_FREE char *name = pb_strndup(d->fn.name.p, d->fn.name.n);
    json_t *names = json_object_get(all, scope);
    if (!json_is_object(names)) {
        names = json_object();
        json_object_set_new(all, scope, names);
    }
    json_object_set_new(names, name, json_integer(d->fn.id));
}

/* Whole or not at all; a disk that is full or read-only keeps the one of before. */
static void write_copy(const char *state_dir, const json_t *all)
{
    PB_AUTO_FREE char *path = copy_path(state_dir);
    PB_AUTO_FREE char *temporary = pb_sprintf("%s.%d", path, (int)getpid());
    if (json_dump_file(all, temporary, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 && rename(temporary, path) == 0)
        return;
    pb_log(PB_LOG_WARN, "app", "the copy of the functions' ids cannot be written", PB_S("file", path),
           PB_S("why", strerror(errno)));
    unlink(temporary);
}

static void keep_copy(const struct pb_generation *g, const char *state_dir, json_t *all)
{
    json_t *before = json_deep_copy(all);
    for (const struct pb_declared *d = g->declared; d; d = d->next)
        if (d->fn.id >= 0) note(all, d);
    if (state_dir && !json_equal(before, all)) write_copy(state_dir, all);
    json_decref(before);
}

/* ------------------------------------------------------------------------ at the start */

/* Two functions with one id: said before anything is kept, so that a start that fails moves no id. */
static int check_explicit(const struct pb_generation *g, struct pb_err *err)
{
    for (const struct pb_declared *d = g->declared; d; d = d->next)
        for (const struct pb_declared *e = d->next; e && d->explicit_id >= 0; e = e->next)
            if (e->explicit_id == d->explicit_id && pb_str_eq(e->scope, d->scope))
                return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s: id %d is that of \"%.*s\" (%.*s) too",
                               PB_FMT(e->fn.where), (int)e->explicit_id, PB_FMT(d->fn.name),
                               PB_FMT(d->fn.where));
    return 0;
}

/* The copy may be older than the store, in which another has that id now: then the store decides. */
static int from_store(struct pb_store *s, const struct pb_declared *d, int32_t copy, int32_t *id,
                      struct pb_err *err)
{
    if (d->explicit_id < 0 && copy >= 0) {
        if (pb_store_function_id(s, d->scope, d->fn.name, copy, id, err) == 0) return 0;
        if (err->code != PBAY_ALREADY_EXISTS) return -1;
    }
    return pb_store_function_id(s, d->scope, d->fn.name, d->explicit_id, id, err);
}

/* Does another function of the scope have it? */
static bool taken(const struct pb_generation *g, const struct pb_declared *me, int32_t id)
{
    for (const struct pb_declared *d = g->declared; d; d = d->next)
        if (d != me && d->explicit_id == id && pb_str_eq(d->scope, me->scope)) return true;
    return false;
}

int pb_assign_ids(struct pb_generation *g, const char *state_dir, struct pb_err *err)
{
    if (check_explicit(g, err)) return -1;
    json_t *all = read_copy(state_dir);
    int rc = 0;
    unsigned without = 0;
    /* Ids that operators wrote first, so that none of them is given away meanwhile. */
    for (int written = 1; written >= 0 && !rc; written--)
        for (struct pb_declared *d = g->declared; d && !rc; d = d->next) {
            if ((d->explicit_id >= 0) != written) continue;
            int32_t copy = written ? -1 : copied(all, d);
            if (copy >= 0 && taken(g, d, copy)) copy = -1;
            d->fn.id = written ? d->explicit_id : copy;
            if (g->env.store && from_store(g->env.store, d, copy, &d->fn.id, err))
                rc = pb_fail_in(err, "%.*s", PB_FMT(d->fn.where));
            without += d->fn.id < 0;
        }
    if (!rc && g->env.store && !g->check_only) keep_copy(g, state_dir, all);
    if (!rc && without && state_dir && !g->check_only)
        pb_log(
            PB_LOG_WARN, "app",
            "functions have no id yet, because the store does not work: Qlik does not see them until it does",
            PB_I("functions", without));
    json_decref(all);
    return rc;
}

/* ------------------------------------------------------------------------ later */

struct pb_function_ids {
    struct pb_generation *g;
    struct pb_durable *durable;
    const char *state_dir;
    void (*changed)(void *user);
    void *user;
    json_t *all;
    int32_t *ids; /* in the order of the declared */
    struct pb_store_op op;
    bool busy, ending;
};

/* [store thread] Reads what the loop does not change: names and what operators wrote. */
static int give_ids(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_function_ids *f = user;
    size_t i = 0;
    for (const struct pb_declared *d = f->g->declared; d; d = d->next, i++)
        if (from_store(s, d, f->ids[i], &f->ids[i], err)) return -1;
    return 0;
}

static void ids_given(void *user, const struct pb_err *err)
{
    struct pb_function_ids *f = user;
    size_t i = 0;
    unsigned n = 0;
    f->busy = false;
    if (f->ending) return; /* who is told, may be gone; the next start keeps them */
    if (err && !pb_store_is_away(err))
        pb_log(PB_LOG_WARN, "app", "functions get no id", PB_S("error", err->msg));
    for (struct pb_declared *d = f->g->declared; d && !err; d = d->next, i++) {
        if (d->fn.id >= 0) continue; /* who has asked calls it by that one until the next start */
        d->fn.id = f->ids[i];
        n++;
    }
    if (!err) keep_copy(f->g, f->state_dir, f->all);
    if (!n) return;
    pb_log(PB_LOG_INFO, "app",
           "functions have ids now; Qlik has to read them again: change and save the analytic connection, "
           "or restart the engine",
           PB_I("functions", n));
    f->changed(f->user);
}

struct pb_function_ids *pb_function_ids_new(struct pb_generation *g, struct pb_durable *durable,
                                            const char *state_dir, void (*changed)(void *user), void *user)
{
    struct pb_function_ids *f = pb_zalloc(sizeof *f);
    size_t n = 1;
    for (const struct pb_declared *d = g->declared; d; d = d->next) n++;
    *f = (struct pb_function_ids){
        .g = g, .durable = durable, .state_dir = state_dir, .changed = changed, .user = user};
    f->all = read_copy(state_dir);
    f->ids = pb_array(n, sizeof *f->ids);
    f->op = (struct pb_store_op){.run = give_ids, .done = ids_given, .user = f};
    return f;
}

void pb_function_ids_again(struct pb_function_ids *f)
{
    size_t i = 0;
    if (f->busy) return;
    f->busy = true;
    for (const struct pb_declared *d = f->g->declared; d; d = d->next) f->ids[i++] = d->fn.id;
    pb_store_post(pb_durable_store(f->durable), &f->op);
}

void pb_function_ids_free(struct pb_function_ids *f, struct pb_loop *loop)
{
    if (!f) return;
    f->ending = true;
    while (f->busy) pb_loop_turn(loop, true);
    json_decref(f->all);
    pb_free(f->ids);
    pb_free(f);
}
