/* SPDX-License-Identifier: MIT */
/*
 * The two ends of `patchbay call`: records of a CSV file to BundledRows messages, and the answer's messages
 * to a CSV. Nothing is kept between them but counts: for a map, whose answer stands beside its row, the file
 * is read a second time behind the first (app/csv_file.h). Threads: main.
 */
#pragma once

#include "app/csv_file.h"
#include "data/batch.h"
#include "data/sse_client.h"

/* ------------------------------------------------------------------------------------------------ rows to
 * send */

struct pb_call_in {
    struct pb_csv_file csv;
    const struct pb_sse_function *fn;
    uint32_t *columns; /* of the file, one for each parameter */
    struct pbay_builder *rows;
    uint32_t max_rows; /* of a message; 0: about 256 KiB */
    uint64_t n_rows;   /* in messages that were handed out */
    bool ended;
    struct pb_buf message;
};

/*
 * The next message; 1, 0 at the end, -1 with err, which names file and line. Borrowed until the next call.
 * The file is open and its header read; csv.fd -1: a function without parameters, called without rows.
 */
int pb_call_in_next(struct pb_call_in *in, pbay_str *message, struct pb_err *err);
void pb_call_in_free(struct pb_call_in *in);

/* ------------------------------------------------------------------------------------------------ rows that
 * came */

struct pb_call_out {
    const struct pb_sse_function *fn;
    const char *name; /* of the answer's column; NULL: the function's */
    const char *path; /* NULL: standard output */
    char *temporary;  /* written first, then renamed; NULL: written in place */
    int fd;
    bool beside; /* answers stand beside their rows */
    bool begun;
    struct pb_csv_file *rows; /* the follower; header read */
    struct pbay_builder *answer;
    uint64_t n_rows;
    struct pb_buf text;
};

/* A path of a plain file appears only when all is there: it is written under another name first. */
int pb_call_out_open(struct pb_call_out *out, const char *path, struct pb_err *err);
/*
 * Decide what is written and write the header. header: the file's, raw. table: NULL unless the gateway
 * described one; n_values: in a row of the answer. rows: a reader of the file that is at its first record, or
 * NULL.
 */
int pb_call_out_begin(struct pb_call_out *out, pbay_str header, const struct pb_sse_table *table,
                      uint32_t n_values, struct pb_csv_file *rows, struct pb_err *err);
/* The rows of one message; n_sent: rows that the gateway has been sent, of which it cannot answer more. */
int pb_call_out_message(struct pb_call_out *out, pbay_str message, uint64_t n_sent, struct pb_err *err);
/* All is there: what is in memory is written, the file gets its name. */
int pb_call_out_commit(struct pb_call_out *out, struct pb_err *err);
/* Without a commit before: the unfinished file is removed. */
void pb_call_out_free(struct pb_call_out *out);
