/* SPDX-License-Identifier: MIT */
/*
 * Draft: extension pbay.events/1: sources that are polled, under a lease, for events since a cursor.
 *
 * Events and the new cursor are committed in one transaction: an event is neither lost nor stored twice.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_EVENTS "pbay.events/1"

/* One poll. A generation-checked number. */
typedef uint64_t pbay_poll;

typedef struct pbay_source {
    const char *name; /* [a-z][a-z0-9_]* */
    const char *doc;
    int64_t interval_ms; /* between polls; the operator may set another */
    pbay_option_table options;
} pbay_source;

typedef struct pbay_events_1 {
    uint32_t struct_size;
    uint32_t n_sources;
    const pbay_source *sources;
    uint32_t source_stride;
    uint32_t reserved;
    /* [loop] What happened since `cursor` (empty: the first time)? One `polled` (pbay.host.event/1) is owed.
     */
    void (*poll)(void *self, uint32_t source, pbay_poll poll, pbay_str cursor);
    void (*cancel)(void *self, uint32_t source, pbay_poll poll);
} pbay_events_1;

#ifdef __cplusplus
}
#endif
