/* SPDX-License-Identifier: MIT */
/* The host's side of the services, by id. Inside of this room. Threads: [any]. */
#pragma once

#include <string.h>

#include <patchbay/host_event.h>

struct pb_connector;

/*
 * A struct that a plugin fills, which may be older and shorter, or newer and longer, than the one known here.
 * One whose size was not set (or is that of a pointer) is a fault of the plugin's; `name` is its type.
 */
void pb_copy_known(void *to, size_t size, const void *from, uint32_t has, const char *name);
struct pb_job;

/* The size for all time of the shortest event: newer hosts know more members. */
enum { PB_EVENT_1_0 = offsetof(pbay_event, data) + sizeof(pbay_str) };

/* The table for an id such as "pbay.host.log/1", or NULL: unknown, or the environment has nothing to make it
 * of. */
const void *pb_service(const struct pb_connector *c, const char *id);

extern const struct pbay_action_1 pb_service_action;
extern const struct pbay_batch_1 pb_service_batch;
extern const struct pbay_call_1 pb_service_call;
extern const struct pbay_chain_1 pb_service_chain;
extern const struct pbay_command_1 pb_service_command;
extern const struct pbay_crypto_1 pb_service_crypto;
extern const struct pbay_event_1 pb_service_event;
extern const struct pbay_http_1 pb_service_http;
extern const struct pbay_invoke_1 pb_service_invoke;
extern const struct pbay_job_1 pb_service_job;
extern const struct pbay_kv_1 pb_service_kv;
extern const struct pbay_limit_1 pb_service_limit;
extern const struct pbay_log_1 pb_service_log;
extern const struct pbay_metric_1 pb_service_metric;
extern const struct pbay_secret_1 pb_service_secret;
extern const struct pbay_resolve_1 pb_service_resolve;
extern const struct pbay_stream_1 pb_service_stream;
extern const struct pbay_timer_1 pb_service_timer;
extern const struct pbay_work_1 pb_service_work;
extern const struct pbay_ws_1 pb_service_ws;

/* Who runs a job that pbay.host.job/1 parked; NULL: the connector resumes none. */
const struct pb_job_handler *pb_service_job_handler(struct pb_connector *c, const struct pb_job *job);
/* It is given up: what it held goes back into the queue. */
void pb_service_job_drop(struct pb_connector *c);
/* Before an instance is destroyed. */
void pb_service_job_free(struct pb_connector *c);

/* Before an instance is destroyed. */
void pb_service_timer_stop(struct pb_connector *c);
/* When it stops: what waits is cancelled; holds the instance until the threads have ended. */
void pb_service_work_stop(struct pb_connector *c);
/* Are all its threads stuck? Then the connector is out. */
void pb_service_work_check(struct pb_connector *c);
