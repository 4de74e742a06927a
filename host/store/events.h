/* SPDX-License-Identifier: MIT */
/*
 * What happened, stored before it is acknowledged and once: verbs of the store (store/store.h says what holds
 * for all of them).
 *
 * An event is known by (connector, key); a source may give several keys, for instance a delivery's id and a
 * hash of what it says. One that has any key in common with a stored one of its connector is that one again.
 */
#pragma once

#include <stdbool.h>

#include "base/id.h"
#include "store/jobs.h"
#include "store/store.h"

enum {
    PB_EVENT_KEYS_MAX = 16,
    PB_EVENT_DATA_MAX = 1 << 20, /* bytes */
};

struct pb_event {
    pbay_str id, connector, type, subject;
    pbay_str data;              /* JSON text; not parsed here */
    int64_t time_ms, stored_ms; /* when it happened, when it was stored */
};

struct pb_event_put {
    pbay_str connector, type, subject, data;
    int64_t time_ms;
    const pbay_str *keys; /* each 1..PB_STORE_KEY_MAX bytes; none: it is always new */
    size_t n_keys;
    const struct pb_job_put *jobs; /* what it causes; their `cause` is set to its id */
    size_t n_jobs;
};

/*
 * Store an event and the jobs it causes. Known already: id is the known one's, its jobs are not put again,
 * and keys it did not have are added. Errors: INVALID_ARGUMENT (sizes).
 */
int pb_store_event_put(struct pb_store *s, const struct pb_event_put *in, char id[PB_ID_SIZE], bool *known,
                       struct pb_err *err);
/* *out is one block: pb_free. Errors: NOT_FOUND. */
int pb_store_event_get(struct pb_store *s, pbay_str id, struct pb_event **out, struct pb_err *err);

struct pb_event_filter {
    pbay_str connector, type, subject; /* empty: any */
    pbay_str before; /* an event's id: only what was stored before it; empty: from the newest on */
    uint32_t limit;  /* 0 or more than PB_LIST_MAX: that many */
};

struct pb_events {
    struct pb_event **items;
    size_t n, cap;
};

/* Newest first. Free *out with pb_events_free, also after -1. Errors: NOT_FOUND (`before`). */
int pb_store_event_list(struct pb_store *s, const struct pb_event_filter *f, struct pb_events *out,
                        struct pb_err *err);
void pb_events_free(struct pb_events *list);

/*
 * How far a source of events was read: any text, of the source's own. Put it in one pb_store_atomic with the
 * events it stands behind. get appends to *out, nothing when it was never put.
 */
int pb_store_cursor_get(struct pb_store *s, pbay_str connector, pbay_str source, struct pb_buf *out,
                        struct pb_err *err);
int pb_store_cursor_put(struct pb_store *s, pbay_str connector, pbay_str source, pbay_str cursor,
                        struct pb_err *err);
