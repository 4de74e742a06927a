/* SPDX-License-Identifier: MIT */
/* How long to wait before a repeat: doubling, capped, with full jitter, never less than what the other side
 * asked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { PB_BACKOFF_CAP_MS = 20000 };

/* attempt: how many were made, from 1. throttled: the other side asked for fewer. asked_ms: its Retry-After,
 * 0: none. */
int64_t pb_backoff_ms(uint32_t attempt, bool throttled, int64_t asked_ms);
