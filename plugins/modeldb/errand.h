/* SPDX-License-Identifier: MIT */
/*
 * A command under way: what backfill.c and verify.c share. Threads: [loop].
 */
#pragma once

#include "modeldb.h"

struct errand {
    struct modeldb *m;
    struct errand *next, **link;
    pbay_command_run run;
    bool cancelled; /* nothing more is begun */
    char why[600];
    /* What is asked is given up; the end comes when the answer does. */
    void (*stop)(struct errand *e);
    /* Everything but the errand itself; called by its end. */
    void (*release)(struct errand *e);
};

/* Make one and begin it: at once with errand_end, or later. */
void backfill_begin(struct modeldb *m, pbay_command_run run, const pbay_config *arguments);
void verify_begin(struct modeldb *m, pbay_command_run run, const pbay_config *arguments);

/* `size` bytes of which the first are a struct errand; zeroed and in m's list. */
void *errand_new(struct modeldb *m, pbay_command_run run, size_t size, void (*stop)(struct errand *e),
                 void (*release)(struct errand *e));
/* Tells the host and frees e. */
void errand_end(struct errand *e, const pbay_result *result);
/* The same with a sentence of our own, cut to fit. */
void errand_end_with(struct errand *e, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void errand_say(struct errand *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Text from outside, quoted, with what a terminal would obey written out, and no longer than a line of prose.
 */
void errand_quote(pbay_text *out, pbay_str s);
