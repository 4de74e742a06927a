/* SPDX-License-Identifier: MIT */
/* What the plugin was asked, and how it ended: shared by calls.c and asks.c. */
#pragma once

#include "mockhost/mock.h"

enum pb_mock_kind {
    PB_MOCK_MAP,
    PB_MOCK_STREAM,
    PB_MOCK_ACTION,
    PB_MOCK_POLL,
    PB_MOCK_REQUEST,
    PB_MOCK_COMMAND,
    PB_MOCK_RESOLVE
};

struct pbay_mock_call {
    struct pbay_mock_call *next;
    struct pbay_mock *m;
    enum pb_mock_kind kind;
    char *name;         /* of the function, the action, ... */
    bool ended, held;   /* held: the plugin owes an answer still, though nobody waits */
    struct pb_err err;  /* code PBAY_OK: it went well */
    pbay_result result; /* of err, made when it is asked for */
    uint32_t flags;
    struct pb_buf text;
    /* rows */
    struct pb_declared *function;
    struct pb_op_call *op_call; /* NULL: over */
    struct pbay_builder *out;   /* a map's answer, kept for its batch */
    const pbay_batch *batch;
    uint32_t rows_sent, rows_came;
    bool hold, ready, pushed_later;
    struct pb_buf columns;
    /* actions */
    struct pb_action_call *attempt;
    struct pb_action_info info;
    int action;
    struct pb_arena mem; /* what info points into, and of requests */
    int64_t poll_after_ms;
    /* the rest */
    uint64_t handle; /* poll, request */
    uint32_t index;  /* source, route, scheme */
    struct pb_command_run *run;
    int32_t status;
    struct pb_mock_headers headers;
    pbay_request_info request;
    bool own_auth;
};

struct pbay_mock_call *pb_mock_call_new(struct pbay_mock *m, enum pb_mock_kind kind, const char *name);
/* It ended so; err NULL: well. A second end is a fault. */
void pb_mock_call_end(struct pbay_mock_call *c, const struct pb_err *err);
/* The instance, or NULL and a fault: there is none, or (started) it was not started. */
struct pb_connector *pb_mock_instance(struct pbay_mock *m, bool started);
/* The one that the plugin calls by this handle, of those that have not ended; NULL: none. */
struct pbay_mock_call *pb_mock_call_of(enum pb_mock_kind kind, uint64_t handle);
/* pbay_mock_cancel for what calls.c does not know. */
void pb_mock_ask_cancel(struct pbay_mock_call *c);
