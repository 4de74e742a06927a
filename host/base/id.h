/* SPDX-License-Identifier: MIT */
/*
 * Ids that need no counter: 128 bits as text, in the order in which a process made them (UUID version 7, RFC
 * 9562). Those of different processes are in order to the millisecond.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

enum { PB_ID_LEN = 36, PB_ID_SIZE = PB_ID_LEN + 1 };

/* "019a9d3f-5b1c-7abc-8123-0123456789ab" with NUL. Threads: any. */
void pb_id_make(char out[PB_ID_SIZE]);
/* Has it the form of one (any version)? */
bool pb_id_valid(pbay_str s);
/* Not for keys: spreads retries of many over time. Threads: any. */
uint64_t pb_random_u64(void);
