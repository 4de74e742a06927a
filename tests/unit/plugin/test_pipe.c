/* SPDX-License-Identifier: MIT */
/* The socket between a worker and a connector's process, where somebody stands still until he is answered. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/batch.h"
#include "plugin/apart_page.h"
#include "plugin/apart_pipe.h"
#include "plugin/apart_wire.h"

static struct pb_loop *loop;
static struct pb_pipe *pipe_;
static int other; /* its end */
static uint64_t heard[64];
static int n_heard, n_ends;
static uint64_t waits_for; /* an urgent message has its handler wait, too */

static void on_message(void *user, uint32_t type, uint64_t handle, pbay_str body)
{
    pbay_str reply;
    (void)user, (void)body;
    heard[n_heard++] = handle;
    if (!pb_apart_urgent(type) || !waits_for) return;
    assert_int_equal(pb_pipe_wait(pipe_, waits_for, 0, -1, &reply), PB_PIPE_REPLIED);
    assert_true(pb_str_is(reply, "inner"));
}

static void on_end(void *user)
{
    (void)user;
    n_ends++;
}

static int set_up(void **state)
{
    static const struct pb_pipe_fns fns = {on_message, on_end};
    struct pb_err err;
    int ends[2];
    (void)state;
    n_heard = n_ends = 0;
    waits_for = 0;
    loop = pb_loop_new(&err);
    if (!loop || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) return -1;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    other = ends[1];
    pipe_ = pb_pipe_new(loop, ends[0], &fns, NULL, &err);
    return pipe_ ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pb_pipe_close(pipe_);
    close(other);
    pb_loop_free(loop);
    return 0;
}

/* The other side says something. */
static void say(uint32_t type, uint64_t handle, const char *text)
{
    struct {
        uint32_t n, type;
        uint64_t handle;
        char text[16];
    } m = {(uint32_t)strlen(text), type, handle, ""};
    memcpy(m.text, text, m.n);
    size_t n = offsetof(__typeof__(m), text) + m.n;
    assert_int_equal(write(other, &m, n), n);
}

static void heard_are(const uint64_t *handles, int n)
{
    assert_int_equal(n_heard, n);
    assert_memory_equal(heard, handles, (size_t)n * sizeof *handles);
}

static void test_out_of_its_turn(void **state)
{
    const uint64_t want[] = {1, 2, 3, 4};
    pbay_str body;
    (void)state;
    say(PB_APART_EMIT, 1, "rows");
    say(PB_APART_EMIT, 2, "");
    say(PB_APART_REPLY, 7, "reply");
    say(PB_APART_EMIT, 3, "");
    assert_int_equal(pb_pipe_wait(pipe_, 7, 0, -1, &body), PB_PIPE_REPLIED);
    assert_true(pb_str_is(body, "reply"));
    assert_int_equal(n_heard, 0);
    /* More comes before the loop has turned. */
    say(PB_APART_COMPLETE, 4, "");
    pb_pipe_read(pipe_);
    heard_are(want, 4);
    pb_loop_turn(loop, false);
    heard_are(want, 4);
}

/* Who waits within a wait leaves the outer one's reply to it. */
static void test_waits_within(void **state)
{
    const uint64_t urgent[] = {5}, all[] = {5, 1};
    pbay_str body;
    (void)state;
    waits_for = 9;
    say(PB_APART_EMIT, 1, "");
    say(PB_APART_SECRET_GET, 5, "");
    say(PB_APART_REPLY, 8, "outer");
    say(PB_APART_REPLY, 9, "inner");
    assert_int_equal(pb_pipe_wait(pipe_, 8, 0, 10000, &body), PB_PIPE_REPLIED);
    assert_true(pb_str_is(body, "outer"));
    heard_are(urgent, 1);
    pb_loop_turn(loop, false);
    heard_are(all, 2);
}

/* More than the socket takes. */
static void write_much(void)
{
    static char much[8 << 20];
    pb_buf_add(pb_pipe_begin(pipe_, PB_APART_PUSH, 1), much, sizeof much);
    pb_pipe_commit(pipe_);
}

static void test_nobody_reads(void **state)
{
    pbay_str body;
    (void)state;
    write_much();
    assert_int_equal(pb_pipe_wait(pipe_, 1, 0, 50, &body), PB_PIPE_LATE);
    assert_int_equal(n_ends, 0);
}

/* It reads when it has written all of it. */
static void *writes_first(void *user)
{
    static char much[8 << 20];
    const uint32_t n = sizeof much;
    const struct {
        uint32_t n, type;
        uint64_t handle;
    } m = {n, PB_APART_EMIT, 2};
    (void)user;
    if (write(other, &m, sizeof m) != sizeof m) return NULL;
    for (size_t at = 0; at < n;) at += (size_t)write(other, much + at, n - at);
    for (size_t got = 0; got < n + sizeof m;) got += (size_t)read(other, much, n);
    say(PB_APART_REPLY, 7, "");
    return NULL;
}

static void test_both_write(void **state)
{
    pthread_t thread;
    pbay_str body;
    (void)state;
    write_much();
    assert_int_equal(pthread_create(&thread, NULL, writes_first, NULL), 0);
    assert_int_equal(pb_pipe_wait(pipe_, 7, 0, -1, &body), PB_PIPE_REPLIED);
    pthread_join(thread, NULL);
    pb_loop_turn(loop, false);
    assert_int_equal(n_heard, 1);
}

static void test_gone(void **state)
{
    const uint64_t want[] = {1};
    pbay_str body;
    (void)state;
    say(PB_APART_EMIT, 1, "");
    shutdown(other, SHUT_RDWR);
    assert_int_equal(pb_pipe_wait(pipe_, 7, 0, -1, &body), PB_PIPE_GONE);
    while (!n_ends) pb_loop_turn(loop, false);
    heard_are(want, 1); /* the last that it said counts */
}

static void test_no_message(void **state)
{
    const uint32_t head[4] = {UINT32_MAX, PB_APART_EMIT, 1, 0};
    (void)state;
    assert_int_equal(write(other, head, sizeof head), sizeof head);
    while (!n_ends) pb_loop_turn(loop, true);
    pb_pipe_send(pipe_, PB_APART_PING, 0); /* to nobody */
    assert_int_equal(pb_pipe_waiting(pipe_), 0);
    assert_int_equal(n_heard, 0);
}

/* ------------------------------------------------------------------------------------------------ rows */

struct reader {
    struct pb_pipe *pipe;
    bool skips, by_ring;
    uint32_t n_rows, n_messages;
};

static void on_rows(void *user, uint32_t type, uint64_t handle, pbay_str body)
{
    struct reader *r = user;
    struct pb_in in = pb_in_of(body);
    struct pb_err err;
    size_t bytes;
    (void)type, (void)handle;
    r->n_messages++;
    r->by_ring = body.n < 100;
    if (r->skips) {
        pb_pipe_skip_rows(r->pipe, &in);
        return;
    }
    struct pbay_builder *b = pb_pipe_rows(r->pipe, &in, &bytes, &err);
    assert_non_null(b);
    r->n_rows = pb_builder_rows(b);
    pb_builder_unref(b);
}

static void push(const pbay_batch *rows, struct reader *r)
{
    uint32_t n = r->n_messages;
    pb_pipe_put_rows(pipe_, pb_pipe_begin(pipe_, PB_APART_PUSH, 1), rows);
    pb_pipe_commit(pipe_);
    while (r->n_messages == n) pb_loop_turn(loop, true);
}

/* Long rows go by shared memory, one way of which is as good as full here; also when nobody wanted some. */
static void test_ring(void **state)
{
    enum { ROWS = 400000 };
    static const struct pb_pipe_fns fns = {on_rows, on_end};
    static struct pb_apart_page page;
    struct pb_err err;
    struct reader r = {0};
    struct pbay_builder *b = pb_builder_new();
    (void)state;
    pb_builder_column(b, PB_STR("x"), PBAY_NUM);
    for (int i = 0; i < ROWS; i++) pb_put_num(b, 0, i);
    const pbay_batch *rows = pb_builder_seal(b, &err);
    fcntl(other, F_SETFL, O_NONBLOCK);
    r.pipe = pb_pipe_new(loop, dup(other), &fns, &r, &err);
    pb_pipe_share(pipe_, &page, true);
    pb_pipe_share(r.pipe, &page, false);
    for (int i = 0; i < 4; i++) {
        r.skips = i % 2;
        r.n_rows = 0;
        push(rows, &r);
        assert_true(r.by_ring);
        assert_int_equal(r.n_rows, r.skips ? 0 : ROWS);
    }
    pb_builder_unref(b);
    pb_pipe_close(r.pipe);
    pb_builder_pool_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_out_of_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waits_within, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ring, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
