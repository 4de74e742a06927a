/* SPDX-License-Identifier: MIT */
/*
 * The client's half of Qlik's small messages (the gateway's is data/sse_messages.h): reads what answers
 * GetCapabilities and describes a table, writes what stands in request headers. Threads: any.
 */
#pragma once

#include "data/sse_messages.h"

/* INVALID_ARGUMENT for what is not the message, or holds text that is not UTF-8. Everything is copied to the
 * arena. */
int pb_sse_read_capabilities(pbay_str msg, struct pb_sse_capabilities *out, struct pb_arena *a,
                             struct pb_err *err) PB_NODISCARD;
int pb_sse_read_table(pbay_str msg, struct pb_sse_table *out, struct pb_arena *a,
                      struct pb_err *err) PB_NODISCARD;
/* Append the encoded message. Texts hold no NUL. */
void pb_sse_write_common(const struct pb_sse_common *c, struct pb_buf *out);
void pb_sse_write_call(const struct pb_sse_call *c, struct pb_buf *out);
/* Values in the first row of a BundledRows message; 0: it has no row, or is not such a message. */
uint32_t pb_sse_first_row(pbay_str msg);
