/* SPDX-License-Identifier: MIT */
/*
 * Which plugin is running now: set around every call into one, so that a crash can be put down to it, and so
 * that slow callbacks are noticed. Threads: each has its own.
 */
#pragma once

#include <stdint.h>

#include <patchbay/types.h>

#include "base/page.h"

struct pb_connector;

struct pb_current {
    struct pb_connector *connector; /* NULL: the host itself */
    const char *name;               /* the connector's; for a signal handler */
    const char *what;               /* "submit", "push", ...; a literal */
    const char *function;           /* the function's name, or NULL */
    pbay_str trace; /* traceparent of the call that it works for, for requests it sends; may be empty */
};
extern _Thread_local struct pb_current pb_current;

/* Where the same is written for the supervisor to read after a crash. NULL: nobody reads. Borrowed. */
extern _Thread_local struct pb_page_mark *pb_current_mark;

/* One call into a plugin, from enter to leave; may nest. */
struct pb_visit {
    struct pb_current before;
    int64_t start_ns;
};
void pb_visit_enter(struct pb_visit *v, struct pb_connector *c, const char *what, const char *function);
/* Measures: more than 5 ms on the loop is logged, at most once a minute per connector. By the kernel's ticks:
 * a stay that is longer by less than one or two of them (4 to 10 ms each) may pass for a shorter one. */
void pb_visit_leave(struct pb_visit *v);

/*
 * Of a plugin that takes its process with it a line goes to stderr, "WHO: connector "x": its plugin crashed
 * (SEGV) in create". Where sanitizers or frameworks hear of signals already they go on alone. For processes
 * that nobody watches. who: a literal.
 */
void pb_current_tell_crashes(const char *who);
/* The same of one that ends the process, or does not return for 10 s, which ends it as well (exit code 1).
 * For commands: it takes SIGALRM. Connectors in processes of their own are others' affair. */
void pb_current_tell_ends(const char *who);
