/* SPDX-License-Identifier: MIT */
/*
 * Draft: extension pbay.commands/1: verbs shown as `patchbay PLUGIN VERB`.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_COMMANDS "pbay.commands/1"
#define PBAY_SVC_COMMAND  "pbay.host.command/1"

#define PBAY_COMMAND_STARTED 1u /* wants an instance that was started; else a check-only one will do */

/* One run of a command. A generation-checked number. */
typedef uint64_t pbay_command_run;

typedef struct pbay_command {
    const char *verb; /* [a-z][a-z0-9-]* */
    const char *doc;
    uint32_t flags; /* PBAY_COMMAND_* */
    uint32_t reserved;
    pbay_option_table arguments; /* --NAME VALUE */
} pbay_command;

typedef struct pbay_commands_1 {
    uint32_t struct_size;
    uint32_t n_commands;
    const pbay_command *commands;
    uint32_t command_stride;
    uint32_t reserved;
    /* [loop] One `done` is owed. arguments: borrowed until then. */
    void (*run)(void *self, uint32_t command, pbay_command_run run, const pbay_config *arguments);
    /* [loop] Ctrl-C: advice. */
    void (*cancel)(void *self, uint32_t command, pbay_command_run run);
} pbay_commands_1;

/* Service pbay.host.command/1. [loop] */
typedef struct pbay_command_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* Text to standard output, as it is (control characters escaped on a terminal). */
    void (*print)(pbay_command_run run, pbay_str text);
    /* done of total (0: unknown) units so far: a bar on a terminal, nothing in a pipe. */
    void (*progress)(pbay_command_run run, uint64_t done, uint64_t total, pbay_str what);
    void (*done)(pbay_command_run run, const pbay_result *result);
} pbay_command_1;

#ifdef __cplusplus
}
#endif
