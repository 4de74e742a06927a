/* SPDX-License-Identifier: MIT */
/*
 * Chains rehearsed: the engine as it is, on a store of its own that is thrown away, with a clock that stands
 * still and connectors that only write down what they were asked. For `patchbay test`, `patchbay simulate`
 * and unit tests. The fake clock is the process's: one rehearsal at a time. Threads: one.
 */
#pragma once

#include "flow/chain.h"

struct pb_rehearsal;

struct pb_rehearsal_options {
    const char *dir;                    /* scripts/ */
    const struct pb_chain_names *names; /* NULL: nothing of the configuration is checked */
    pbay_str alert;                     /* the target of alerts; empty: "alerts" */
    int64_t now_ms;                     /* 0: Monday, 2026-01-05 00:00 UTC */
};

/* chains: which files (NULL: all of scripts/chains). *out is the caller's. */
int pb_rehearsal_open(const struct pb_rehearsal_options *o, const pbay_str *files, size_t n_files,
                      struct pb_rehearsal **out, struct pb_err *err);
void pb_rehearsal_close(struct pb_rehearsal *r);

/*
 * One word of a spec with its arguments, a JSON array; what it answers is appended to out as JSON ("null" for
 * nothing). Errors are what a failed test says.
 *
 *   given {app =, status =, ...}      the event happens, and everything it causes at once
 *   finish app [, status [, message]] a reload that was started ends
 *   advance time | at time            the clock moves; what becomes due happens
 *   pause/unpause kind, name [, held] start chain, app | resume | skip app | cancel | replay
 *   expect_reload app [, members]     the next thing started is this; likewise expect_action, expect_notify
 *   expect_nothing                    nothing was started that was not expected
 *   expect_skip text [, link]         a decision against it says so; expect_decision outcome [, text]
 *   expect_run state                  the last run is so
 *   decisions | started               lists, for whoever looks
 */
int pb_rehearsal_call(struct pb_rehearsal *r, pbay_str verb, pbay_str args, struct pb_buf *out,
                      struct pb_err *err);

/* The store, for tests that look closer; and the bundle. Borrowed. */
struct pb_store *pb_rehearsal_store(struct pb_rehearsal *r);
const struct pb_bundle *pb_rehearsal_bundle(struct pb_rehearsal *r);
/* Append each decision so far as one line: "fired   finance on("extract").ok: starts transform". */
void pb_rehearsal_report(struct pb_rehearsal *r, struct pb_buf *out);
