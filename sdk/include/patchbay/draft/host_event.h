/* SPDX-License-Identifier: MIT */
/*
 * Draft: service pbay.host.event/1: events into the store, and the answers of polls (pbay.events/1).
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_EVENT "pbay.host.event/1"

/* Copied. */
typedef struct pbay_event {
    uint32_t struct_size;
    uint32_t n_keys;
    const pbay_str *keys; /* de-duplication: an event any of whose keys is known is not stored again; 1..4 */
    pbay_str type;        /* "reload.finished" */
    pbay_str id;          /* the other side's, or empty */
    pbay_str subject;     /* what it is about: an app id, a job's name */
    int64_t time_ms;      /* UTC, when it happened; 0: now */
    pbay_str data;        /* JSON */
} pbay_event;

/* All functions and callbacks: [loop]; callbacks never come from inside a function. */
typedef struct pbay_event_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* All or none; stored(user, OK, how many were new) when they are on disk: the time to answer 2xx. */
    void (*put)(const pbay_host *host, const pbay_event *events, uint32_t n,
                void (*stored)(void *user, const pbay_result *result, uint32_t n_new), void *user);
    /* The end of a poll: what happened and where to go on, in one transaction. */
    void (*polled)(uint64_t poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                   pbay_str cursor);
} pbay_event_1;

#ifdef __cplusplus
}
#endif
