/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.event/1: events into the store, once each, and the answers of polls (pbay.events/1).
 *
 * What an event causes (chains) is stored in the same transaction and goes on by itself. Threads: [loop];
 * callbacks never come from inside a function.
 *
 * Example: an event, stored before the caller is told so.
 *
 *     static void stored(void *user, const pbay_result *result, uint32_t n_new)
 *     {
 *         struct mine *m = user;
 *         (void)n_new; // 0: it was known
 *         m->request->respond(m->asked, result->code == PBAY_OK ? 202 : 503, NULL, 0, pbay_str_c(NULL));
 *     }
 *     static void tell(struct mine *m, pbay_str id, pbay_str json)
 *     {
 *         const pbay_event e = {.struct_size = sizeof e,
 *                               .type = pbay_str_c("changed"),
 *                               .id = id, // is a key as well: known once, never stored again
 *                               .subject = id,
 *                               .data = json};
 *         m->event->put(m->host, &e, 1, stored, m);
 *     }
 */
#pragma once

#include <patchbay/events.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_EVENT "pbay.host.event/1"

/* Copied. */
typedef struct pbay_event {
    uint32_t struct_size;
    uint32_t n_keys; /* 1..16 */
    /* De-duplication, each 1 to 512 bytes: an event of this connector any of whose keys is known is not
     * stored again. */
    const pbay_str *keys;
    pbay_str type;    /* "reload": CONNECTOR.reload is what chains listen to; 1 to 256 bytes */
    pbay_str id;      /* the other side's, or empty; is one more key */
    pbay_str subject; /* what it is about: an app id, a job's name; at most 4096 bytes */
    int64_t time_ms;  /* UTC, when it happened; 0: now */
    pbay_str data;    /* one JSON value, at most 1 MiB */
} pbay_event;

typedef struct pbay_event_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * All or none; n events one behind the other, each struct_size bytes long. stored(user, OK, how many were
     * new) when they are on disk: the time to answer 2xx. Else why they are not: INVALID_ARGUMENT for one
     * that breaks the rules above, UNAVAILABLE or RESOURCE_EXHAUSTED when the store cannot take them now.
     */
    void (*put)(const pbay_host *host, const pbay_event *events, uint32_t n,
                void (*stored)(void *user, const pbay_result *result, uint32_t n_new), void *user);
    /*
     * The end of a poll: what happened and where to go on, in one transaction. cursor: what the next poll is
     * given, as it is, at most 1 MiB: where nothing was new it is the one that this poll was given, for an
     * empty one begins from the start. result not OK: nothing of it
     * counts, and the poll comes again, later after each failure (or after retry_after_ms). A full page may
     * say so: again != 0 polls once more at once.
     */
    void (*polled)(pbay_poll poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                   pbay_str cursor, int again);
} pbay_event_1;

#ifdef __cplusplus
}
#endif
