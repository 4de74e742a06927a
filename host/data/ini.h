/* SPDX-License-Identifier: MIT */
/*
 * INI text to sections and entries, each with its line and column, in two dialects. Bytes in, a document
 * out: no file is opened here, and no key is known here (data/config.h checks them).
 *
 * PB_INI_OURS, patchbay.ini:
 *   [kind] or [kind "name"]      the kind is [a-z][a-z0-9_]*; a name in quotes, with the escapes of a value
 *   key = value                  keys are case-sensitive; blanks around key and value do not count
 *   key = "value"                taken whole: blanks, ; and # stay; \" \\ \n \t are escapes, any other is
 *                                an error
 *   ; or # first in a line       a comment; behind a value it takes two blanks (or a tab) and a `;`, behind
 *                                `]` or a closing quote any blanks and a `;`
 *   One line is one entry: there are no continuation lines. Control characters but tab are errors.
 *
 * PB_INI_PYTHON, what Python's configparser reads with its defaults and interpolation=None, because a
 * gateway's qrag.ini was written for it (https://docs.python.org/3.11/library/configparser.html):
 *   [anything]                   case-sensitive, blanks kept, text behind the last `]` ignored
 *   key = value, key: value      keys lower-cased; only full-line comments; a `%` is a `%`
 *   deeper indented lines        go on with the value, joined by a newline; empty lines between them are kept
 *   [DEFAULT]                    may stand several times; pb_ini_get looks there last
 *   Only ASCII letters are lower-cased; Python lower-cases all of Unicode's.
 *
 * In both: UTF-8 with or without a byte order mark, lines end in LF or CRLF (Python's: also a lone CR), NUL
 * and invalid UTF-8 are errors, and so are a section or a key that stands twice: the message names both
 * lines.
 *
 * Glossary
 *   kind, name   of [function "churn"]: `function` and `churn`. Python's dialect: the whole header is the
 *                kind, no name
 *   column       counted from 1, in characters
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

enum pb_ini_dialect { PB_INI_OURS, PB_INI_PYTHON };

enum { PB_INI_MAX = 16 << 20 }; /* bytes of one file; more is an error */

struct pb_ini_entry {
    pbay_str key;
    pbay_str value;
    uint32_t line, col; /* where the value begins */
    uint32_t key_col;   /* where the key begins; the line is the same */
    bool quoted;        /* the value stood in quotes (ours only) */
};

struct pb_ini_section {
    const struct pb_ini *doc;
    pbay_str kind;
    pbay_str name; /* p is NULL when it has none */
    uint32_t line, col;
    struct pb_ini_entry *entries; /* in the file's order */
    size_t n, cap;
    struct pb_map by_key; /* key -> index + 1 */
};

/* A file's content. Immutable once parsed; readers may be any threads. */
struct pb_ini {
    const char *file; /* as given to pb_ini_parse: for messages */
    enum pb_ini_dialect dialect;
    struct pb_ini_section **sections; /* in the file's order; without [DEFAULT] in Python's dialect */
    size_t n, cap;
    struct pb_ini_section *defaults; /* Python's [DEFAULT], or NULL */
    char *text; /* what keys and values point into; wiped when freed, it may hold secrets */
    size_t text_n;
    struct pb_arena names;
    struct pb_map by_header;
};

/*
 * Read `text` (copied). `file` is for messages only (copied). On success *out is owned by the caller:
 * pb_ini_free.
 * Errors: INVALID_ARGUMENT, "FILE:LINE:COLUMN: what is wrong"; values are not shown, they may be secrets.
 */
int pb_ini_parse(const char *file, pbay_str text, enum pb_ini_dialect dialect, struct pb_ini **out,
                 struct pb_err *err);
/* Wipes and frees; NULL is fine. */
void pb_ini_free(struct pb_ini *doc);

/* The section, or NULL. `name` may be NULL for one without a name. Borrowed from the document. */
const struct pb_ini_section *pb_ini_find(const struct pb_ini *doc, const char *kind, const char *name);
/*
 * The entry, or NULL. In Python's dialect the key's case does not count, and [DEFAULT] answers for what is
 * not there.
 */
const struct pb_ini_entry *pb_ini_get(const struct pb_ini_section *sec, const char *key);

/* `[function "churn"]`, for messages: appended to b's end. */
struct pb_buf;
void pb_ini_header(const struct pb_ini_section *sec, struct pb_buf *b);
/*
 * Fill err with "FILE:LINE:COL: text", INVALID_ARGUMENT; line 0: "FILE: text", col 0: without a column.
 * Returns -1.
 */
int pb_ini_fail(struct pb_err *err, const char *file, uint32_t line, uint32_t col, const char *fmt, ...)
    PB_PRINTF(5, 6);
