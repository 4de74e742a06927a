/* SPDX-License-Identifier: MIT */
/*
 * Rows on Qlik's wire (message BundledRows of https://github.com/qlik-oss/server-side-extension, proto
 * ServerSideExtension.proto) to columns and back, without an allocation or a message object per cell.
 *
 *   in    NUM takes numData, NaN is null; STR takes strData, "" stays ""; DUAL takes both and is null when
 * NaN and "". What is absent on the wire is 0 or "", as proto3 has it. out   a null is NaN and "".
 *
 * Threads: any, one at a time per builder.
 */
#pragma once

#include "base/buf.h"
#include "data/batch.h"

/* What an engine accepts in one message, less room for what wraps the rows. */
#define PB_BUNDLE_HARD_MAX ((size_t)4194304 - 4096)
/* No row: what pb_bundle_encode returns when it failed. */
#define PB_BUNDLE_FAILED UINT32_MAX

/*
 * Append the rows of one message to a builder whose columns (NUM, STR, DUAL) are the declared parameters. -1
 * and the builder as it was: INVALID_ARGUMENT for what is not protobuf, a row with another number of values
 * than there are columns (rows of the message are counted from 1), text that is not UTF-8; RESOURCE_EXHAUSTED
 * beyond the limits of a batch. msg is read only during the call.
 */
int pb_bundle_decode(pbay_str msg, struct pbay_builder *into, struct pb_err *err) PB_NODISCARD;

/*
 * Append one message to out: rows from `from` until it is longer than soft_max bytes; it is never longer than
 * hard_max. Returns the next row, n_rows when all are written. kind_wanted: PBAY_NUM writes numData, PBAY_STR
 * strData, PBAY_DUAL both, for every column; 0 takes each column's own kind (JSON as text). Columns of
 * another kind are converted: numbers as their shortest text, text as the number it holds. PB_BUNDLE_FAILED,
 * and out as it was: RESOURCE_EXHAUSTED when a single row is longer than hard_max, INVALID_ARGUMENT when a
 * number is wanted of a text that holds none; row and column are counted from 1.
 */
uint32_t pb_bundle_encode(const pbay_batch *b, uint32_t from, uint32_t kind_wanted, size_t soft_max,
                          size_t hard_max, struct pb_buf *out, struct pb_err *err) PB_NODISCARD;
