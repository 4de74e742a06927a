/* SPDX-License-Identifier: MIT */
/* `patchbay pause` and `unpause`: what is not to be started, until somebody takes it back. */
#include <stdio.h>
#include <string.h>

#include "app/paths.h"
#include "app/site.h"
#include "app/store_args.h"
#include "base/mem.h"
#include "flow/chain.h"
#include "store/control.h"

static const char *const kinds[] = {"queue", "connector", "function", "chain", "app"};

static int check_kind(const struct pb_args *a)
{
    for (size_t i = 0; i < PB_COUNTOF(kinds); i++)
        if (strcmp(a->args[0], kinds[i]) == 0) return -1;
    return pb_cli_usage(a->verb, "%s: queue, connector, function, chain or app", a->args[0]);
}

static int list(const struct pb_args *a, struct pb_store *s)
{
    struct pb_pauses pauses;
    struct pb_err err;
    int rc = pb_store_pause_list(s, &pauses, &err);
    if (rc) rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    for (size_t i = 0; rc == 0 && i < pauses.n; i++) {
        const struct pb_pause *p = pauses.items[i];
        printf("%-9.*s ", PB_FMT(p->kind));
        pb_print_text(p->name, 100);
        printf("  since ");
        pb_print_time(p->at_ms);
        printf("  by ");
        pb_print_text(p->by, 100);
        if (p->why.n) {
            printf("  why ");
            pb_print_text(p->why, 500);
        }
        printf("\n");
    }
    if (rc == 0 && !pauses.n) printf("nothing is paused\n");
    pb_pauses_free(&pauses);
    return rc;
}

static bool names(const struct pb_site_parts *parts, const char *name)
{
    for (size_t i = 0; i < parts->n; i++)
        if (pb_str_is(parts->list[i].name, name)) return true;
    return false;
}

/* Scripts that cannot be read know nothing, and are not what this is about. */
static bool in_chains(const struct pb_site *site, const char *name, bool app)
{
    struct pb_chains *chains = NULL;
    struct pb_err err;
    uint32_t n = pb_config_count(site->chains, "files");
    pbay_str *files = pb_array(n + 1, sizeof *files), key;
    for (uint32_t i = 0; i < n; i++) files[i] = pb_config_item(site->chains, "files", i, &key);
    const struct pb_chains_options o = {.dir = site->script_dir, .files = n ? files : NULL, .n_files = n};
    bool known =
        pb_chains_load(&o, &chains, &err) != 0 ||
        (app ? (const void *)pb_chains_app(chains, pb_str_c(name)) : pb_chains_chain(chains, pb_str_c(name)));
    pb_chains_free(chains);
    pb_free(files);
    return known;
}

/* A pause may come before what it is for, so that a name nobody knows is only told. */
static void warn_unknown(const struct pb_args *a)
{
    const char *name = a->args[1];
    bool queue = strcmp(a->args[0], "queue") == 0;
    bool chain = strcmp(a->args[0], "chain") == 0, app = strcmp(a->args[0], "app") == 0;
    if (!queue && !chain && !app && strcmp(a->args[0], "connector") != 0) return;
    if (queue && (!strcmp(name, PB_CHAIN_QUEUE) || !strcmp(name, PB_NOTIFY_QUEUE))) return;
    char *found = pb_args_get(a, "config") ? NULL : pb_path_config();
    bool there = found || pb_args_get(a, "config");
    pb_free(found);
    struct pb_site *site = there ? pb_args_site(a) : NULL;
    if (!site) return;
    if (chain || app ? !in_chains(site, name, app)
                     : !names(&site->connectors, name) && !(queue && names(&site->queues, name)))
        pb_args_error(a, 0, "warning: %s knows no %s \"%s\"; it is paused all the same", site->path,
                      a->args[0], name);
    pb_site_free(site);
}

static int pause_it(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_pause, argc, argv);
    if (rc >= 0) return rc;
    if (a->n == 1) return pb_cli_usage(a->verb, "%s what? Its name is missing", a->args[0]);
    if (a->n && (rc = check_kind(a)) >= 0) return rc;
    struct pb_store *s = pb_args_store(a);
    struct pb_err err;
    if (!s) return PB_EXIT_FAILED;
    if (!a->n)
        rc = list(a, s);
    else if (pb_store_pause(s, pb_str_c(a->args[0]), pb_str_c(a->args[1]), pb_args_who(),
                            pb_str_c(pb_args_get(a, "why")), &err))
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    else {
        pb_args_wake(a);
        warn_unknown(a);
        printf("%s %s is paused\n", a->args[0], a->args[1]);
        rc = PB_EXIT_OK;
    }
    pb_store_close(s);
    return rc;
}

static int is_paused(struct pb_store *s, const struct pb_args *a, bool *there, struct pb_err *err)
{
    struct pb_pauses pauses;
    int rc = pb_store_pause_list(s, &pauses, err);
    *there = false;
    for (size_t i = 0; rc == 0 && i < pauses.n; i++)
        *there |=
            pb_str_is(pauses.items[i]->kind, a->args[0]) && pb_str_is(pauses.items[i]->name, a->args[1]);
    pb_pauses_free(&pauses);
    return rc;
}

/* What chains would have fired meanwhile: `patchbay runs release`. */
static int release(const struct pb_args *a, const char *held)
{
    char words[7][16] = {"runs", "release", "--config", "--state"};
    char *argv[9] = {words[0], words[1], a->args[0], a->args[1], (char *)(uintptr_t)held};
    int n = 5;
    for (int i = 2; i < 4; i++) {
        const char *value = pb_args_get(a, i == 2 ? "config" : "state");
        if (!value) continue;
        argv[n++] = words[i];
        argv[n++] = (char *)(uintptr_t)value;
    }
    return pb_verb_runs.run(n, argv);
}

/* What waits for a word. */
static void tell_held(const struct pb_args *a, struct pb_store *s)
{
    struct pb_decisions held;
    struct pb_err err;
    bool chain = strcmp(a->args[0], "chain") == 0;
    if (!chain && strcmp(a->args[0], "app") != 0) return;
    const struct pb_decision_filter f = {.outcomes = 1 << PB_HELD,
                                         .chain = pb_str_c(chain ? a->args[1] : "")};
    if (pb_store_decision_list(s, &f, &held, &err) == 0 && held.n) {
        if (chain)
            printf("%zu%s of its links fired meanwhile, and %s held", held.n,
                   held.n == PB_LIST_MAX ? " or more" : "", held.n == 1 ? "is" : "are");
        else
            printf("What would have reloaded it meanwhile is held");
        printf("; it starts, or not, with `patchbay runs release %s %s none|once|all`\n", a->args[0],
               a->args[1]);
    }
    pb_decisions_free(&held);
}

static int unpause_it(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_unpause, argc, argv);
    if (rc >= 0) return rc;
    if ((rc = check_kind(a)) >= 0) return rc;
    const char *held = pb_args_get(a, "held");
    if (held && strcmp(a->args[0], "chain") != 0 && strcmp(a->args[0], "app") != 0)
        return pb_cli_usage(a->verb, "--held is for a chain or an app");
    if (held && strcmp(held, "none") != 0 && strcmp(held, "once") != 0 && strcmp(held, "all") != 0)
        return pb_cli_usage(a->verb, "--held %s: none, once or all", held);
    struct pb_store *s = pb_args_store(a);
    struct pb_err err;
    bool there;
    if (!s) return PB_EXIT_FAILED;
    if (is_paused(s, a, &there, &err) ||
        pb_store_unpause(s, pb_str_c(a->args[0]), pb_str_c(a->args[1]), pb_args_who(), &err))
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    else if (!there)
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s %s is not paused; `patchbay pause` lists what is",
                           a->args[0], a->args[1]);
    else {
        pb_args_wake(a);
        printf("%s %s goes on\n", a->args[0], a->args[1]);
        if (!held) tell_held(a, s);
        rc = PB_EXIT_OK;
    }
    pb_store_close(s);
    return rc == PB_EXIT_OK && held ? release(a, held) : rc;
}

static const struct pb_cli_option pause_options[] = {
    PB_OPTION_CONFIG, PB_OPTION_STATE, {"why", 0, "TEXT", "the reason, for whoever wonders"}};
const struct pb_cli_verb pb_verb_pause = {
    .name = "pause",
    .args = "[queue|connector|function|chain|app NAME]",
    .summary = "Have something not started until it is unpaused; without arguments: what is paused.",
    .text = "Jobs of a paused queue, connector or function wait; calls of a paused function, and of "
            "functions of a\n"
            "paused connector, are refused. What runs already ends. It is kept across restarts, with who and "
            "why.",
    .options = pause_options,
    .n_options = PB_COUNTOF(pause_options),
    .max_args = 2,
    .run = pause_it};

static const struct pb_cli_option unpause_options[] = {
    PB_OPTION_CONFIG,
    PB_OPTION_STATE,
    {"held", 0, "WHAT",
     "of what a chain or an app would have started meanwhile: none, once (the last of each link), all; "
     "by default it stays held, for `patchbay runs release`"}};
const struct pb_cli_verb pb_verb_unpause = {.name = "unpause",
                                            .args = "queue|connector|function|chain|app NAME",
                                            .summary = "Let it be started again.",
                                            .options = unpause_options,
                                            .n_options = PB_COUNTOF(unpause_options),
                                            .min_args = 2,
                                            .max_args = 2,
                                            .run = unpause_it};
