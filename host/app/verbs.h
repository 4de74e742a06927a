/* SPDX-License-Identifier: MIT */
/* Every command of the program, and what most of them need: the configuration and the state directory.
 * Threads: main. */
#pragma once

#include "app/cli.h"

/* In the order they are shown; the hidden ones last. */
extern const struct pb_cli_verb *const pb_verbs[];
extern const size_t pb_verbs_n;
/* Find the verb and run it; the exit code. */
int pb_verbs_main(int argc, char **argv);

extern const struct pb_cli_verb pb_verb_run, pb_verb_certs, pb_verb_new_key, pb_verb_new_plugin,
    pb_verb_check, pb_verb_explain, pb_verb_test, pb_verb_simulate, pb_verb_runs, pb_verb_jobs, pb_verb_audit,
    pb_verb_pause, pb_verb_unpause, pb_verb_import_apps, pb_verb_import_qrag, pb_verb_qlik_setup,
    pb_verb_plugins, pb_verb_reload, pb_verb_restart, pb_verb_log, pb_verb_help, pb_verb_version,
    pb_verb_worker, pb_verb_plugin_probe, pb_verb_plugin_host;

/* A parsed command line. */
struct pb_args {
    const struct pb_cli_verb *verb;
    const char *values[16]; /* by the verb's options */
    char **args;
    int n;
};

/* -1: go on; otherwise the exit code. */
int pb_args_parse(struct pb_args *a, const struct pb_cli_verb *verb, int argc, char **argv);
/* The value of an option ("" for a switch), or NULL. Asking for one that the verb does not have is a fatal
 * error. */
const char *pb_args_get(const struct pb_args *a, const char *option);
/* "patchbay VERB: text" on standard error; returns code. */
int pb_args_error(const struct pb_args *a, int code, const char *fmt, ...) PB_PRINTF(3, 4);

#define PB_OPTION_CONFIG                                                                                     \
    {                                                                                                        \
        "config", 'c', "FILE",                                                                               \
            "the configuration; ./patchbay.ini, then /etc/patchbay/patchbay.ini unless given"                \
    }
#define PB_OPTION_STATE                                                                                      \
    {                                                                                                        \
        "state", 's', "DIR", "where the store is; /var/lib/patchbay or ~/.local/state/patchbay unless given" \
    }

/* Ask the running gateway (app/control.h) and print what it says. The exit code. The verb has --state. */
int pb_args_control(const struct pb_args *a, const char *line);

struct pb_site;
/* Load the configuration that --config or the default places name. NULL: the reason was printed. */
struct pb_site *pb_args_site(const struct pb_args *a);
/* --state or the default place. Returns owned. */
char *pb_args_state(const struct pb_args *a);
