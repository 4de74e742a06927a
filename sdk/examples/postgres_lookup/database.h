/* SPDX-License-Identifier: MIT */
/*
 * One connection to PostgreSQL, which belongs to one slot of the work pool: libpq, and nothing of Patchbay
 * but its codes.
 *
 * It is opened when it is first needed, and again when it was lost. Sessions are read only, so whatever is
 * asked may be asked again. Threads: [work] of the slot; close also from elsewhere when no work runs.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include <libpq-fe.h>

#include <patchbay/types.h>

enum { STATEMENTS = 64 }; /* of a connector */

struct database {
    PGconn *c;
    uint64_t prepared; /* statements that this session knows, by number */
};

struct question {
    const char *dsn;
    const char *sql; /* with $1 .. $n */
    uint32_t number; /* of the statement, below STATEMENTS */
    uint32_t n;
    int64_t timeout_ms;           /* statement_timeout of the session */
    int64_t deadline_ns;          /* CLOCK_MONOTONIC; afterwards it is given up */
    const atomic_bool *cancelled; /* becomes true: nobody wants it any more */
    const char *const *values;    /* NULL: null */
};

struct trouble {
    int32_t code;
    uint32_t advice;
    int row; /* it is about the values of this row, and says nothing of others */
    char state[6];
    char text[400];
};

/* The rows, to be freed with PQclear; NULL with *t. */
PGresult *database_ask(struct database *d, const struct question *q, struct trouble *t);
void database_close(struct database *d);
