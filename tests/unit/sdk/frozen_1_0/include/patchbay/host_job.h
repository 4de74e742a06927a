/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.job/1: durable work of a connector: enqueue its actions, park what runs long, ask for
 * results, from whichever worker.
 *
 * A batch that takes long is *parked*: its input is stored, the caller is told to come back, and the work
 * goes on where it runs, under a lease that the host renews. Its end is stored by `finish`, for whoever asks.
 * When the process dies, the input is handed to `resume` of the connector in any worker, and the work begins
 * again from there.
 *
 * Keys are the connector's own; 1 to 400 bytes. Input and results: up to 64 MiB, never parsed. All functions
 * and callbacks: [loop]; callbacks never come from inside a function. Callbacks may be NULL where nobody
 * waits.
 *
 * Example: what takes long is parked, and asked for by its key.
 *
 *     static void parked(void *user, const pbay_result *result, const pbay_job_state *job)
 *     {
 *         struct mine *m = user;
 *         if (result->code != PBAY_OK) return; // it goes on as it was, and nobody can ask for it later
 *         m->owed = job->known ? 0 : 1;        // 1: `finish` with job->id (copied) when it has ended
 *     }
 *     static void park(struct mine *m, pbay_str key, pbay_str input)
 *     {
 *         m->job->park(m->host, key, input, 0, parked, m);
 *     }
 *     static void resume(void *user, pbay_str id, pbay_str key, pbay_str input)
 *     {
 *         struct mine *m = user;
 *         const pbay_result ok = PBAY_RESULT_OK;
 *         (void)key;
 *         m->job->finish(m->host, id, &ok, pbay_str_c("text/plain"), input); // usually later
 *     }
 *     static const pbay_job_runner runner = {sizeof runner, 0, resume, NULL}; // on_resume, in `create`
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_JOB "pbay.host.job/1"

#define PBAY_JOB_WAITING   1u /* for its turn, or to be tried again */
#define PBAY_JOB_RUNNING   2u
#define PBAY_JOB_DONE      3u
#define PBAY_JOB_FAILED    4u /* and will not be tried again */
#define PBAY_JOB_UNKNOWN   5u /* it may have happened: a person decides */
#define PBAY_JOB_CANCELLED 6u

/* Borrowed until the callback returns. */
typedef struct pbay_job_state {
    uint32_t struct_size;
    uint32_t state; /* PBAY_JOB_* */
    uint32_t known; /* enqueue, park: there was one with this key, and this is it */
    uint32_t attempt;
    pbay_str id;
    pbay_str content_type; /* DONE, from find and result: as finish gave it; of an action: application/json */
    pbay_str result;
    int64_t expires_ms;  /* UTC, when the result goes; 0: there is none (any more) */
    pbay_result failure; /* what failed last; OK: nothing did */
    pbay_str input;      /* park with known = 1, of a job that has not ended: what it was parked with */
} pbay_job_state;

/* result is OK with a job; NOT_FOUND: there is none; else why the store cannot tell, or did not take it. */
typedef void (*pbay_job_found)(void *user, const pbay_result *result, const pbay_job_state *job);

/* Parked jobs, seen by who runs them. Borrowed for the instance's life. */
typedef struct pbay_job_runner {
    uint32_t struct_size;
    uint32_t reserved;
    /* Run it again from its input (borrowed until return): one `finish` is owed from now on. */
    void (*resume)(void *user, pbay_str id, pbay_str key, pbay_str input);
    /*
     * Advice: somebody cancelled it, or another process has taken it over. `finish` is owed still. May be
     * NULL.
     */
    void (*cancel)(void *user, pbay_str id);
} pbay_job_runner;

typedef struct pbay_job_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * An action of this connector as a job, once per key (empty: always); run_at_ms UTC, 0: now. found: when
     * it is on disk. Its end is the event CONNECTOR.ACTION.done.
     */
    void (*enqueue)(const pbay_host *host, pbay_str action, pbay_str json, pbay_str key, int64_t run_at_ms,
                    pbay_job_found found, void *user);
    /*
     * What runs here becomes a durable job under the key; found(RUNNING, known = 0) when the input is on
     * disk: the time to answer 202. From then on one `finish` with the job's id is owed. known = 1: there is
     * one already, with its state; nothing is owed for it, and what runs here is the caller's to cancel. Any
     * other result: it could not be stored, and the work goes on as it was. keep_ms: how long the result is
     * kept; 0: 12 hours.
     */
    void (*park)(const pbay_host *host, pbay_str key, pbay_str input, int64_t keep_ms, pbay_job_found found,
                 void *user);
    /*
     * The end of a parked or resumed job: its encoded reply; or (result not OK) a failure, after which it is
     * tried again from its input when advice or code say that this can help. An id that is not held here is
     * ignored.
     */
    void (*finish)(const pbay_host *host, pbay_str id, const pbay_result *result, pbay_str content_type,
                   pbay_str body);
    /* By key, or by id: the job with its result. A parked one whose result has expired is NOT_FOUND. */
    void (*find)(const pbay_host *host, pbay_str key, pbay_job_found found, void *user);
    void (*result)(const pbay_host *host, pbay_str id, pbay_job_found found, void *user);
    /* At once when nobody runs it; else its runner is told, and it ends when he does. */
    void (*cancel)(const pbay_host *host, pbay_str id);
    /* In `create`: what resumes parked jobs. Without it `park` is refused. */
    void (*on_resume)(const pbay_host *host, const pbay_job_runner *runner, void *user);
} pbay_job_1;

#ifdef __cplusplus
}
#endif
