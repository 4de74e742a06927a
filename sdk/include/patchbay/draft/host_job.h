/* SPDX-License-Identifier: MIT */
/*
 * Draft: service pbay.host.job/1: durable work of a connector: enqueue, park a running call, ask for results.
 *
 * All callbacks: [loop], never from inside the function. Input and results: up to 64 MiB, never parsed by the
 * queue.
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_JOB "pbay.host.job/1"

#define PBAY_JOB_WAITING 1u
#define PBAY_JOB_RUNNING 2u
#define PBAY_JOB_DONE    3u
#define PBAY_JOB_FAILED  4u
#define PBAY_JOB_UNKNOWN 5u /* it may have happened: a person decides */

/* Borrowed until the callback returns. */
typedef struct pbay_job_state {
    uint32_t struct_size;
    uint32_t state; /* PBAY_JOB_* */
    pbay_str id;
    pbay_str content_type; /* of the result */
    pbay_str result;       /* DONE */
    pbay_result failure;   /* FAILED, UNKNOWN */
} pbay_job_state;

typedef void (*pbay_job_found)(void *user, const pbay_result *result, const pbay_job_state *job);

typedef struct pbay_job_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* An action of this connector, once per key. found: with its id and state, when it is on disk. */
    void (*enqueue)(const pbay_host *host, pbay_str action, pbay_str json, pbay_str key, int64_t run_at_ms,
                    pbay_job_found found, void *user);
    /*
     * A running invocation becomes a durable job under the key: input is stored first, then found is called
     * (time to answer 202). It goes on under the job's lease and ends with `finish`; after a crash `resume`
     * of the connector's route gets the input again. Known already: found tells its state, and the invocation
     * is the caller's to cancel.
     */
    void (*park)(const pbay_host *host, uint64_t invoke, pbay_str key, pbay_str input, pbay_job_found found,
                 void *user);
    /* The encoded reply of a parked job. */
    void (*finish)(const pbay_host *host, pbay_str id, const pbay_result *result, pbay_str content_type,
                   pbay_str body);
    void (*find)(const pbay_host *host, pbay_str key, pbay_job_found found, void *user);
    void (*result)(const pbay_host *host, pbay_str id, pbay_job_found found, void *user);
    void (*cancel)(const pbay_host *host, pbay_str id);
    /* Called with the input of parked jobs whose process died. Set in `create`. */
    void (*on_resume)(const pbay_host *host,
                      void (*resume)(void *user, pbay_str id, pbay_str key, pbay_str input), void *user);
} pbay_job_1;

#ifdef __cplusplus
}
#endif
