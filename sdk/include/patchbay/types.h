/* SPDX-License-Identifier: MIT */
/*
 * The values that cross the boundary between Patchbay and a plugin: strings, results, options, columns.
 *
 * Everything here is flat: integers of fixed width, pointers to arrays, no callbacks. That is what lets a
 * connector run in the gateway's own process or in a child of its own without noticing.
 *
 * Words of these headers
 *
 *   borrowed until X   the callee may read it until X happens, and copies what it wants to keep
 *   owned, taken       whoever got it frees it; who gave it away does not touch it again
 *   [loop]             the one thread of the worker that created the instance. Every callback of a plugin
 *                      runs there, so a plugin needs no locks; it must not block there (5 ms are logged)
 *   [work]             a thread of the connector's own pool (patchbay/host_work.h)
 *   [any]              any thread
 *   _ms, _ns           milliseconds and nanoseconds; times of day are UTC ms since 1970, deadlines
 *                      CLOCK_MONOTONIC ns
 *   stale              a handle whose thing has ended: functions ignore it, or answer as they say
 *
 * In the examples `m` is the connector's instance, a struct of the plugin's own that has `host` and the
 * services under their short names (m->log, m->http): see patchbay/plugin.h.
 *
 * Compiles alone as C11 (pedantic) and as C++17; so do all others.
 *
 * Example: the sum of a column of numbers, nulls left out.
 *
 *     static double sum_of(const pbay_batch *rows, uint32_t c)
 *     {
 *         const pbay_column *col = pbay_batch_col(rows, c);
 *         double sum = 0;
 *         for (uint32_t i = 0; i < rows->n_rows; i++)
 *             if (!pbay_cell_null(col, i)) sum += col->num[i];
 *         return sum;
 *     }
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ strings */

/* A run of bytes, not NUL-terminated, UTF-8 unless said otherwise. {NULL, 0} is the empty string. */
typedef struct pbay_str {
    const char *p;
    size_t n;
} pbay_str;

/* [any] A C string as it is; borrowed from it. NULL is the empty string. */
static inline pbay_str pbay_str_c(const char *text)
{
    pbay_str s;
    s.p = text;
    s.n = text ? strlen(text) : 0;
    return s;
}

/* ------------------------------------------------------------------------------------------------ results */

/* Codes are gRPC's: https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
#define PBAY_OK                  0
#define PBAY_CANCELLED           1
#define PBAY_UNKNOWN             2
#define PBAY_INVALID_ARGUMENT    3
#define PBAY_DEADLINE_EXCEEDED   4
#define PBAY_NOT_FOUND           5
#define PBAY_ALREADY_EXISTS      6
#define PBAY_PERMISSION_DENIED   7
#define PBAY_RESOURCE_EXHAUSTED  8
#define PBAY_FAILED_PRECONDITION 9
#define PBAY_ABORTED             10
#define PBAY_OUT_OF_RANGE        11
#define PBAY_UNIMPLEMENTED       12
#define PBAY_INTERNAL            13
#define PBAY_UNAVAILABLE         14
#define PBAY_DATA_LOSS           15
#define PBAY_UNAUTHENTICATED     16

/*
 * Only in row errors of answers: the other side answered something that does not fit the column, such as a
 * text where a number is due. The operator decides (`on_bad`): the row is null, or it fails as
 * PBAY_INVALID_ARGUMENT.
 */
#define PBAY_BAD_VALUE 100

/* Did the outside world change? The host never repeats what may have happened unless it may be repeated. */
#define PBAY_EFFECT_NONE  0
#define PBAY_EFFECT_MAYBE 1
#define PBAY_EFFECT_DONE  2

/* What would help. PBAY_ADVICE_SPLIT goes with PBAY_EFFECT_NONE only: nothing was done, send me halves. */
#define PBAY_ADVICE_NONE  0
#define PBAY_ADVICE_RETRY 1 /* the same again, after a while, may succeed */
#define PBAY_ADVICE_SLOW  2 /* as RETRY, and fewer at once: the other side is throttling */
#define PBAY_ADVICE_SPLIT 3

/*
 * How something ended. Zero-initialised with struct_size set it means success.
 * Strings are borrowed until the function that takes the result returns; those of a `why` that a plugin
 * fills, until the next call into the plugin. Like pbay_str, pbay_header, pbay_row_error, pbay_field and
 * pbay_option_table it never grows: it is written and passed whole.
 */
typedef struct pbay_result {
    uint32_t struct_size;   /* sizeof(pbay_result) as the writer knows it */
    int32_t code;           /* PBAY_OK .. PBAY_UNAUTHENTICATED */
    uint32_t effect;        /* PBAY_EFFECT_* */
    uint32_t advice;        /* PBAY_ADVICE_* */
    int64_t retry_after_ms; /* what the other side asked for, 0 when it did not */
    int32_t vendor_status;  /* e.g. the HTTP status, 0 when there was none */
    uint32_t reserved;
    pbay_str vendor_code; /* e.g. "ThrottlingException" */
    pbay_str message;     /* one sentence for a person: what, where, which value, what to do */
} pbay_result;

/* Success, and what a result begins as: pbay_result r = PBAY_RESULT_OK; */
#define PBAY_RESULT_OK                                                                                       \
    {                                                                                                        \
        sizeof(pbay_result), 0, 0, 0, 0, 0, 0, {NULL, 0},                                                    \
        {                                                                                                    \
            NULL, 0                                                                                          \
        }                                                                                                    \
    }

/*
 * [any] A reason to refuse: fills *why and answers the code. text lives until the next call into the plugin,
 * as a literal does:
 *
 *     if (!x->http) return pbay_fail(why, PBAY_UNIMPLEMENTED, "this host has no pbay.host.http/1");
 */
static inline int32_t pbay_fail(pbay_result *why, int32_t code, const char *text)
{
    why->code = code;
    why->message = pbay_str_c(text);
    return code;
}

/* What a function that starts something returns. Any other value is one of the codes above. */
#define PBAY_LATER (-1) /* not now: the callee will say when (see the function's comment) */

/* ------------------------------------------------------------------------------------------------ batches */

#define PBAY_NUM  1u /* double */
#define PBAY_STR  2u /* UTF-8 text */
#define PBAY_DUAL 3u /* both, as Qlik's dual values */
#define PBAY_JSON 4u /* the text of one JSON value per cell, verbatim; SQL's 38-digit numbers live here */

/*
 * One column. Cells are numbered 0 .. n_rows - 1 of the batch.
 * Text of row i is bytes[off[i]] up to bytes[off[i + 1]]; off[0] need not be 0 (a batch may be a slice).
 * A null cell has num NaN and empty text, but only the bitmap says that it is null.
 */
typedef struct pbay_column {
    uint32_t kind; /* PBAY_NUM, PBAY_STR, PBAY_DUAL or PBAY_JSON */
    uint32_t reserved;
    pbay_str name;             /* may be empty */
    const double *num;         /* NUM and DUAL: n_rows items, 8-byte aligned; else NULL */
    const uint32_t *off;       /* STR, DUAL and JSON: n_rows + 1 items; else NULL */
    const char *bytes;         /* STR, DUAL and JSON: the text off[] points into */
    const uint64_t *null_bits; /* bit i % 64 of word i / 64 set: row i is null; NULL: no nulls */
} pbay_column;

/* One row of an answer that failed alone; the others stand. */
typedef struct pbay_row_error {
    uint32_t row;
    int32_t code;
    pbay_str message;
} pbay_row_error;

/* Rows in columns, at most 2^32 - 2 rows and 1 GiB of text per column. Immutable for its readers. */
typedef struct pbay_batch {
    uint32_t struct_size;
    uint32_t n_cols;
    uint32_t n_rows;
    uint32_t col_stride; /* distance between columns in bytes: pbay_column may grow at its end */
    const pbay_column *cols;
    const pbay_row_error *row_errors; /* sparse, in row order; only in answers */
    uint32_t n_row_errors;
    uint32_t reserved;
} pbay_batch;

/* [any] Column c of a batch; c < n_cols. */
static inline const pbay_column *pbay_batch_col(const pbay_batch *b, uint32_t c)
{
    return (const pbay_column *)(const void *)((const char *)b->cols + (size_t)c * b->col_stride);
}

/* [any] Is the cell null? */
static inline int pbay_cell_null(const pbay_column *col, uint32_t row)
{
    return col->null_bits && ((col->null_bits[row >> 6] >> (row & 63u)) & 1u);
}

/* [any] The cell's text (STR, DUAL, JSON), borrowed as long as the batch. */
static inline pbay_str pbay_cell_text(const pbay_column *col, uint32_t row)
{
    pbay_str s;
    s.p = col->bytes + col->off[row];
    s.n = col->off[row + 1] - col->off[row];
    return s;
}

/* ------------------------------------------------------------------------------------------ rows as text */

#define PBAY_FORMAT_CSV       1u /* RFC 4180; LF or CRLF; empty unquoted field = null */
#define PBAY_FORMAT_JSON_ROWS 2u /* {"KEY": [[a, b], [c, d]]} or a bare array; rows as arrays or objects */
/* One JSON value per line: a scalar (one column), an array or an object. */
#define PBAY_FORMAT_JSON_LINES 3u

/* How rows stand in the text. Zero-initialise, set struct_size and format. */
typedef struct pbay_codec {
    uint32_t struct_size;
    uint32_t format; /* PBAY_FORMAT_* */
    /*
     * Columns expected. n_columns 0: as many as the first row has, each of kind `any_kind`. A cell that does
     * not fit its column's kind is an error with row and column: NUM takes JSON numbers and numeric text, STR
     * takes strings and the text of numbers and booleans, JSON takes anything verbatim. JSON null and (CSV)
     * the empty field: null.
     */
    const char *const *names; /* for objects and CSV headers; NULL: by position */
    const uint32_t *kinds;
    uint32_t n_columns;
    uint32_t any_kind; /* PBAY_STR or PBAY_JSON (default) */
    /*
     * JSON_ROWS: where the rows are: a member ("rows", "data"), or several with dots between
     * ("body.predictions"); empty: the bare array. Other members are skipped. Rows are arrays, objects (read
     * by names; members that no name asks for are skipped) or, with one column, scalars.
     */
    pbay_str key;
    uint32_t
        row_numbers; /* JSON_ROWS: 1: each row begins with its number, kept verbatim apart from the columns */
    uint32_t header; /* CSV: 1: a header line comes first (reader: checked against names; writer: written) */
    uint32_t max_rows;  /* reader: more rows are an error; 0: 2^32 - 2 */
    uint32_t max_depth; /* reader: nesting of JSON; 0: 64 */
    char delimiter;     /* CSV; 0: ',' */
    char quote_all;     /* CSV writer: 1: quote every text cell; 0: only where needed */
    char raw; /* CSV and JSON_LINES writer: 1: one column, one bare value per line, text unquoted in CSV */
    char trailing_newline; /* CSV and JSON_LINES writer: 1: a newline after the last row too */
    char objects;          /* JSON writers: 1: a row is an object with the columns' names; 0: an array */
    char strict; /* JSON readers: 1: a member of a row that no name asks for is an error; 0: it is skipped */
    char reserved[6]; /* 0 */
} pbay_codec;

/* ------------------------------------------------------------------------------------------------ options */

#define PBAY_OPT_STR      1u  /* text */
#define PBAY_OPT_INT      2u  /* 64-bit integer */
#define PBAY_OPT_NUM      3u  /* double */
#define PBAY_OPT_BOOL     4u  /* yes, no, true, false, on, off, 1, 0 */
#define PBAY_OPT_DURATION 5u  /* "250ms", "30s", "5m", "2h", "7d"; read as milliseconds */
#define PBAY_OPT_SIZE     6u  /* "512", "64k", "6M", "1G" (powers of 1024); read as bytes */
#define PBAY_OPT_ENUM     7u  /* one of `choices` */
#define PBAY_OPT_LIST     8u  /* comma-separated texts, blanks around each cut */
#define PBAY_OPT_FILE     9u  /* a path, relative to the file that names it; read as an absolute path */
#define PBAY_OPT_FAMILY   10u /* "name.ANYTHING = text": any number of keys below `name.` */

#define PBAY_OPTF_REQUIRED 1u
#define PBAY_OPTF_SECRET   2u /* never logged or shown */
#define PBAY_OPTF_PER_CALL 4u /* a caller of pbay.host.invoke/1 may set it for one call */

/* One option a plugin understands: checks the configuration, prints the help, writes the reference. */
typedef struct pbay_option {
    const char *name;    /* lower-case, as it stands in patchbay.ini */
    uint32_t type;       /* PBAY_OPT_* */
    uint32_t flags;      /* PBAY_OPTF_* */
    const char *dflt;    /* as it would be written; NULL: unset */
    const char *choices; /* ENUM: "csv|json|lines"; INT, NUM, DURATION, SIZE: "MIN..MAX" or NULL */
    const char *doc;     /* one or two sentences; what it does, not what its name says */
} pbay_option;

typedef struct pbay_option_table {
    const pbay_option *options;
    uint32_t count;
    uint32_t stride; /* sizeof(pbay_option) as the plugin knows it */
} pbay_option_table;

/* ------------------------------------------------------------------------------------------------ headers */

/* One header field of a request or a reply; names in any case, values without CR, LF and NUL. */
typedef struct pbay_header {
    pbay_str name;
    pbay_str value;
} pbay_header;

#ifdef __cplusplus
}
#endif
