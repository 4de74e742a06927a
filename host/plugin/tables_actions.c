/* SPDX-License-Identifier: MIT */
/* The tables of pbay.actions/1 and pbay.events/1. */
#include <string.h>

#include "plugin/tables_priv.h"

enum { ACTIONS_MAX = 1024, SOURCES_MAX = 256, INTERVAL_MIN_MS = 100 };

/* Sizes as of ABI 1.0. */
enum {
    ACTIONS_1_0 = sizeof(pbay_actions_1),
    ACTION_1_0 = sizeof(pbay_action),
    EVENTS_1_0 = sizeof(pbay_events_1),
    SOURCE_1_0 = sizeof(pbay_source),
};

static int check_action(const struct pb_plugin *p, uint32_t i, struct pb_err *err)
{
    const pbay_action *a = &p->action_table[i];
    if (!pb_table_name(a->name))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "actions[%u].name is \"%.80s\", wanted is [a-z][a-z0-9_]*",
                       i, a->name ? a->name : "");
    for (uint32_t j = 0; j < i; j++)
        if (!strcmp(p->action_table[j].name, a->name))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "actions[%u] and [%u] are both \"%s\"", j, i, a->name);
    if (!pb_table_text(a->doc))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "action \"%s\": doc is empty or not UTF-8", a->name);
    if (a->flags & ~(PBAY_ACTF_MORE | PBAY_ACTF_PATIENT))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "action \"%s\": flags are 0x%x, known are 0x%x", a->name,
                       a->flags, PBAY_ACTF_MORE | PBAY_ACTF_PATIENT);
    if (a->repeat < PBAY_REPEAT_SAFE || a->repeat > PBAY_REPEAT_CHECK)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "action \"%s\": repeat is %u, known are 1 to 3", a->name,
                       a->repeat);
    if (a->repeat == PBAY_REPEAT_CHECK && !p->actions.lookup)
        return pb_table_missing(err, "actions", "lookup", "there are actions with PBAY_REPEAT_CHECK");
    return 0;
}

int pb_tables_actions(struct pb_plugin *p, const void *table, struct pb_err *err)
{
    if (pb_table_copy(&p->actions, sizeof p->actions, table, ACTIONS_1_0, PBAY_EXT_ACTIONS, err)) return -1;
    pbay_actions_1 *a = &p->actions;
    bool bad;
    p->action_table = pb_table_array(a->actions, a->n_actions, a->action_stride, sizeof *p->action_table,
                                     ACTION_1_0, ACTIONS_MAX, "actions.actions", &bad, err);
    if (bad) a->n_actions = 0;
    a->actions = p->action_table;
    a->action_stride = sizeof *p->action_table;
    if (bad) return -1;
    p->has_actions = true;
    /* First all option tables become ours, so that freeing knows whose they are. */
    int rc = 0;
    for (uint32_t i = 0; i < a->n_actions; i++) {
        struct pb_err mine;
        if (pb_table_arguments(&p->action_table[i].arguments, &mine) && !rc) {
            *err = mine;
            rc = pb_fail_in(err, "action %u", i);
        }
    }
    if (!rc && !a->run) rc = pb_table_missing(err, "actions", "run", "");
    for (uint32_t i = 0; !rc && i < a->n_actions; i++) rc = check_action(p, i, err);
    return rc;
}

static int check_source(const struct pb_plugin *p, uint32_t i, struct pb_err *err)
{
    const pbay_source *s = &p->source_table[i];
    if (!pb_table_name(s->name))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "sources[%u].name is \"%.80s\", wanted is [a-z][a-z0-9_]*",
                       i, s->name ? s->name : "");
    for (uint32_t j = 0; j < i; j++)
        if (!strcmp(p->source_table[j].name, s->name))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "sources[%u] and [%u] are both \"%s\"", j, i, s->name);
    if (!pb_table_text(s->doc))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "source \"%s\": doc is empty or not UTF-8", s->name);
    if (s->flags & ~PBAY_SRCF_ON)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "source \"%s\": flags are 0x%x, known are 0x%x", s->name,
                       s->flags, PBAY_SRCF_ON);
    if (s->interval_ms < INTERVAL_MIN_MS)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "source \"%s\": interval_ms is %lld, at least %d is wanted", s->name,
                       (long long)s->interval_ms, INTERVAL_MIN_MS);
    return 0;
}

int pb_tables_events(struct pb_plugin *p, const void *table, struct pb_err *err)
{
    if (pb_table_copy(&p->events, sizeof p->events, table, EVENTS_1_0, PBAY_EXT_EVENTS, err)) return -1;
    pbay_events_1 *e = &p->events;
    bool bad;
    p->source_table = pb_table_array(e->sources, e->n_sources, e->source_stride, sizeof *p->source_table,
                                     SOURCE_1_0, SOURCES_MAX, "events.sources", &bad, err);
    e->sources = p->source_table;
    e->source_stride = sizeof *p->source_table;
    if (bad) e->n_sources = 0;
    if (bad) return -1;
    p->has_events = true;
    int rc = e->n_sources && !e->poll ? pb_table_missing(err, "events", "poll", "there are sources") : 0;
    for (uint32_t i = 0; !rc && i < e->n_sources; i++) rc = check_source(p, i, err);
    return rc;
}
