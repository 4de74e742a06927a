/* SPDX-License-Identifier: MIT */
/*
 * The small messages of Qlik's server-side extension protocol (data/sse.proto): what stands in request
 * headers, and what answers GetCapabilities and describes a table. Rows are in data/bundle.h. Threads: any.
 *
 * Decoding is strict: truncated messages, unknown enum values, text that is not UTF-8 and known fields of the
 * wrong wire type are INVALID_ARGUMENT; unknown fields are skipped, the last of a repeated single field
 * counts. An empty message is one whose fields all have their defaults. Texts are copied to the arena.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* FunctionType */
enum { PB_SSE_SCALAR = 0, PB_SSE_AGGREGATION = 1, PB_SSE_TENSOR = 2 };

/* A parameter, or a field of a table. */
struct pb_sse_param {
    uint32_t kind; /* PBAY_NUM, PBAY_STR or PBAY_DUAL */
    pbay_str name;
};

/* CommonRequestHeader */
struct pb_sse_common {
    pbay_str app_id, user_id;
    int64_t cardinality; /* a hint that may be wrong: size nothing by it */
};

/* FunctionRequestHeader */
struct pb_sse_call {
    int32_t function_id;
    pbay_str version;
};

/* ScriptRequestHeader */
struct pb_sse_script {
    pbay_str script;
    uint32_t function_type; /* PB_SSE_* */
    uint32_t returns;       /* PBAY_NUM, PBAY_STR or PBAY_DUAL */
    uint32_t n_params;
    struct pb_sse_param *params;
};

int pb_sse_read_common(pbay_str msg, struct pb_sse_common *out, struct pb_arena *a,
                       struct pb_err *err) PB_NODISCARD;
int pb_sse_read_call(pbay_str msg, struct pb_sse_call *out, struct pb_arena *a,
                     struct pb_err *err) PB_NODISCARD;
int pb_sse_read_script(pbay_str msg, struct pb_sse_script *out, struct pb_arena *a,
                       struct pb_err *err) PB_NODISCARD;

/* FunctionDefinition */
struct pb_sse_function {
    pbay_str name;
    uint32_t function_type; /* PB_SSE_* */
    uint32_t returns;
    uint32_t n_params;
    const struct pb_sse_param *params;
    int32_t id;
};

/* Capabilities */
struct pb_sse_capabilities {
    bool allow_script;
    uint32_t n_functions;
    const struct pb_sse_function *functions;
    pbay_str identifier, version;
};

/* TableDescription */
struct pb_sse_table {
    pbay_str name;
    uint32_t n_fields;
    const struct pb_sse_param *fields;
    int64_t rows; /* 0: not known */
};

/* Append the encoded message. Texts hold no NUL. JSON columns are written as strings. */
void pb_sse_write_capabilities(const struct pb_sse_capabilities *c, struct pb_buf *out);
void pb_sse_write_table(const struct pb_sse_table *t, struct pb_buf *out);

/* Between the columns' kinds and the protocol's DataType (0 STRING, 1 NUMERIC, 2 DUAL). */
uint32_t pb_sse_datatype(uint32_t kind);
/* False: no such type. */
bool pb_sse_kind(uint64_t datatype, uint32_t *kind);
