/* SPDX-License-Identifier: MIT */
/*
 * Memory that a connector's process and its worker map: what the process leaves behind when it ends, and a
 * ring for each direction by which long batches go. The worker believes it no more than any other message.
 * Inside of this room.
 */
#pragma once

#include <stdatomic.h>

#include "base/page.h"

/* Bytes of the memory by which long batches go, one for each direction. */
#define PB_APART_RING ((size_t)4 << 20)

struct pb_apart_page {
    _Atomic uint64_t begun; /* messages that it has begun to handle */
    _Atomic uint64_t call;  /* whose rows the plugin is looking at; 0: none */
    _Atomic int64_t data;   /* bytes of memory that it had (what RLIMIT_DATA counts) when it crashed */
    struct pb_page_mark mark;
    /* How far each side has read what the other put into the memory for it: [0] the process, [1] the worker.
     */
    _Alignas(64) _Atomic uint64_t taken[2];
    _Alignas(4096) char rings[2][PB_APART_RING]; /* [0] to the process, [1] to the worker */
};

/* Descriptors of the process, from its start. */
enum { PB_APART_SOCKET = 3, PB_APART_PAGE, PB_APART_FILE, PB_APART_LOG };
