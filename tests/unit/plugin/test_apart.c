/* SPDX-License-Identifier: MIT */
/* The worker's side of a connector in a process of its own, at moments that scenarios do not meet. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/ini.h"
#include "plugin/apart_priv.h"
#include "plugin/command.h"
#include "plugin/harness.h"
#include "plugin/operation.h"

static const char *const lines[] = {"isolation = process", NULL};

/* ------------------------------------------------------------------------------------------------ commands
 */

static void on_print(void *user, pbay_str text)
{
    (void)user, (void)text;
}

static void on_progress(void *user, uint64_t at, uint64_t total, pbay_str what)
{
    (void)user, (void)at, (void)total, (void)what;
}

static void on_done(void *user, const struct pb_err *err)
{
    assert_int_equal(err->code, PBAY_OK);
    *(bool *)user = true;
}

static void start(struct pb_connector *c, const char *verb, bool *done)
{
    static const struct pb_command_sink sink = {on_print, on_progress, on_done};
    size_t taken;
    int at = pb_command_find(c->plugin, &verb, 1, &taken);
    const pbay_option_table *tables[] = {&c->plugin->command_table[at].arguments};
    const struct pb_config_env cenv = {"/", NULL, NULL};
    struct pbay_config *cfg;
    struct pb_ini *ini;
    struct pb_err err;
    if (pb_ini_parse("test.ini", PB_STR("[arguments]\nfull_name = Kim\n"), PB_INI_OURS, &ini, &err) ||
        pb_config_make(ini->sections[0], tables, 1, &cenv, &cfg, &err))
        fail_msg("%s", err.msg);
    pb_ini_free(ini);
    *done = false;
    pb_command_start(c, (uint32_t)at, cfg, &sink, done);
}

/* While the plugin waits for an answer, nothing else happens to it; the ping comes in between all the same.
 */
static void test_ping_in_a_question(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("one", lines);
    struct pb_apart *a = c->self;
    bool early, after;
    start(c, "early", &early);
    for (int i = 0; i < 20; i++) {
        pb_pipe_send(a->pipe, PB_APART_PING, 0);
        pb_pipe_flush(a->pipe);
        usleep(5000);
    }
    while (!early) turn();
    start(c, "greet", &after);
    while (!after) turn();
    assert_int_equal(pb_connector_stats(c)->crashes, 0);
    assert_true(close_connector(c, 1000));
}

/* ------------------------------------------------------------------------------------------------ binding */

/* A connector whose process is this test. */
struct fake {
    struct pb_plugin plugin;
    struct pb_connector c;
    struct pb_apart a;
    int process;
};

static void on_message(void *user, uint32_t type, uint64_t handle, pbay_str body)
{
    (void)user, (void)type, (void)handle, (void)body;
}

static void on_end(void *user)
{
    (void)user;
}

static void fake_open(struct fake *f)
{
    static const struct pb_pipe_fns fns = {on_message, on_end};
    static pbay_operation operation = {"echo", "", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}};
    static char name[] = "fake";
    struct pb_err err;
    int ends[2];
    *f = (struct fake){.plugin = {.name = "fake", .apart = true, .fd = -1, .operations = &operation}};
    f->c =
        (struct pb_connector){.magic = PB_CONNECTOR_MAGIC, .name = name, .plugin = &f->plugin, .env = &env};
    f->a = (struct pb_apart){.c = &f->c, .phase = PB_APART_UP, .page_fd = -1, .hang_ms = 60000};
    f->c.self = &f->a;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    f->process = ends[1];
    f->a.pipe = pb_pipe_new(loop, ends[0], &fns, &f->a, &err);
}

static void fake_close(struct fake *f)
{
    pb_pipe_close(f->a.pipe);
    close(f->process);
    pb_handles_free(&f->a.bound_ids);
}

/* What the process would read next: its type, and the number that its body begins with. */
static uint32_t hears(struct fake *f, uint64_t *number)
{
    struct {
        uint32_t n, type;
        uint64_t handle;
    } head;
    char body[4096];
    pb_pipe_flush(f->a.pipe);
    *number = 0;
    if (recv(f->process, &head, sizeof head, 0) != sizeof head) return 0;
    assert_true(head.n <= sizeof body);
    if (head.n) assert_int_equal(recv(f->process, body, head.n, 0), head.n);
    *number = head.handle;
    if (head.n >= sizeof *number) memcpy(number, body, sizeof *number);
    return head.type;
}

/* A gateway that serves waits a moment for a process that does not answer, and what comes of it later goes.
 */
static void test_late_bind(void **state)
{
    (void)state;
    struct fake f;
    const pbay_function_info info = {.struct_size = sizeof info, .name = PB_STR("F")};
    pbay_result why = PBAY_RESULT_OK;
    void *bound = NULL;
    uint64_t asked, given_back;
    fake_open(&f);
    f.c.started = true; /* its plugin has no `start`, so nobody was told */
    int64_t before = pb_mono_ns();
    assert_int_equal(pb_apart_functions.bind(&f.a, &info, &bound, &why), PBAY_UNAVAILABLE);
    assert_true(pb_mono_ns() - before < f.a.hang_ms * PB_MS / 2);
    assert_int_equal(hears(&f, &asked), PB_APART_BIND);
    assert_int_equal(hears(&f, &given_back), PB_APART_UNBIND);
    assert_int_equal(given_back, asked);
    fake_close(&f);
}

/* ------------------------------------------------------------------------------------------------ ends */

static int n_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

/* Ended and started again many times, with an operation bound: nothing is left of those before. */
static void test_many_ends(void **state)
{
    (void)state;
    const int n = getenv("SOAK") ? 1000 : 10;
    const pbay_function_info info = {.struct_size = sizeof info, .name = PB_STR("F")};
    struct pb_err err;
    struct pb_connector *c = make_connector("one", lines);
    struct pb_apart *a = c->self;
    struct pb_op *op = pb_op_bind(c, PB_STR("echo"), &info, &err);
    if (!op) fail_msg("%s", err.msg);
    int before = n_descriptors();
    for (int i = 0; i < n; i++) {
        bool done;
        kill(a->pid, SIGKILL);
        while (a->phase == PB_APART_UP) turn();
        assert_int_equal(a->pid, 0);
        a->backoff_ms = 0;
        pb_timer_set(loop, &a->again, 0);
        while (a->phase != PB_APART_UP) turn();
        start(c, "greet", &done);
        while (!done) turn();
    }
    assert_int_equal(n_descriptors(), before);
    assert_int_equal(pb_connector_stats(c)->crashes, n);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* the one that lives */
    pb_op_unbind(op);
    assert_true(close_connector(c, 1000));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void on_call(void *user, struct pb_op_answer *answer)
{
    assert_non_null(answer->err);
    *(int32_t *)user = answer->err->code;
    pb_builder_unref(answer->out);
}

/* Closed while its process stands still with a call, is gone, or is being made again: it ends cleanly. */
static void test_closed_at_odd_times(void **state)
{
    enum { STANDS, GONE, COMES, TIMES };
    (void)state;
    const pbay_function_info info = {.struct_size = sizeof info, .name = PB_STR("F")};
    const struct pb_op_context_info who = {.deadline_ns = PB_NO_DEADLINE};
    for (int when = STANDS; when < TIMES; when++) {
        struct pb_err err;
        struct pb_connector *c = make_connector("one", lines);
        struct pb_apart *a = c->self;
        struct pb_op *op = pb_op_bind(c, PB_STR("never"), &info, &err);
        if (!op) fail_msg("%s", err.msg);
        struct pb_op_context *ctx = pb_op_context_new(&who);
        struct pbay_builder *b = pb_builder_new();
        pb_builder_column(b, PB_STR("x"), PBAY_NUM);
        pb_put_num(b, 0, 1);
        int32_t code = 0;
        if (pb_op_submit(op, ctx, 1, pb_builder_seal(b, &err), b, 0, 1, on_call, &code, NULL, &err))
            fail_msg("%s", err.msg);
        pb_builder_unref(b);
        pb_op_context_unref(ctx);
        if (when == STANDS)
            kill(a->pid, SIGSTOP);
        else {
            kill(a->pid, SIGKILL);
            while (a->phase == PB_APART_UP) turn();
        }
        while (when == COMES && a->phase != PB_APART_STARTING) turn();
        pb_op_unbind(op);
        assert_true(close_connector(c, 50));
        assert_int_equal(code, PBAY_UNAVAILABLE);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
}

/* ------------------------------------------------------------------------------------------------ main */

static int open_harness(void **state)
{
    (void)state;
    harness_open();
    return 0;
}

static int close_harness(void **state)
{
    (void)state;
    harness_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_in_a_question),
        cmocka_unit_test(test_late_bind),
        cmocka_unit_test(test_many_ends),
        cmocka_unit_test(test_closed_at_odd_times),
    };
    return cmocka_run_group_tests(tests, open_harness, close_harness);
}
