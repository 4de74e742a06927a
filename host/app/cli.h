/* SPDX-License-Identifier: MIT */
/*
 * What the commands share: one table per command says its options once, for parsing and for `patchbay help
 * VERB`. Threads: main.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"

/* Exit codes. Scripts rely on them. */
enum {
    PB_EXIT_OK = 0,
    PB_EXIT_FAILED = 1,  /* it was tried and failed */
    PB_EXIT_USAGE = 2,   /* the command line is wrong */
    PB_EXIT_CONNECT = 3, /* nobody there */
    PB_EXIT_INPUT = 4,   /* a file of data is wrong */
    PB_EXIT_INTERRUPTED = 130,
};

struct pb_cli_option {
    const char *name; /* "rows-per-bundle" */
    char letter;      /* 'o', or 0 */
    const char *arg;  /* "N"; NULL: the option stands alone */
    const char *help; /* one sentence */
};

struct pb_cli_verb {
    const char *name;    /* "call" */
    const char *args;    /* "FUNCTION [FILE.csv|-]"; NULL: none */
    const char *summary; /* one line: `patchbay help` */
    const char *text;    /* paragraphs below it: `patchbay help VERB`; NULL: none */
    const struct pb_cli_option *options;
    size_t n_options;
    int min_args, max_args;            /* max -1: any */
    bool hidden;                       /* not for people */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit code */
};

/*
 * Parse argv[1..]; argv[0] is the verb. Options and arguments may mix; "--" ends options. values[i] becomes
 * the text of option i, "" for one that stands alone, and stays NULL when it was not given; the last of
 * several counts. Arguments are moved to the end of argv: argv[*first] .. argv[argc - 1]. -1: go on;
 * otherwise the exit code: 0 after --help, PB_EXIT_USAGE after a message.
 */
int pb_cli_parse(const struct pb_cli_verb *verb, int argc, char **argv, const char **values, int *first);
/* `patchbay help VERB`. */
void pb_cli_help(const struct pb_cli_verb *verb, FILE *to);
/* "patchbay VERB: message" and how to get help, to stderr. Returns PB_EXIT_USAGE. */
int pb_cli_usage(const struct pb_cli_verb *verb, const char *fmt, ...) PB_PRINTF(2, 3);
/*
 * "patchbay VERB: message" to stderr; text from outside is made harmless for a terminal (control characters
 * become "\xNN"). With a code: "patchbay VERB: NOT_FOUND: message". Returns the exit code it is given.
 */
int pb_cli_fail(const struct pb_cli_verb *verb, int exit_code, const struct pb_err *err, bool with_code);
