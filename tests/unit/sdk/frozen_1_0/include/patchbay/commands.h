/* SPDX-License-Identifier: MIT */
/*
 * Extension pbay.commands/1: verbs of a plugin, shown as `patchbay PLUGIN VERB`, and the service they answer
 * by.
 *
 * A command runs in a process of its own beside the gateway: the configuration is read, the connectors are
 * created, one of them runs the command, and the process ends. Which one: the only connector of that plugin,
 * or the one that `--connector NAME` says. Nothing of a running gateway is shared but what the outside keeps,
 * and the store where the command asks for it: without PBAY_COMMAND_STORE such an instance has none, and
 * pbay.host.kv/1 and what else stands on the store answer UNAVAILABLE.
 *
 * `patchbay help PLUGIN` and `patchbay PLUGIN VERB --help` show the table of arguments.
 *
 * Example: `patchbay mine ping`.
 *
 *     static void run(void *self, uint32_t command, pbay_command_run run_, const pbay_config *arguments)
 *     {
 *         const struct mine *m = self;
 *         const pbay_result ok = PBAY_RESULT_OK;
 *         (void)command, (void)arguments;
 *         m->command->print(run_, pbay_str_c("it is there\n"));
 *         m->command->done(run_, &ok);
 *     }
 *     static const pbay_command all[] = {
 *         {"ping", "Is it there?", PBAY_COMMAND_STARTED, 0, {NULL, 0, 0}},
 *     };
 *     static const pbay_commands_1 commands = {
 *         .struct_size = sizeof commands,
 *         .n_commands = 1,
 *         .commands = all,
 *         .command_stride = sizeof(pbay_command),
 *         .run = run,
 *     };
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_COMMANDS "pbay.commands/1"
#define PBAY_SVC_COMMAND  "pbay.host.command/1"

/* The connector is started before the command runs (and stopped behind it). Else it is created and no more:
 * host->check_only answers 1, as for `patchbay check`. */
#define PBAY_COMMAND_STARTED 1u
/* The functions of the configuration are bound (pbay.functions/1) before the command runs, so that it knows
 * what is used. Scripts are read for that, and must be sound. */
#define PBAY_COMMAND_BOUND 2u
/* The store of the gateway is open (--state, as for `patchbay jobs`): pbay.host.kv/1 reads and writes it, and
 * an action that is invoked (pbay.host.invoke/1, PBAY_INVOKE_ACTION) becomes a durable job that the gateway
 * runs, now or when it is started; its end is waited for. Events are not put: what they cause is known to the
 * gateway alone. */
#define PBAY_COMMAND_STORE 4u
/* Without --connector it runs on every connector of the plugin, one after the other, each under its name. */
#define PBAY_COMMAND_EACH 8u

/* One run of a command. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_command_run;

typedef struct pbay_command {
    const char *verb; /* one to three words of [a-z][a-z0-9-]*, a blank between: "webhooks list" */
    const char *doc;  /* what it does, in a sentence or two */
    uint32_t flags;   /* PBAY_COMMAND_* */
    uint32_t reserved;
    /*
     * --NAME VALUE, with a dash where the option has an underscore; the value of the first one may stand
     * alone (`verify JOB`) when it is REQUIRED. A BOOL stands alone and means yes; its default is "no" or
     * none. FAMILY is refused, and so are the names of the host's own: config, connector, state, help.
     * Values may be references (`env:NAME`, `file:PATH`), paths start from the current directory.
     */
    pbay_option_table arguments;
} pbay_command;

typedef struct pbay_commands_1 {
    uint32_t struct_size;
    uint32_t n_commands;
    const pbay_command *commands;
    uint32_t command_stride; /* sizeof(pbay_command) as the plugin knows it */
    uint32_t reserved;
    /* [loop] Begin. One `done` is owed, now or later. arguments: checked, borrowed until then. */
    void (*run)(void *self, uint32_t command, pbay_command_run run, const pbay_config *arguments);
    /* [loop] Ctrl-C: advice; `done` is still owed. A second Ctrl-C ends the process. May be NULL. */
    void (*cancel)(void *self, uint32_t command, pbay_command_run run);
} pbay_commands_1;

/*
 * Service pbay.host.command/1. [loop]; a stale run is ignored and counted as the plugin's fault. Strings are
 * copied or written before the function returns.
 */
typedef struct pbay_command_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* Text to standard output, as it is; the plugin writes the newlines. On a terminal control characters but
     * newline and tab are shown as \xNN, so that text from outside may be passed on. */
    void (*print)(pbay_command_run run, pbay_str text);
    /* done of total (0: not known) so far: a bar on a terminal with `what` beside it, nothing in a pipe. */
    void (*progress)(pbay_command_run run, uint64_t done, uint64_t total, pbay_str what);
    /*
     * The end. PBAY_OK: exit code 0. Else the message goes to standard error and the exit code is 2 for
     * INVALID_ARGUMENT, 3 for UNAVAILABLE and 1 for the rest; after Ctrl-C it is 130.
     */
    void (*done)(pbay_command_run run, const pbay_result *result);
} pbay_command_1;

#ifdef __cplusplus
}
#endif
