/* SPDX-License-Identifier: MIT */
/*
 * An old gateway's functions.json: {"Functions": [{"Id", "Name", "Type", "QRAP_Type", "ReturnType",
 * "Params"}, …]}.
 *
 * Keys are case-sensitive. `FunctionType` is taken for `Type`, and `CacheResultInQlik` ("true", "false" or
 * a JSON boolean) is read, as other Qlik plugins write them; further keys are ignored. Functions are told
 * apart by Id and Name, never by their place in the file. Threads: any. Bytes in, structs out: no file is
 * opened here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Which parameter is the first. Qlik passes arguments by position, and the Python gateway announced them
 * sorted by name in byte order (col1, col10, col11, …, col2), so that is what existing expressions rely on.
 */
enum pb_qrag_params { PB_QRAG_PARAMS_SORTED, PB_QRAG_PARAMS_FILE };

enum { PB_QRAG_JSON_MAX = 16 << 20 }; /* bytes of one file; more is an error */

struct pb_qrag_param {
    pbay_str name;
    uint8_t type; /* as ReturnType */
};

struct pb_qrag_function {
    int32_t id;          /* >= 0, unique in the file */
    uint8_t type;        /* 0 scalar, 1 aggregation, 2 tensor: Qlik's FunctionType */
    uint8_t return_type; /* 0 string, 1 numeric, 2 dual: Qlik's DataType */
    bool cache_given;    /* CacheResultInQlik was there */
    bool cache;          /* and said this */
    uint32_t line;       /* where the function begins in the file, 0: not known */
    pbay_str name;       /* [A-Za-z0-9_]+, unique in the file */
    pbay_str qrap_type;  /* not empty */
    struct pb_qrag_param *params;
    size_t n_params;
};

struct pb_qrag_functions {
    struct pb_qrag_function *functions; /* in the file's order */
    size_t n;
    struct pb_arena mem; /* everything they point to */
};

/*
 * Read a file's text; `file` is for messages. *out is the caller's: pb_qrag_functions_free.
 * Errors: INVALID_ARGUMENT, "FILE:LINE:COL: …" for JSON that cannot be read, "FILE:LINE: Functions[3]: …"
 * for the rest.
 */
int pb_qrag_functions_parse(const char *file, pbay_str text, enum pb_qrag_params order,
                            struct pb_qrag_functions **out, struct pb_err *err);
/* NULL is fine. */
void pb_qrag_functions_free(struct pb_qrag_functions *f);
