/* SPDX-License-Identifier: MIT */
/*
 * Extension pbay.events/1: sources that are polled for what happened since a cursor.
 *
 * A source is polled by one worker of all at a time, under a lease; events and the new cursor are committed
 * in one transaction: an event is neither lost nor stored twice. A source is off until [connector "NAME"]
 * says `poll.SOURCE = yes`, or an interval. Threads: [loop].
 *
 * Example: a source that finds nothing new.
 *
 *     static void poll(void *self, uint32_t source, pbay_poll poll_, pbay_str cursor)
 *     {
 *         const struct mine *m = self;
 *         const pbay_result ok = PBAY_RESULT_OK;
 *         (void)source;
 *         m->event->polled(poll_, &ok, NULL, 0, cursor, 0); // usually later, with what was found
 *     }
 *     static const pbay_source all[] = {
 *         {"changes", "What has changed, asked every minute.", 60000, 0, 0},
 *     };
 *     static const pbay_events_1 events = {
 *         .struct_size = sizeof events,
 *         .n_sources = 1,
 *         .sources = all,
 *         .source_stride = sizeof(pbay_source),
 *         .poll = poll,
 *     };
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_EVENTS "pbay.events/1"

/* Polled without being asked for: the operator turns it off with `poll.SOURCE = no`. */
#define PBAY_SRCF_ON 1u

/* One poll. A generation-checked number; 0 is never one. */
typedef uint64_t pbay_poll;

typedef struct pbay_source {
    const char *name;    /* [a-z][a-z0-9_]*, at most 64 bytes */
    const char *doc;     /* a sentence */
    int64_t interval_ms; /* between polls, at least 100; the operator may say another */
    uint32_t flags;      /* PBAY_SRCF_* */
    uint32_t reserved;
} pbay_source;

typedef struct pbay_events_1 {
    uint32_t struct_size;
    uint32_t n_sources;
    const pbay_source *sources;
    uint32_t source_stride; /* sizeof(pbay_source) as the plugin knows it */
    uint32_t reserved;
    /*
     * What happened since `cursor` (empty: the first time; borrowed until return)? One `polled`
     * (pbay.host.event/1) is owed, also after cancel; it may come from inside.
     */
    void (*poll)(void *self, uint32_t source, pbay_poll poll, pbay_str cursor);
    /* Advice: the answer is not waited for any more. May be NULL. */
    void (*cancel)(void *self, uint32_t source, pbay_poll poll);
} pbay_events_1;

#ifdef __cplusplus
}
#endif
