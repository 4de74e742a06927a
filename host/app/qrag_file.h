/* SPDX-License-Identifier: MIT */
/* The two files of an older gateway, read: what [qrag] sections and `patchbay import-qrag` begin with.
 * Threads: one. */
#pragma once

#include "data/functions_json.h"
#include "data/ini.h"

/* One row a request, each the length of a round trip: small batches keep every one of them inside the
 * timeout. */
enum { PB_QRAG_MAX_ROWS = 96, PB_QRAG_IN_FLIGHT = 4 };

struct pb_qrag_file {
    char *json_path, *ini_path;
    struct pb_ini *ini;
    struct pb_qrag_functions *functions;
};

/* Only files that nobody else can write (base/trust.h). Close it also after a failure. */
int pb_qrag_file_open(struct pb_qrag_file *f, pbay_str json_path, pbay_str ini_path,
                      enum pb_qrag_params order, struct pb_err *err);
/* DIR/functions.json and DIR/config/qrag.ini, else DIR/qrag.ini. */
int pb_qrag_file_open_dir(struct pb_qrag_file *f, const char *dir, enum pb_qrag_params order,
                          struct pb_err *err);
/* Zero-initialised is closed. */
void pb_qrag_file_close(struct pb_qrag_file *f);

/* The section of a function; NULL: there is none. */
const struct pb_ini_section *pb_qrag_section(const struct pb_qrag_file *f, const struct pb_qrag_function *fn);
/* A key of [base]; NULL: it is not there. */
const struct pb_ini_entry *pb_qrag_base(const struct pb_qrag_file *f, const char *key);
/* QRAG compared with "true" in any case; what is missing means yes, as its own comment says. */
bool pb_qrag_cached(const struct pb_qrag_file *f, const struct pb_qrag_function *fn);
/* The region that stands in an address of API Gateway; empty: none does. Borrowed from the file. */
pbay_str pb_qrag_file_region(const struct pb_qrag_file *f);
