/* SPDX-License-Identifier: MIT */
/*
 * Three grades of "this cannot be", in place of assert().
 *
 * PB_REQUIRE  always checked; the process ends with the place and the condition
 * PB_CHECK    always checked; logs once per place and returns true so that the caller can recover
 * Long-lived objects carry a magic word: PB_MAGIC_CHECK at every void * boundary turns use after free and
 * wrong types into an immediate, named stop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

void pb_fatal(const char *fmt, ...) PB_PRINTF(1, 2) PB_NORETURN;
bool pb_check_failed_(const char *file, int line, const char *cond);

#define PB_REQUIRE(cond)                                                                                     \
    do {                                                                                                     \
        if (PB_UNLIKELY(!(cond))) pb_fatal("%s:%d: %s does not hold", __FILE__, __LINE__, #cond);            \
    } while (0)

/* True when the condition does NOT hold: if (PB_CHECK_FAILS(x > 0)) return; */
#define PB_CHECK_FAILS(cond) (PB_UNLIKELY(!(cond)) && pb_check_failed_(__FILE__, __LINE__, #cond))

#define PB_MAGIC_CHECK(obj, want) PB_REQUIRE((obj) != NULL && (obj)->magic == (want))
