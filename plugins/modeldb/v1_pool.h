/* SPDX-License-Identifier: MIT */
/*
 * Connections to one ModelDB 1.0 server: so many at most, each with one call in flight, used again and opened
 * when they are needed. Calls are served in the order in which they came.
 *
 * The server has a thread for each connection (100 of them), so an idle one is closed after a minute. One
 * that the server closed while a call was on it leaves open whether the call was done: reads are asked once
 * more on another connection, everything else ends with effect MAYBE and the caller looks.
 *
 * Threads: [loop].
 */
#pragma once

#include <patchbay/host_stream.h>
#include <patchbay/host_timer.h>

#include "v1_calls.h"

typedef struct v1_pool v1_pool;
typedef struct v1_call v1_call;

typedef struct v1_pool_settings {
    const pbay_host *host;
    const pbay_stream_1 *stream;
    const pbay_timer_1 *timer;
    pbay_str address; /* a name or a literal address; copied */
    uint32_t port;
    bool tls;
    uint32_t connections; /* at most, at least 1 */
    int64_t connect_ms, answer_ms;
} v1_pool_settings;

/*
 * failed NULL: there is an answer with end V1_DONE, or V1_REFUSED of a kind that the caller must judge; it is
 * borrowed until return. Otherwise *failed says what happened, with effect NONE only when nothing can have
 * been done, its texts borrowed until return, and answer is NULL unless the server had said it.
 */
typedef void (*v1_done)(void *user, const pbay_result *failed, const v1_answer *answer);

v1_pool *v1_pool_new(const v1_pool_settings *settings);
/* "modeldb.example.com:6543". */
const char *v1_pool_where(const v1_pool *pool);
/* A sequence number that no other call in flight has. */
int32_t v1_pool_seqid(v1_pool *pool);
/* frame: one of v1_ask_..., copied. done comes once, never from inside; not after v1_pool_drop. */
v1_call *v1_pool_call(v1_pool *pool, pbay_str frame, enum v1_method method, int32_t seqid, v1_done done,
                      void *user);
/* Nobody waits for it any more: one that has not been sent is not sent. True: it has been. */
bool v1_pool_drop(v1_pool *pool, v1_call *call);
/* No new connections; those that are idle close; calls that have not been sent end with PBAY_CANCELLED. */
void v1_pool_stop(v1_pool *pool);
/* Nothing may be in flight. */
void v1_pool_free(v1_pool *pool);
