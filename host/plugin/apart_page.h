/* SPDX-License-Identifier: MIT */
/*
 * What a connector's process leaves behind when it ends: a page that it and its worker map. Written by the
 * process alone; the worker believes it no more than any other message. Inside of this room.
 */
#pragma once

#include <stdatomic.h>

#include "base/page.h"

struct pb_apart_page {
    _Atomic uint64_t begun; /* messages that it has begun to handle */
    _Atomic uint64_t call;  /* whose rows the plugin is looking at; 0: none */
    _Atomic int64_t data;   /* bytes of memory that it had (what RLIMIT_DATA counts) when it crashed */
    struct pb_page_mark mark;
};

/* Descriptors of the process, from its start. */
enum { PB_APART_SOCKET = 3, PB_APART_PAGE, PB_APART_FILE, PB_APART_LOG };
