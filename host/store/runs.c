/* SPDX-License-Identifier: MIT */
#include "store/runs.h"

#include <stddef.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/engine.h"

static const char *const run_states[PB_RUN_STATES] = {"running", "ok", "failed", "canceled"};
static const char *const step_states[PB_RUN_STEP_STATES] = {"waiting", "active",   "ok",
                                                            "error",   "canceled", "skipped"};
static const char *const outcomes[PB_OUTCOMES] = {"fired",  "skipped", "counted",  "deferred", "held",
                                                  "raised", "retried", "released", "dropped"};

const char *pb_run_state_name(enum pb_run_state state)
{
    return (size_t)state < PB_RUN_STATES ? run_states[state] : "?";
}

bool pb_run_state_parse(pbay_str s, enum pb_run_state *out)
{
    for (size_t i = 0; i < PB_RUN_STATES; i++)
        if (pb_str_is(s, run_states[i])) {
            *out = (enum pb_run_state)i;
            return true;
        }
    return false;
}

const char *pb_run_step_state_name(enum pb_run_step_state state)
{
    return (size_t)state < PB_RUN_STEP_STATES ? step_states[state] : "?";
}

const char *pb_outcome_name(enum pb_outcome outcome)
{
    return (size_t)outcome < PB_OUTCOMES ? outcomes[outcome] : "?";
}

static void free_items(void *items, size_t n)
{
    void **list = items;
    for (size_t i = 0; i < n; i++) pb_free(list[i]);
    pb_free(list);
}
#define FREE_LIST(name, type)                                                                                \
    void name(struct type *list)                                                                             \
    {                                                                                                        \
        free_items(list->items, list->n);                                                                    \
        *list = (struct type){NULL, 0, 0};                                                                   \
    }
FREE_LIST(pb_runs_free, pb_runs)
FREE_LIST(pb_steps_free, pb_steps)
FREE_LIST(pb_link_states_free, pb_link_states)
FREE_LIST(pb_decisions_free, pb_decisions)

static uint32_t limit_of(uint32_t limit)
{
    return limit && limit <= PB_LIST_MAX ? limit : PB_LIST_MAX;
}

/* ------------------------------------------------------------------------ bundles */

int pb_store_bundle_put(struct pb_store *s, pbay_str hash, pbay_str text, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("bundle", hash, 1, err) != 0 ||
        pb__check_size("bundle", text, PB_BUNDLE_MAX, err) != 0)
        return -1;
    return s->engine->bundle_put(s, hash, text, err);
}

int pb_store_bundle_get(struct pb_store *s, pbay_str hash, struct pb_buf *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->bundle_get(s, hash, out, err);
}

/* ------------------------------------------------------------------------ runs */

int pb_store_run_put(struct pb_store *s, const struct pb_run *in, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    PB_REQUIRE(pb_id_valid(in->id));
    if (pb__check_name("chain", in->chain, 1, err) != 0 ||
        pb__check_name("bundle", in->bundle, 0, err) != 0 || pb__check_name("root", in->root, 0, err) != 0 ||
        pb__check_name("cause", in->cause, 0, err) != 0 || pb__check_name("person", in->by, 0, err) != 0)
        return -1;
    return s->engine->run_put(s, in, err);
}

int pb_store_run_get(struct pb_store *s, pbay_str id, struct pb_run **out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = NULL;
    return s->engine->run_get(s, id, out, err);
}

int pb_store_run_set(struct pb_store *s, const struct pb_run *run, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->run_set(s, run, err);
}

int pb_store_run_list(struct pb_store *s, const struct pb_run_filter *f, struct pb_runs *out,
                      struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    struct pb_run_filter g = *f;
    *out = (struct pb_runs){NULL, 0, 0};
    g.limit = limit_of(f->limit);
    if (!g.states) g.states = (1u << PB_RUN_STATES) - 1;
    if (!g.until_ms) g.until_ms = INT64_MAX;
    return s->engine->run_list(s, &g, out, err);
}

/* ------------------------------------------------------------------------ steps */

static int check_step(const struct pb_run_step *in, struct pb_err *err)
{
    const struct {
        const char *what;
        pbay_str s;
    } names[] = {
        {"run", in->run},         {"chain", in->chain},          {"link", in->link}, {"name", in->name},
        {"action", in->action},   {"connector", in->connector},  {"job", in->job},   {"parent", in->parent},
        {"subject", in->subject}, {"occurrence", in->occurrence}};
    for (size_t i = 0; i < PB_COUNTOF(names); i++)
        if (pb__check_size(names[i].what, names[i].s, 1024, err) != 0) return -1;
    return pb__check_size("args", in->args, PB_STEP_ARGS_MAX, err) != 0 ||
                   pb__check_size("error", in->error, 4096, err) != 0
               ? -1
               : 0;
}

int pb_store_step_put(struct pb_store *s, const struct pb_run_step *in, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    PB_REQUIRE(pb_id_valid(in->id));
    return check_step(in, err) ? -1 : s->engine->step_put(s, in, err);
}

int pb_store_step_get(struct pb_store *s, pbay_str id, struct pb_run_step **out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = NULL;
    return s->engine->step_get(s, id, out, err);
}

int pb_store_step_set(struct pb_store *s, const struct pb_run_step *step, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return check_step(step, err) ? -1 : s->engine->step_set(s, step, err);
}

int pb_store_step_list(struct pb_store *s, const struct pb_step_filter *f, struct pb_steps *out,
                       struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    struct pb_step_filter g = *f;
    *out = (struct pb_steps){NULL, 0, 0};
    g.limit = limit_of(f->limit);
    if (!g.states) g.states = (1u << PB_RUN_STEP_STATES) - 1;
    return s->engine->step_list(s, &g, out, err);
}

int pb_store_step_count(struct pb_store *s, const struct pb_step_filter *f, int64_t *n, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    struct pb_step_filter g = *f;
    if (!g.states) g.states = (1u << PB_RUN_STEP_STATES) - 1;
    return s->engine->step_count(s, &g, n, err);
}

int pb_store_step_waiting(struct pb_store *s, uint32_t limit, struct pb_steps *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = (struct pb_steps){NULL, 0, 0};
    return s->engine->step_waiting(s, limit_of(limit), out, err);
}

/* ------------------------------------------------------------------------ links */

int pb_store_link_put(struct pb_store *s, const struct pb_link_state *in, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_size("value", in->value, PB_STORE_VALUE_MAX, err) != 0 ||
        pb__check_size("item", in->item, 1024, err) != 0 || pb__check_size("link", in->link, 1024, err) != 0)
        return -1;
    return s->engine->link_put(s, in, err);
}

int pb_store_link_list(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                       struct pb_link_states *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = (struct pb_link_states){NULL, 0, 0};
    return s->engine->link_list(s, chain, link, group, item, out, err);
}

int pb_store_link_drop(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str group, pbay_str item,
                       struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->link_drop(s, chain, link, group, item, err);
}

/* ------------------------------------------------------------------------ decisions, nodes */

int pb_store_decision_put(struct pb_store *s, const struct pb_decision *in, bool *known, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    struct pb_decision d = *in;
    *known = false;
    if (d.why.n > 1024) d.why.n = pb_utf8_floor(d.why, 1024);
    if (pb__check_size("occurrence", d.occurrence, PB_STORE_KEY_MAX, err) != 0 ||
        pb__check_size("link", d.link, 1024, err) != 0 || pb__check_size("source", d.source, 1024, err) != 0)
        return -1;
    return s->engine->decision_put(s, &d, known, err);
}

int pb_store_decision_known(struct pb_store *s, pbay_str chain, pbay_str link, pbay_str occurrence,
                            bool *known, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->decision_known(s, chain, link, occurrence, known, err);
}

int pb_store_decision_settle(struct pb_store *s, int64_t seq, enum pb_outcome outcome, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->decision_settle(s, seq, outcome, err);
}

int pb_store_decision_list(struct pb_store *s, const struct pb_decision_filter *f, struct pb_decisions *out,
                           struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    struct pb_decision_filter g = *f;
    *out = (struct pb_decisions){NULL, 0, 0};
    g.limit = limit_of(f->limit);
    if (!g.outcomes) g.outcomes = (1u << PB_OUTCOMES) - 1;
    if (!g.before_seq) g.before_seq = INT64_MAX;
    return s->engine->decision_list(s, &g, out, err);
}

int pb_store_node_put(struct pb_store *s, const struct pb_node *in, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("connector", in->connector, 0, err) != 0 ||
        pb__check_size("subject", in->subject, 4096, err) != 0 ||
        pb__check_size("occurrence", in->occurrence, 1024, err) != 0)
        return -1;
    return s->engine->node_put(s, in, err);
}

int pb_store_node_fired(struct pb_store *s, pbay_str connector, pbay_str subject, int64_t fired_ms,
                        struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("connector", connector, 0, err) != 0 ||
        pb__check_size("subject", subject, 4096, err) != 0)
        return -1;
    return s->engine->node_fired(s, connector, subject, fired_ms, err);
}

int pb_store_node_get(struct pb_store *s, pbay_str connector, pbay_str subject, struct pb_node **out,
                      struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = NULL;
    return s->engine->node_get(s, connector, subject, out, err);
}
