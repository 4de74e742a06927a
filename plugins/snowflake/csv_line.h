/* SPDX-License-Identifier: MIT */
/* A row for a model that takes CSV. Sans I/O. Threads: any. */
#pragma once

#include "snowflake.h"

/* One field, in quotes where RFC 4180 wants them. */
void csv_field(pbay_text *out, pbay_str text);
/*
 * The elements of a JSON array (valid JSON, as the host's reader lets through; another value is one element)
 * as a line without its end: numbers, true and false as they stand, texts as fields, null as an empty field.
 * NULL, or what is wrong: arrays and objects inside have no place in a line.
 */
const char *csv_line_of_array(const struct snowflake *s, pbay_str json, pbay_text *out);
