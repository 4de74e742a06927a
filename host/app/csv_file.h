/* SPDX-License-Identifier: MIT */
/*
 * A CSV file record by record, each as it stands: RFC 4180 with LF or CRLF, quoted fields with commas and
 * line ends in them. The gateway's own codec (data/codec.h) makes columns of a text; here a record is kept
 * verbatim beside its fields, because it is written out again with an answer behind it.
 *
 * One file may be read twice at once: the leader reads it, and a follower comes behind it in its own time. A
 * pipe, which cannot be read twice, is spooled to an unlinked temporary file as the leader reads it; memory
 * stays bounded either way. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* A record longer than this is an error: most likely a quote is never closed. */
#define PB_CSV_RECORD_MAX ((size_t)16 << 20)

struct pb_csv_file {
    const char *name; /* for messages; borrowed */
    int fd;           /* -1: not open */
    int spool;        /* -1: none; the follower's fd is the spool */
    bool owned;       /* fd is closed with it */
    bool seekable;
    bool follower;
    bool started;   /* past the byte order mark */
    bool any;       /* a record was returned */
    uint64_t at;    /* offset of what is read next */
    uint64_t size;  /* bytes; 0: not known */
    uint64_t taken; /* bytes of records returned so far */
    uint64_t line, next_line;
    struct pb_buf buf;
    size_t pos, record;     /* in buf: what comes next, the record returned last */
    struct pb_buf unquoted; /* fields whose doubled quotes were undone */
    struct pb_csv_field *fields;
    size_t n_fields, fields_cap;
    size_t width; /* fields of the header; 0: not known */
};

struct pb_csv_field {
    size_t from, n; /* within the record; in `unquoted` when undone */
    bool undone;
};

/* "-" is standard input. spool: a follower will be wanted. -1 with err. */
int pb_csv_open(struct pb_csv_file *f, const char *path, bool spool, struct pb_err *err);
/*
 * A second reader from the start, to be made when the leader has returned the header. It must not ask for a
 * record that the leader has not returned; its records are not cut into fields again.
 */
void pb_csv_follow(struct pb_csv_file *f, const struct pb_csv_file *leader);
/*
 * The next record without its line end; 1, 0 at the end, -1 with err ("FILE:LINE: ..."). The first sets the
 * number of fields that all others must have. Empty lines are skipped unless records have one field. raw and
 * fields are borrowed until the next call.
 */
int pb_csv_next(struct pb_csv_file *f, pbay_str *raw, struct pb_err *err);
/* Field i of the record that was returned last; i < f->n_fields. */
pbay_str pb_csv_field(const struct pb_csv_file *f, size_t i);
/* Append a field, quoted when it must be. */
void pb_csv_put(struct pb_buf *out, pbay_str s);
void pb_csv_close(struct pb_csv_file *f);
