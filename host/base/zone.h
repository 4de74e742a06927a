/* SPDX-License-Identifier: MIT */
/*
 * Time zones, from the system's zoneinfo (TZif, RFC 9636): what a clock on the wall shows at an instant, and
 * which instants show a time. Seconds since 1970-01-01 throughout; "local" seconds are those a wall clock
 * would count. A zone is immutable. Threads: any.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct pb_zone;

/*
 * "Europe/Stockholm", or "UTC", which needs no file. *out is the caller's: pb_zone_free. Errors:
 * INVALID_ARGUMENT (not a name of a zone), NOT_FOUND, DATA_LOSS (the file is damaged).
 */
int pb_zone_load(pbay_str name, struct pb_zone **out, struct pb_err *err);
/* The same, loaded once in a process and kept; borrowed for ever. */
int pb_zone_get(pbay_str name, const struct pb_zone **out, struct pb_err *err);
/* A zone out of a file's bytes. */
int pb_zone_parse(pbay_str tzif, struct pb_zone **out, struct pb_err *err);
void pb_zone_free(struct pb_zone *z);

/* Seconds to add to UTC for the wall clock. */
int64_t pb_zone_offset(const struct pb_zone *z, int64_t utc);
static inline int64_t pb_zone_local(const struct pb_zone *z, int64_t utc)
{
    return utc + pb_zone_offset(z, utc);
}
/*
 * The first instant that shows `local`. When clocks were put forward over it, so that none does: the first
 * instant after the gap.
 */
int64_t pb_zone_utc(const struct pb_zone *z, int64_t local);
