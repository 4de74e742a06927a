/* SPDX-License-Identifier: MIT */
/*
 * Texts with {column} in them: taken apart when a function is declared, filled in for each row.
 *
 * A brace that does not begin a name is one of JSON's and stays. Threads: [loop].
 */
#pragma once

#include <patchbay/functions.h>

#include "kit/text.h"

enum { PARTS = 64 };

/* What a value becomes: percent-encoded, a JSON value, or the text as it is. */
enum fill { FILL_URL, FILL_JSON, FILL_TEXT };

struct template
{
    uint32_t n;
    struct part {
        pbay_str text;   /* before the column's value; borrowed from the configuration */
        uint32_t column; /* NO_COLUMN: there is none behind the text */
    } parts[PARTS];
};
#define NO_COLUMN UINT32_MAX

/* 0, or what is wrong with it and (its place in the text) where. */
const char *template_make(struct template *t, pbay_str text, const pbay_function_info *info, pbay_str *where);
void template_fill(const struct template *t, const pbay_batch *in, uint32_t row, enum fill how,
                   pbay_text *out);
