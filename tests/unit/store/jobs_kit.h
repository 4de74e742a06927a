/* SPDX-License-Identifier: MIT */
/* What the suites of jobs share: one store per test, its clock stopped, and verbs that must succeed. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/jobs.h"
#include "store_suite.h"

static struct pb_store *s;
static struct pb_err err;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) != 0) fail_msg("%s", err.msg);                                                            \
    } while (0)
#define REFUSED(call, why)                                                                                   \
    do {                                                                                                     \
        assert_int_equal((call), -1);                                                                        \
        assert_int_equal(err.code, (why));                                                                   \
    } while (0)

static inline int set_up(void **state)
{
    suite_setup(state);
    pb_clock_fake(1000000);
    s = suite_open();
    return 0;
}

static inline int tear_down(void **state)
{
    pb_store_close(s);
    return suite_teardown(state);
}

static inline void put(struct pb_job_put in, char id[PB_ID_SIZE])
{
    char here[PB_ID_SIZE];
    bool known;
    if (!in.queue.n) in.queue = PB_STR("q");
    if (!in.action.n) in.action = PB_STR("c.act");
    OK(pb_store_job_put(s, &in, id ? id : here, &known, &err));
    assert_false(known);
}

static inline size_t claim_in(const char *queue, uint32_t max, struct pb_jobs *out)
{
    pbay_str q = pb_str_c(queue);
    struct pb_claim c = {.queues = queue ? &q : NULL,
                         .n_queues = queue != NULL,
                         .owner = PB_STR("me"),
                         .lease_ms = 1000,
                         .max = max};
    OK(pb_store_job_claim(s, &c, out, &err));
    return out->n;
}

/* The one job that can be claimed now; pb_free. NULL: none. */
static inline struct pb_job *claim(void)
{
    struct pb_jobs list;
    size_t n = claim_in(NULL, 1, &list);
    struct pb_job *job = n ? list.items[0] : NULL;
    list.n = 0;
    pb_jobs_free(&list);
    return job;
}

static inline void nothing(void)
{
    struct pb_job *job = claim();
    if (job) fail_msg("claimed %s", job->action.p);
}

static inline struct pb_job *get(const char *id)
{
    struct pb_job *job;
    OK(pb_store_job_get(s, pb_str_c(id), PB_STR(""), &job, &err));
    return job;
}

static inline void state_is(const char *id, enum pb_job_state want)
{
    struct pb_job *job = get(id);
    if (job->state != want)
        fail_msg("job is %s, not %s", pb_job_state_name(job->state), pb_job_state_name(want));
    pb_free(job);
}

static inline int64_t due(void)
{
    int64_t ms;
    OK(pb_store_job_due(s, NULL, 0, &ms, &err));
    return ms;
}

static inline struct pb_err failure(int32_t code, uint32_t effect)
{
    struct pb_err e = {0};
    pb_fail(&e, code, "the other side said %d", code);
    e.effect = effect;
    e.vendor_status = 418;
    snprintf(e.vendor_code, sizeof e.vendor_code, "Teapot");
    return e;
}
