/* SPDX-License-Identifier: MIT */
/* What the modes of the load client share: the options, the connections with their event loop, the metadata
 * of a call and the report. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "grpc_conn.h"
#include "rows.h"

#define LOAD_MAX_SPECS 32
#define LOAD_MAX_CONNS 64

struct load_options {
    const char *target; /* HOST:PORT */
    const char *path;
    unsigned connections;
    unsigned streams;                   /* in flight over all connections */
    uint64_t rows;                      /* per call */
    uint64_t bundles;                   /* messages a call's rows are sent in (calls mode) */
    uint64_t bundle_bytes, bundle_rows; /* bulk: size of one message; rows win when given */
    struct rows_spec specs[LOAD_MAX_SPECS];
    unsigned spec_count; /* streams take them in turn */
    double warmup, seconds;
    unsigned windows; /* measured windows, or runs in bulk */
    uint64_t count;   /* calls in all; 0: by time */
    pid_t pid;        /* process under test; 0: none */
    bool json;
    const char *label;
    struct grpc_conn_options conn;
};

struct load {
    const struct load_options *opt;
    struct grpc_conn conns[LOAD_MAX_CONNS];
    unsigned conn_count;
    int epoll;
    uint32_t watched[LOAD_MAX_CONNS]; /* event mask registered */
    struct rows_form forms[LOAD_MAX_SPECS];
    char function_header[LOAD_MAX_SPECS][64];
    char common_header[400];
    nghttp2_nv fields[LOAD_MAX_SPECS][2];
    uint64_t errors;
    char first_error[256];
    char row_why[160]; /* scratch of the row checker */
};

/* Connects all; 0 or -1 after saying why. */
int load_open(struct load *l, const struct load_options *opt);
void load_close(struct load *l);
/* Flushes all connections, waits up to `timeout_ms` and reads. False when a connection was lost (its reason
 * becomes the first error). */
bool load_turn(struct load *l, int timeout_ms);
/* Starts a call of spec `spec`. Returns 0 or -1. */
int load_start(struct load *l, struct grpc_conn *c, struct grpc_call *call, unsigned spec);
/* Counts an error and keeps the first text. */
void load_error(struct load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The modes; each prints its report and returns the exit code. */
int mode_calls(const struct load_options *opt);
int mode_bulk(const struct load_options *opt);
int mode_cancel(const struct load_options *opt);
