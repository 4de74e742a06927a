/* SPDX-License-Identifier: MIT */
/*
 * A store that may be away: its file damaged, its disk full, read-only or not mounted, its permissions wrong.
 * Whoever uses it goes on, is refused meanwhile, and has it again when somebody has mended it. Nothing of a
 * file that cannot be used is changed: it is not replaced, not truncated, and its log is not written back.
 *
 * Private to host/store. Threads: the store thread, but for pb_absence_health, which any may ask.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "store/async.h"

struct pb_absence {
    struct pb_store *store; /* NULL: away */
    char *url;              /* NULL: what went away stays away */
    void (*opened)(struct pb_store *s, void *user);
    void *user;
    bool damaged;     /* it went for what is in it: read as a whole before it is used again */
    int64_t next_ns;  /* when to look again; INT64_MAX: nothing is wrong */
    int64_t pause_ms; /* between two looks */

    pthread_mutex_t lock; /* guards what follows */
    struct pb_store_health health;
};

/* s NULL: away from the beginning, why says for what. s is taken, the url copied. */
void pb_absence_init(struct pb_absence *a, struct pb_store *s);
void pb_absence_free(struct pb_absence *a);
void pb_absence_keep(struct pb_absence *a, const char *url, const struct pb_err *why);
/*
 * Operations have run: why NULL: one was written; else what one of them failed by, which is the store's own
 * failure. Closes what should be opened anew. True: the health changed.
 */
bool pb_absence_note(struct pb_absence *a, const struct pb_err *why);
/* It is time (next_ns): open it, or try to write when it is open. True: the health changed. */
bool pb_absence_look(struct pb_absence *a);
void pb_absence_health(struct pb_absence *a, struct pb_store_health *out);
