/* SPDX-License-Identifier: MIT */
#include "crash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/async.h"
#include "store/events.h"

enum { AT_ONCE = 16 };

struct writing {
    struct pb_store_op op;
    struct crash_told told;
};

static struct pb_store_async *async;
static uint32_t next_number;
static int tell;

static int put_number(struct pb_store *s, uint32_t number, char id[PB_ID_SIZE], bool *known,
                      struct pb_err *err)
{
    char key[16];
    snprintf(key, sizeof key, "k%u", number);
    pbay_str k = pb_str_c(key);
    struct pb_job_put job = {.queue = PB_STR("q"), .action = PB_STR("a.b"), .key = k, .args = PB_STR("{}")};
    struct pb_event_put in = {
        .connector = PB_STR("c"), .type = PB_STR("t"), .keys = &k, .n_keys = 1, .jobs = &job, .n_jobs = 1};
    return pb_store_event_put(s, &in, id, known, err);
}

static int write_one(struct pb_store *s, void *user, struct pb_err *err)
{
    struct writing *w = user;
    bool known;
    return put_number(s, w->told.number, w->told.id, &known, err);
}

static void written(void *user, const struct pb_err *err)
{
    struct writing *w = user;
    if (err) {
        fprintf(stderr, "%s\n", err->msg);
        _exit(2);
    }
    if (write(tell, &w->told, sizeof w->told) != (ssize_t)sizeof w->told) _exit(3);
    w->told.number = next_number++;
    pb_store_post(async, &w->op);
}

static void write_for_ever(const char *url)
{
    static struct writing ops[AT_ONCE];
    struct pb_store *s;
    struct pb_err err = {0};
    if (pb_store_open(url, &s, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(1);
    }
    struct pb_loop *loop = pb_loop_new(NULL);
    async = pb_store_async_new(loop, s);
    for (int i = 0; i < AT_ONCE; i++) {
        ops[i].op = (struct pb_store_op){.run = write_one, .done = written, .user = &ops[i]};
        ops[i].told.number = next_number++;
        pb_store_post(async, &ops[i].op);
    }
    pb_loop_run(loop);
    _exit(4);
}

pid_t crash_writer(const char *url, uint32_t first, int *answers)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        tell = ends[1];
        next_number = first;
        write_for_ever(url);
    }
    close(ends[1]);
    *answers = ends[0];
    return pid;
}

void crash_check(const char *url, const struct crash_told *told, size_t n)
{
    struct pb_store *s;
    struct pb_err err = {0};
    if (pb_store_open(url, &s, &err) != 0) fail_msg("%s", err.msg);
    for (size_t i = 0; i < n; i++) {
        char id[PB_ID_SIZE], key[16];
        bool known = false;
        struct pb_job *job;
        if (put_number(s, told[i].number, id, &known, &err) != 0) fail_msg("%s", err.msg);
        if (!known) fail_msg("event k%u was acknowledged and is gone", told[i].number);
        assert_string_equal(id, told[i].id);
        snprintf(key, sizeof key, "k%u", told[i].number);
        if (pb_store_job_get(s, PB_STR(""), pb_str_c(key), &job, &err) != 0) fail_msg("%s", err.msg);
        assert_true(pb_str_is(job->cause, id));
        pb_free(job);
    }
    if (pb_store_check(s, false, &err) != 0) fail_msg("%s", err.msg);
    pb_store_close(s);
}

int crash_rounds(int few, int many)
{
    const char *soak = getenv("PATCHBAY_SOAK");
    if (!soak) soak = getenv("SOAK");
    return soak && strcmp(soak, "1") == 0 ? many : few;
}
