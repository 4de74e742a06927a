/* SPDX-License-Identifier: MIT */
/*
 * Draft: service pbay.host.limit/1: so many per window, counted for the whole machine.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_LIMIT "pbay.host.limit/1"

typedef struct pbay_limit_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * [loop] Take n of max per window_ms from the window `name` of this connector. 0: taken. Else: nothing
     * was taken, try again after so many ms.
     */
    int64_t (*take)(const pbay_host *host, pbay_str name, uint32_t n, uint32_t max, int64_t window_ms);
} pbay_limit_1;

#ifdef __cplusplus
}
#endif
