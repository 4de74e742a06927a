/* SPDX-License-Identifier: MIT */
/*
 * Streams and timers that do as they are told, under the pool of connections to ModelDB 1.0 and under the
 * jobs on it; and what their callers were answered. One world per program: `fresh` empties it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../../../plugins/modeldb/v1_server.h"

#define S(text) ((pbay_str){text, sizeof text - 1})

extern struct fake_stream {
    pbay_stream_events events;
    void *user;
    pbay_text written;
    bool open, closing, gone;
} streams[64]; /* stream s of the pool is streams[s - 1] */
extern size_t n_streams;
extern bool refuse; /* the next stream is not opened */
extern struct fake_timer {
    int64_t due_ms;
    void (*fn)(void *user);
    void *user;
} timers[256];
extern size_t n_timers;

/* So long passes; then all that is due, and the ends of what was closed. */
void turn(int64_t ms);
/* Something came for a stream: "open", "end", or else why it was lost. */
void came(size_t s, const char *what);
/* Bytes came, in pieces of `step`. */
void answer(size_t s, const pbay_text *bytes, size_t step);

extern struct seen {
    int calls;
    int32_t code, id;
    uint32_t effect, advice;
    char message[800];
} seen[16];
/* user: one of `seen`. */
void done(void *user, const pbay_result *failed, const v1_answer *a);
/* Caller k was answered once, so, with these words. */
void says(int k, int32_t code, uint32_t effect, const char *words);

v1_pool_settings settings(uint32_t connections);
v1_pool *fresh(uint32_t connections);
