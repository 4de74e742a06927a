/* SPDX-License-Identifier: MIT */
/* Row bundles for the load client: builds request messages whose every row is different and checks the
 * answers, at a few nanoseconds a row, so that the client is not what is measured. It shares no code with the
 * host on purpose. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rows_kind { ROWS_STRING, ROWS_NUMERIC };
enum rows_expect { ROWS_ECHO, ROWS_SUFFIX, ROWS_SUM, ROWS_COUNT };

/* What one function is asked and must answer. Row i (from 0) carries, in column 0, the text "id-%08u" of i or
 * the number i + 1; further columns are constant ("p1" and so on, or 0.5). ROWS_ECHO wants column 0 back,
 * ROWS_SUFFIX wants it with `suffix` appended, ROWS_SUM wants the sum of the columns, ROWS_COUNT counts rows
 * only. */
struct rows_spec {
    int32_t function_id;
    enum rows_kind kind;
    enum rows_expect expect;
    unsigned columns; /* 1 to 32 */
    char suffix[16];
};

/* Encoded form of one row: all rows of a spec have the same size, only the value of column 0 is patched. */
struct rows_form {
    struct rows_spec spec;
    uint8_t row[1024];
    size_t size;  /* bytes of one encoded row, its BundledRows tag included */
    size_t patch; /* where the eight digits or the eight bytes of the double stand */
    uint8_t reply[64];
    size_t reply_size;
    size_t reply_patch;
};

/* Parses ID:WHAT[:COLUMNS[:SUFFIX]] where WHAT is echo, suffix, sum, count or numcount. False when it cannot.
 */
bool rows_spec_parse(const char *text, struct rows_spec *out);

void rows_form_init(struct rows_form *form, const struct rows_spec *spec);

/* Bytes of one gRPC message (prefix included) holding `rows` rows. */
size_t rows_message_size(const struct rows_form *form, size_t rows);

/* Writes one gRPC message with rows first .. first+rows-1; `out` has rows_message_size() bytes. Returns that
 * size. */
size_t rows_message_write(const struct rows_form *form, uint64_t first, size_t rows, uint8_t *out);

/* Rewrites only the values of a message made by rows_message_write() with the same row count. */
void rows_message_patch(const struct rows_form *form, uint64_t first, size_t rows, uint8_t *msg);

/* Checks one reply message (without its prefix) whose first row must answer row `first`. Returns its row
 * count, or -1 with a sentence in `why` when a row is wrong or the bytes are no BundledRows. */
int64_t rows_reply_check(const struct rows_form *form, uint64_t first, const uint8_t *msg, size_t len,
                         char *why, size_t why_size);

/* Base64 without padding; `out` has room for 4 * (len + 2) / 3 + 1 bytes. Returns the length, terminates. */
size_t rows_base64(const uint8_t *in, size_t len, char *out);

/* The two metadata values of a call, ready for the wire. */
void rows_function_header(int32_t function_id, char *out, size_t out_size);
void rows_common_header(const char *app, const char *user, uint64_t cardinality, char *out, size_t out_size);
