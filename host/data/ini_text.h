/* SPDX-License-Identifier: MIT */
/*
 * What both INI dialects share: lines and columns, sections and entries that may stand only once.
 * Private to host/data/ini*.c.
 */
#pragma once

#include "data/ini.h"

struct pb_ini_reader {
    struct pb_ini *doc;
    char *at, *end; /* the unread rest of doc->text */
    uint32_t line;  /* of the line last taken */
    char *line_p;   /* it, without its end */
    size_t line_n;
    struct pb_ini_section *sec;
    struct pb_err *err;
};

/* 1-based column of a byte of the current line. */
uint32_t pb_ini_col(const struct pb_ini_reader *r, const char *at);
/* Fail at a byte of the current line. */
#define PB_INI_FAIL(r, at, ...)                                                                              \
    pb_ini_fail((r)->err, (r)->doc->file, (r)->line, pb_ini_col((r), (at)), __VA_ARGS__)
/* Begin a section; its texts are in doc->text. Fails when it stands twice. */
int pb_ini_open_section(struct pb_ini_reader *r, pbay_str kind, pbay_str name, const char *at);
/* Add an entry to the open section. Fails when its key stands there already. */
int pb_ini_add(struct pb_ini_reader *r, pbay_str key, const char *key_at, pbay_str value,
               const char *value_at, bool quoted);

int pb_ini_read_ours(struct pb_ini_reader *r);
int pb_ini_read_python(struct pb_ini_reader *r);
