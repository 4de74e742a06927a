/* SPDX-License-Identifier: MIT */
/* pbay.functions/1 of this plugin (sql_query.c): rows from a statement, rows into a table. */
#pragma once

#include <patchbay/functions.h>

const pbay_functions_1 *sql_functions(void);
