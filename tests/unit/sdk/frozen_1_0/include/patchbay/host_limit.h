/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.limit/1: so many per window, counted for the whole machine and across restarts.
 * Threads: [loop]; the callback never comes from inside the function.
 *
 * Example: ten starts a minute, whoever starts them.
 *
 *     static void taken(void *user, const pbay_result *result, int64_t after_ms)
 *     {
 *         struct mine *m = user;
 *         if (result->code == PBAY_OK && after_ms == 0) m->owed++;           // go
 *         else m->retry_ms = result->code == PBAY_OK ? after_ms : 1000;      // ask again then
 *     }
 *     static void take(struct mine *m)
 *     {
 *         m->limit->take(m->host, pbay_str_c("starts"), 1, 10, 60000, taken, m);
 *     }
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
     * Take n of max per window_ms from the window `name` (1 to 128 bytes) of this connector; n <= max. A name
     * that begins with "plugin/" is one window for all connectors of the plugin: for what the other side
     * counts per credential, say "plugin/" and a hash of that.
     * taken(user, OK, 0): yes. taken(user, OK, after_ms): nothing was taken, there may be room after so many
     * ms. Else why the store could not tell.
     */
    void (*take)(const pbay_host *host, pbay_str name, uint32_t n, uint32_t max, int64_t window_ms,
                 void (*taken)(void *user, const pbay_result *result, int64_t after_ms), void *user);
} pbay_limit_1;

#ifdef __cplusplus
}
#endif
