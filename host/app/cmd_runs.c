/* SPDX-License-Identifier: MIT */
/*
 * `patchbay runs`: what chains did, and what a person wants of them. It opens the store itself, so it works
 * whether a gateway runs or not; one that runs takes up what was put within seconds.
 */
#include <stdio.h>
#include <string.h>

#include "app/generation.h"
#include "app/store_args.h"
#include "app/store_args.h"
#include "app/verbs.h"
#include "app/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "flow/chain_work.h"
#include "plugin/actions.h"

struct runs {
    struct pb_args *a;
    struct pb_workshop shop;
    struct pb_generation *g;
    struct pb_bundle now, other;
    struct pb_chain_host host;
};

/* ------------------------------------------------------------------------ what deeds need */

static int put_action(void *user, struct pb_store *s, const struct pb_job_put *in, char id[PB_ID_SIZE],
                      struct pb_err *err)
{
    struct runs *r = user;
    struct pb_job_put job;
    bool known;
    if (pb_actions_job(r->g->actions, in->action, in->args, &job, err) != 0) return -1;
    job.key = in->key;
    job.cause = in->cause;
    job.run = in->run;
    job.run_at_ms = in->run_at_ms;
    return pb_store_job_put(s, &job, id, &known, err);
}

static int put_event(void *user, struct pb_store *s, const struct pb_event_put *event, struct pb_err *err)
{
    struct runs *r = user;
    char id[PB_ID_SIZE];
    bool known;
    struct pb_job_put job = {.queue = PB_STR(PB_CHAIN_QUEUE),
                             .action = PB_STR("event"),
                             .args = PB_STR("{}"),
                             .max_attempts = 1000};
    struct pb_event_put put = *event;
    put.jobs = &job;
    put.n_jobs = pb_chain_listens(&r->now, event) ? 1 : 0;
    return pb_store_event_put(s, &put, id, &known, err);
}

static const struct pb_bundle *find_bundle(void *user, struct pb_store *s, pbay_str hash, struct pb_err *err)
{
    struct runs *r = user;
    struct pb_buf text = {0};
    struct pb_chains *chains = NULL;
    if (pb_str_is(hash, r->now.hash)) return &r->now;
    if (pb_str_is(hash, r->other.hash)) return &r->other;
    pb_bundle_clear(&r->other);
    int rc = pb_store_bundle_get(s, hash, &text, err);
    if (rc == 0) rc = pb_chains_load(&(struct pb_chains_options){.bundle = pb_buf_view(&text)}, &chains, err);
    if (rc == 0) {
        pb_bundle_set(&r->other, chains);
        snprintf(r->other.hash, sizeof r->other.hash, "%.*s", PB_FMT(hash));
    }
    pb_buf_free(&text);
    return rc == 0 ? &r->other : NULL;
}

/* ------------------------------------------------------------------------ shown */

static void print_text(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < ' ' || c == 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

static const char *when(int64_t ms, char out[PB_TIME_MAX])
{
    if (ms)
        pb_format_time(ms, out);
    else
        snprintf(out, PB_TIME_MAX, "-");
    return out;
}

static int list_decisions(struct runs *r, const struct pb_run_filter *runs, struct pb_err *err);
static int list_events(struct runs *r, const struct pb_run_filter *runs, struct pb_err *err);

static int list(struct runs *r, const char *word, struct pb_err *err)
{
    struct pb_runs runs;
    enum pb_run_state state;
    const char *chain = pb_args_get(r->a, "chain"), *app = pb_args_get(r->a, "app"),
               *s = pb_args_get(r->a, "state-of-run"), *since = pb_args_get(r->a, "since"),
               *n = pb_args_get(r->a, "limit");
    struct pb_run_filter f = {.chain = pb_str_c(chain), .app = pb_str_c(app), .limit = 20};
    uint64_t limit;
    char from[PB_TIME_MAX], to[PB_TIME_MAX];
    if (s && !pb_run_state_parse(pb_str_c(s), &state))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a run is running, ok, failed or canceled, not \"%s\"", s);
    if (s) f.states = 1u << state;
    if (since && !pb_parse_time(pb_str_c(since), &f.since_ms))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "--since %s is no time; expected one such as 2026-11-21T02:30:00Z", since);
    if (n && (!pb_parse_u64(pb_str_c(n), &limit) || !limit || limit > PB_LIST_MAX))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "--limit is 1 to %d", PB_LIST_MAX);
    if (n) f.limit = (uint32_t)limit;
    if (strcmp(word, "decisions") == 0) return list_decisions(r, &f, err);
    if (strcmp(word, "events") == 0) return list_events(r, &f, err);
    if (pb_args_get(r->a, "json")) {
        struct pb_buf b = {0};
        int rc = pb_chain_runs_json(r->shop.store, pb_str("", 0), &f, &b, err);
        if (rc == 0) fwrite(b.p, 1, b.n, stdout);
        pb_buf_free(&b);
        return rc;
    }
    if (pb_store_run_list(r->shop.store, &f, &runs, err) != 0) {
        pb_runs_free(&runs);
        return -1;
    }
    for (size_t i = 0; i < runs.n; i++) {
        const struct pb_run *run = runs.items[i];
        printf("%.*s  %-8s  %s  %s  ", PB_FMT(run->id), pb_run_state_name(run->state),
               when(run->started_ms, from), when(run->ended_ms, to));
        print_text(run->chain);
        printf(" from ");
        print_text(run->root);
        if (run->by.n) printf(" by %.*s", PB_FMT(run->by));
        printf("\n");
    }
    if (!runs.n) printf("no runs\n");
    pb_runs_free(&runs);
    return 0;
}

static int show_steps(struct runs *r, pbay_str id, struct pb_err *err)
{
    struct pb_steps steps;
    char from[PB_TIME_MAX], to[PB_TIME_MAX];
    int rc = pb_store_step_list(r->shop.store, &(struct pb_step_filter){.run = id}, &steps, err);
    for (size_t i = 0; rc == 0 && i < steps.n; i++) {
        const struct pb_run_step *t = steps.items[i];
        printf("  %-8s  %s  %s  ", pb_run_step_state_name(t->state), when(t->started_ms, from),
               when(t->ended_ms, to));
        print_text(t->name);
        if (t->attempt > 1) printf(" (attempt %lld)", (long long)t->attempt);
        if (t->occurrence.n) printf("  %.*s", PB_FMT(t->occurrence));
        if (t->error.n) {
            printf("  ");
            print_text(t->error);
        }
        printf("\n");
    }
    pb_steps_free(&steps);
    return rc;
}

static int show_decisions(struct runs *r, pbay_str id, struct pb_err *err)
{
    struct pb_decisions all;
    char at[PB_TIME_MAX];
    int rc = pb_store_decision_list(r->shop.store, &(struct pb_decision_filter){.run = id}, &all, err);
    for (size_t i = all.n; rc == 0 && i > 0; i--) {
        const struct pb_decision *d = all.items[i - 1];
        printf("  %-8s  %s  %.*s: ", pb_outcome_name(d->outcome), when(d->at_ms, at), PB_FMT(d->link));
        print_text(d->why);
        printf("\n");
    }
    pb_decisions_free(&all);
    return rc;
}

static int show(struct runs *r, pbay_str id, struct pb_err *err)
{
    struct pb_run *run;
    char from[PB_TIME_MAX], to[PB_TIME_MAX];
    if (pb_args_get(r->a, "json")) {
        struct pb_buf b = {0};
        int rc = pb_chain_runs_json(r->shop.store, id, NULL, &b, err);
        if (rc == 0) fwrite(b.p, 1, b.n, stdout);
        pb_buf_free(&b);
        return rc;
    }
    if (pb_store_run_get(r->shop.store, id, &run, err) != 0) return -1;
    printf("run %.*s of chain ", PB_FMT(run->id));
    print_text(run->chain);
    printf(": %s\n  started   %s\n  ended     %s\n  began at  ", pb_run_state_name(run->state),
           when(run->started_ms, from), when(run->ended_ms, to));
    print_text(run->root);
    printf("\n  event     %.*s\n  scripts   %.12s\n", PB_FMT(run->cause.n ? run->cause : PB_STR("-")),
           run->bundle.p);
    pb_free(run);
    printf("steps\n");
    if (show_steps(r, id, err) != 0) return -1;
    printf("decisions\n");
    return show_decisions(r, id, err);
}

/* What came of events, also of those that began nothing. */
static int list_decisions(struct runs *r, const struct pb_run_filter *runs, struct pb_err *err)
{
    struct pb_decisions all;
    char at[PB_TIME_MAX];
    const struct pb_decision_filter f = {
        .chain = runs->chain, .event = pb_str_c(pb_args_get(r->a, "event")), .limit = runs->limit};
    int rc = pb_store_decision_list(r->shop.store, &f, &all, err);
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        const struct pb_decision *d = all.items[i];
        if (d->at_ms < runs->since_ms) break;
        printf("%s  %-8s  %.*s  ", when(d->at_ms, at), pb_outcome_name(d->outcome),
               PB_FMT(d->event.n ? d->event : PB_STR("-")));
        print_text(d->chain);
        printf(" %.*s (", PB_FMT(d->link));
        print_text(d->source);
        printf(" %.*s): ", PB_FMT(d->status));
        print_text(d->why);
        printf("\n");
    }
    if (rc == 0 && !all.n) printf("no decisions\n");
    pb_decisions_free(&all);
    return rc;
}

static int list_events(struct runs *r, const struct pb_run_filter *runs, struct pb_err *err)
{
    struct pb_events all;
    char at[PB_TIME_MAX];
    int rc = pb_store_event_list(r->shop.store, &(struct pb_event_filter){.limit = runs->limit}, &all, err);
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        const struct pb_event *e = all.items[i];
        struct pb_occurred o;
        if (e->stored_ms < runs->since_ms) break;
        pb_occurred_read(&o, e);
        printf("%.*s  %s  %.*s.%.*s  ", PB_FMT(e->id), when(e->stored_ms, at), PB_FMT(e->connector),
               PB_FMT(e->type));
        print_text(o.subject);
        printf("  %s\n", pb_ended_name(o.status));
        pb_occurred_free(&o);
    }
    if (rc == 0 && !all.n) printf("no events\n");
    pb_events_free(&all);
    return rc;
}

/* ------------------------------------------------------------------------ done */

static const struct {
    const char *word;
    enum pb_chain_deed deed;
    int args; /* beside the word */
    const char *usage;
} deeds[] = {{"start", PB_DEED_START, 2, "start CHAIN APP"},
             {"resume", PB_DEED_RESUME, 1, "resume RUN"},
             {"skip", PB_DEED_SKIP, 2, "skip RUN APP"},
             {"cancel", PB_DEED_CANCEL, 1, "cancel RUN"},
             {"replay", PB_DEED_REPLAY, 1, "replay EVENT"},
             {"release", PB_DEED_RELEASE, 3, "release chain|app NAME none|once|all"}};

struct deed {
    struct runs *r;
    struct pb_chain_wish wish;
    struct pb_buf out;
};

static int do_it(struct pb_store *s, void *user, struct pb_err *err)
{
    struct deed *d = user;
    d->out.n = 0;
    return pb_chain_do(&d->r->now, s, &d->r->host, &d->wish, find_bundle, d->r, &d->out, err);
}

/* The configuration as `check` has it: which actions there are, and the scripts of now. */
static int build(struct runs *r, struct pb_site *site, struct pb_err *err)
{
    struct pb_plugin_env env = r->shop.env;
    env.store = NULL; /* ids are not given here */
    const struct pb_generation_options o = {.check_only = true, .env = env, .flow = r->shop.flow};
    pb_log_level(NULL, PB_LOG_WARN);
    r->g = pb_generation_build(site, &o, err);
    if (!r->g) return -1;
    pb_bundle_set(&r->now, r->g->chains);
    r->g->chains = NULL;
    r->host = (struct pb_chain_host){r, put_action, put_event, pb_config_get_str(r->g->site->chains, "alert"),
                                     NULL};
    return 0;
}

static int run_deed(struct runs *r, size_t which, struct pb_err *err)
{
    struct deed d = {r, {.deed = deeds[which].deed, .who = pb_args_who()}, {0}};
    d.wish.object = pb_str_c(r->a->args[1]);
    d.wish.name = pb_str_c(deeds[which].args > 1 ? r->a->args[2] : "");
    const char *held = deeds[which].args > 2 ? r->a->args[3] : "none";
    d.wish.held = strcmp(held, "all") == 0    ? PB_HELD_ALL
                  : strcmp(held, "once") == 0 ? PB_HELD_ONCE
                                              : PB_HELD_NONE;
    int rc = pb_store_atomic(r->shop.store, do_it, &d, err);
    if (rc == 0) {
        pb_args_wake(r->a);
        printf("%.*s\n", PB_FMT(pb_buf_view(&d.out)));
    }
    pb_buf_free(&d.out);
    return rc;
}

static int runs(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_runs, argc, argv);
    if (rc >= 0) return rc;
    const char *word = a->n ? a->args[0] : "list";
    size_t which = 0;
    while (which < PB_COUNTOF(deeds) && strcmp(deeds[which].word, word) != 0) which++;
    bool deed = which < PB_COUNTOF(deeds), shown = strcmp(word, "show") == 0,
         listed = strcmp(word, "list") == 0 || strcmp(word, "decisions") == 0 || strcmp(word, "events") == 0;
    if (!deed && !shown && !listed)
        return pb_cli_usage(
            &pb_verb_runs,
            "there is no \"%s\"; expected list, show, events, decisions, start, resume, skip, "
            "cancel, replay or release",
            word);
    if (deed && a->n != deeds[which].args + 1)
        return pb_cli_usage(&pb_verb_runs, "expected: patchbay runs %s", deeds[which].usage);
    if (shown && a->n != 2) return pb_cli_usage(&pb_verb_runs, "expected: patchbay runs show RUN");
    struct pb_site *site = pb_args_site(a);
    if (!site) return PB_EXIT_USAGE;
    struct runs r = {.a = a};
    struct pb_err err;
    char *state = pb_args_state(a);
    pb_err_clear(&err);
    rc = pb_workshop_open(&r.shop, site, state, PB_STORE_MUST, &err);
    bool taken = rc == 0 && deed; /* a generation takes the site, also when it fails */
    if (taken) rc = build(&r, site, &err);
    if (rc == 0)
        rc = deed    ? run_deed(&r, which, &err)
             : shown ? show(&r, pb_str_c(a->args[1]), &err)
                     : list(&r, word, &err);
    int code = rc == 0 ? PB_EXIT_OK : pb_cli_fail(&pb_verb_runs, PB_EXIT_FAILED, &err, false);
    if (r.g) pb_workshop_end_generation(&r.shop, r.g);
    if (!taken) pb_site_free(site);
    pb_workshop_close(&r.shop);
    pb_bundle_clear(&r.now);
    pb_bundle_clear(&r.other);
    pb_free(state);
    return code;
}

static const struct pb_cli_option options[] = {
    PB_OPTION_CONFIG,
    PB_OPTION_STATE,
    {"json", 0, NULL, "as JSON"},
    {"chain", 0, "NAME", "list, decisions: of this chain"},
    {"app", 0, "NAME", "list: with a step of this app"},
    {"state-of-run", 0, "STATE", "list: running, ok, failed or canceled"},
    {"event", 0, "ID", "decisions: about this event"},
    {"since", 0, "TIME", "list, decisions, events: since then"},
    {"limit", 0, "N", "list, decisions, events: so many; 20 unless given"}};
const struct pb_cli_verb pb_verb_runs = {
    .name = "runs",
    .args = "[list | show RUN | decisions | events | start CHAIN APP | resume RUN | skip RUN APP | cancel "
            "RUN | replay EVENT | "
            "release chain|app NAME none|once|all]",
    .summary = "Runs of chains: what happened and why; begin, resume, skip, cancel, replay.",
    .text = "decisions: what became of each event at each link, and why, also where nothing began. events: "
            "what came in, with the ids\n"
            "that replay takes. start begins a run at an app of a chain. resume starts what failed again. "
            "skip: the app counts "
            "as reloaded well,\n"
            "and what follows it starts. replay: an event happens once more. release: what was held while a "
            "chain or an app was paused\n"
            "is dropped, fires once for each link, or all of it.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .max_args = 4,
    .run = runs};
