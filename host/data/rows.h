/* SPDX-License-Identifier: MIT */
/* What the readers and writers of codec.h share: their structs. Included by codec.c, rows_json*.c and
 * rows_csv.c alone. */
#pragma once

#include "base/map.h"
#include "data/codec.h"
#include "data/json_scan.h"

enum { PB_READER_MAGIC = 0x72656164, PB_WRITER_MAGIC = 0x77726974 };

/* Where a reader of JSON is. */
enum pb_json_state {
    PB_JSON_START,   /* nothing but blanks yet */
    PB_JSON_MEMBERS, /* in an object on the way to the rows */
    PB_JSON_ROWS,    /* in the array of rows */
    PB_JSON_LINES,   /* between lines */
    PB_JSON_END,
};

enum { PB_KEY_PARTS = 8 };

struct pbay_reader {
    uint32_t magic;
    uint32_t n_cols;
    bool known;  /* the columns are */
    bool failed; /* err says why, again and again */
    bool first;  /* the next row or member comes without a comma; CSV: the byte order mark may come */
    bool header; /* CSV: the header line is still to come */
    enum pb_json_state state;
    uint32_t depth; /* JSON: open objects on the way to the rows */
    uint32_t found; /* JSON: bit d: the member of the path was met in the object at depth d */
    uint32_t n_path;
    pbay_str path[PB_KEY_PARTS];
    pbay_codec codec; /* names, kinds and key point into the arena */
    pbay_str *names;  /* n_cols of them, or NULL */
    uint32_t *kinds;
    struct pb_map by_name; /* of many names */
    uint32_t
        *field_col; /* CSV with a header: the column of each field, UINT32_MAX: skipped; NULL: as they come */
    uint32_t n_fields; /* CSV: fields of a line */
    struct pb_arena arena;
    struct pbay_builder *into;
    struct pbay_builder *numbers;
    uint64_t rows, max_rows;
    struct pb_buf carry;   /* the beginning of a row that is not whole */
    struct pb_buf scratch; /* one text without its escapes */
    struct pb_buf json;    /* CSV: one text as JSON */
    size_t next_try;       /* carry is looked at again when it has grown to this */
    const char *text;      /* what is being read, and the offset of its first byte in all that was fed */
    uint64_t offset;
    struct pb_err *err; /* in the arena; NULL: nothing was wrong */
};

struct pbay_writer {
    uint32_t magic;
    bool begun, closed;
    bool blank; /* CSV: the last line is empty, and only its end says that it is a row */
    pbay_codec codec;
    struct pb_arena arena;
    struct pb_buf out;
    struct pb_buf names; /* objects: "name": of each column, one after the other */
    uint32_t *name_end;
    uint32_t n_names, names_cap;
    uint64_t rows;
};

/* Read what is whole; in->p is left behind it. MORE: all of it was; BAD: in->why, or r->err, is filled. */
enum pb_scan pb_rows_json(struct pbay_reader *r, struct pb_scan_in *in);
enum pb_scan pb_rows_csv(struct pbay_reader *r, struct pb_scan_in *in);
void pb_rows_json_write(struct pbay_writer *w, const pbay_batch *b, const pbay_column *numbers);
void pb_rows_csv_write(struct pbay_writer *w, const pbay_batch *b);

/* r->err: "row R, column C (NAME), offset N: ..."; col counted from 0, PB_NO_COL for none. Returns
 * PB_SCAN_BAD. */
#define PB_NO_COL UINT32_MAX
enum pb_scan pb_rows_fail(struct pbay_reader *r, const char *at, uint32_t col, const char *fmt, ...)
    PB_PRINTF(4, 5);
/* A cell of `kind` was wanted where `text` stands. */
enum pb_scan pb_rows_misfit(struct pbay_reader *r, uint32_t col, pbay_str text);
/* The columns are now known: n of them; names may be NULL, kinds NULL is any_kind for all. Copies names. */
enum pb_scan pb_rows_columns(struct pbay_reader *r, const pbay_str *names, const uint32_t *kinds, uint32_t n);
/* The column of a name, looked for at `guess` first; PB_NO_COL: none. */
uint32_t pb_rows_column_of(const struct pbay_reader *r, pbay_str name, uint32_t guess);
/* Text whose escapes or doubled quotes were taken out goes straight into a column: room for n more bytes, or
 * NULL. */
char *pb_rows_text_room(struct pbay_reader *r, uint32_t c, size_t n);

/* Is there room for one more row? */
static inline bool pb_rows_full(const struct pbay_reader *r)
{
    return r->rows >= r->max_rows;
}

/* A JSON string with its quotes. */
void pb_rows_put_json_string(struct pb_buf *out, pbay_str s);
