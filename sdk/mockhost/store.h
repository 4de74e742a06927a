/* SPDX-License-Identifier: MIT */
/* What the services that stand on the store share: answers on a later turn. */
#pragma once

#include <patchbay/host_event.h>
#include <patchbay/host_job.h>

#include "mockhost/mock.h"

/* One answer under way; holds the instance until it is told. */
struct pb_mock_answer {
    struct pb_mock_later later; /* first */
    struct pb_connector *connector;
    void (*tell)(struct pb_mock_answer *a);
    void *user;
    struct pb_err err; /* code OK: it went well */
    struct pb_buf value;
    int64_t after_ms;
    uint32_t n, job;
    bool known;
    void (*got)(void *user, const pbay_result *result, pbay_str value);
    void (*put)(void *user, const pbay_result *result);
    void (*taken)(void *user, const pbay_result *result, int64_t after_ms);
    void (*stored)(void *user, const pbay_result *result, uint32_t n_new);
    pbay_job_found found;
};

/* tell(a) on a later turn; what it tells is filled in until then. */
struct pb_mock_answer *pb_mock_answer_new(struct pb_connector *c, void (*tell)(struct pb_mock_answer *a),
                                          void *user);
/* 0; -1 with err: not now. */
int pb_mock_store_usable(struct pb_connector *c, const char *service, struct pb_err *err);
/* asks.c: pbay.host.event/1 polled. */
extern void (*const pb_mock_polled)(uint64_t, const pbay_result *, const pbay_event *, uint32_t, pbay_str,
                                    int);
