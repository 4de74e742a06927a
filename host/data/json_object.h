/* SPDX-License-Identifier: MIT */
/*
 * Small JSON documents taken apart: the members of an object, the items of an array, one level at a time.
 *
 * For text that decides something (tokens, key sets): a name that stands twice is an error, not a choice.
 * Rows go through json_scan.h instead. Results live in the arena or borrow from the text. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct pb_json_member {
    pbay_str name;  /* decoded */
    pbay_str value; /* the text of one valid JSON value */
};

struct pb_json_object {
    struct pb_json_member *members; /* in the order of the text */
    size_t n;
};

/*
 * The whole text is one object of at most max members, nested at most depth levels in all. Errors:
 * INVALID_ARGUMENT with what is wrong and at which byte; nothing of the text appears in it.
 */
int pb_json_object(pbay_str text, size_t max, uint32_t depth, struct pb_arena *a, struct pb_json_object *out,
                   struct pb_err *err);
/* The same for an array: *items are texts of values. */
int pb_json_array(pbay_str text, size_t max, uint32_t depth, struct pb_arena *a, pbay_str **items, size_t *n,
                  struct pb_err *err);
/* The text of the member's value; p NULL when there is none. */
pbay_str pb_json_get(const struct pb_json_object *o, const char *name);
/* Is the value a string? *out is its decoded text, borrowed from value or in the arena. */
bool pb_json_string(pbay_str value, struct pb_arena *a, pbay_str *out);
