/* SPDX-License-Identifier: MIT */
/*
 * What `patchbay call` does before the first row: which function is meant, and which column of the file is
 * which parameter. Errors are sentences for the person at the keyboard. Threads: main.
 */
#pragma once

#include "data/sse_client.h"

/* By its exact name, or the only one that differs in case. NULL with err (NOT_FOUND): what exists, what was
 * meant. */
const struct pb_sse_function *pb_call_find(const struct pb_sse_capabilities *c, const char *name,
                                           struct pb_err *err);
/*
 * The field of the header for each parameter, to out[0 .. fn->n_params): as `columns` ("a,b,c": names of the
 * header) says; else by the parameters' names when the header has them all, in any case; else by position
 * when there are as many. -1 with err (INVALID_ARGUMENT). file: for messages.
 */
int pb_call_columns(const struct pb_sse_function *fn, const pbay_str *header, size_t n_header,
                    const char *columns, const char *file, uint32_t *out, struct pb_err *err);
