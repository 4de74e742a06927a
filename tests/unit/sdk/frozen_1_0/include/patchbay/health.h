/* SPDX-License-Identifier: MIT */
/*
 * Extension pbay.health/1: how a connector is, in its own words.
 *
 * Example: what /readyz and the page of the gateway show.
 *
 *     static uint32_t state(void *self, pbay_str *sentence)
 *     {
 *         const struct mine *m = self;
 *         if (!m->failures) return PBAY_UP;
 *         *sentence = pbay_str_c("the other side has not answered for a while");
 *         return PBAY_DEGRADED;
 *     }
 *     static const pbay_health_1 health = {sizeof health, 0, state};
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_EXT_HEALTH "pbay.health/1"

#define PBAY_UP       1u
#define PBAY_DEGRADED 2u /* works, but someone should look */
#define PBAY_OUT      3u /* calls will fail */

typedef struct pbay_health_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* [loop] State, and a sentence borrowed until the next call into the plugin. Cheap: no requests. */
    uint32_t (*state)(void *self, pbay_str *sentence);
} pbay_health_1;

#ifdef __cplusplus
}
#endif
