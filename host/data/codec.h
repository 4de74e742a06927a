/* SPDX-License-Identifier: MIT */
/*
 * Rows as text: CSV, JSON rows and JSON lines, read in pieces into a builder and written from batches. What a
 * pbay_codec says is in patchbay/types.h; the functions are those of the service pbay.host.batch/1.
 *
 * How kinds meet text:
 *   NUM   JSON numbers and text that holds one; not finite, or beyond a double: an error. Written: the
 * shortest text that reads back the same; what is not finite as JSON null and as CSV's empty field. STR JSON
 * strings, and numbers and booleans as they stand; written as JSON string. DUAL  a JSON number is its value
 * and its text; a string its text and the number it holds, else NaN. Written: the number, or the text where
 * that is NaN. JSON  any value, verbatim. In CSV an unquoted field that is a JSON number or boolean stands
 * for itself, any other for a JSON string; written, strings are always quoted, so they come back as strings.
 *   null  JSON null; the empty CSV field without quotes. "" in quotes is the empty text (in a NUM column:
 * null). The writers keep the two apart the same way. A CSV line without anything is a null where rows have
 * one column, and is skipped where they have more.
 *
 * A reader takes a row when it is whole; the rest of a piece waits for the next. Rows that were taken may be
 * removed from the builder between two pieces (clear_rows, or pb_reader_into). After an error nothing more is
 * read, and the rows before it stand. Rows and columns are counted from 1 in messages, bytes of the text from
 * 0.
 *
 * Threads: one at a time per reader or writer.
 */
#pragma once

#include "base/buf.h"
#include "data/batch.h"

struct pbay_reader;
struct pbay_writer;

/*
 * Rows go to `into` (borrowed), whose columns the reader adds: at once, or at the first row when the codec
 * does not say. Copies the codec. Returns owned; a codec that makes no sense is an error of the first feed.
 */
struct pbay_reader *pb_reader_new(const pbay_codec *codec, struct pbay_builder *into);
/* A piece of text, of any length. -1: INVALID_ARGUMENT with row, column and offset, or RESOURCE_EXHAUSTED. */
int pb_reader_feed(struct pbay_reader *r, pbay_str piece, struct pb_err *err) PB_NODISCARD;
/* There is no more text. */
int pb_reader_finish(struct pbay_reader *r, struct pb_err *err) PB_NODISCARD;
/* Row numbers of the rows in the builder (codec.row_numbers), one JSON cell a row. Borrowed until the next
 * feed. */
const pbay_column *pb_reader_numbers(struct pbay_reader *r);
/* Go on in another, empty builder: the columns are added to it, row numbers begin anew. */
void pb_reader_into(struct pbay_reader *r, struct pbay_builder *into);
/* Rows taken in all. */
uint64_t pb_reader_rows(const struct pbay_reader *r);
void pb_reader_free(struct pbay_reader *r); /* NULL is fine */

/* Copies the codec. Returns owned. */
struct pbay_writer *pb_writer_new(const pbay_codec *codec);
/* Append the rows of a batch. numbers: a column of at least as many rows, or NULL (then rows count on from
 * 0). */
void pb_writer_write(struct pbay_writer *w, const pbay_batch *batch, const pbay_column *numbers);
/* All that was written, closed; borrowed until reset or free. What is written after it is lost. */
pbay_str pb_writer_text(struct pbay_writer *w);
/* Begin again, memory kept. */
void pb_writer_reset(struct pbay_writer *w);
void pb_writer_free(struct pbay_writer *w); /* NULL is fine */
