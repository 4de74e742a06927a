/* SPDX-License-Identifier: MIT */
/* A store that is away, and comes back: what is refused, what is told, and that a damaged file stays as it
 * is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/async.h"

static char dir[64], *url, *path;
static struct pb_loop *loop;
static struct pb_store_async *async;
static struct pb_store *given;
static struct pb_err why;
static bool done, closed;
static int n_opened, n_changed;
static struct pb_err got;

static void opened(struct pb_store *s, void *user)
{
    (void)s;
    (void)user;
    n_opened++;
}

static void changed(void *user)
{
    (void)user;
    n_changed++;
}

static int put(struct pb_store *s, void *user, struct pb_err *err)
{
    return pb_store_kv_put(s, PB_STR("x"), PB_STR("k"), pb_str_c(user), NULL, 0, err);
}

static void put_done(void *user, const struct pb_err *err)
{
    (void)user;
    got = err ? *err : (struct pb_err){.code = PBAY_OK};
    done = true;
}

static int32_t try(void)
{
    static char text[] = "v";
    static struct pb_store_op op;
    op = (struct pb_store_op){.run = put, .done = put_done, .user = text};
    done = false;
    pb_store_post(async, &op);
    while (!done) pb_loop_turn(loop, true);
    return got.code;
}

static void begin(void)
{
    struct pb_err err;
    loop = pb_loop_new(&err);
    n_opened = n_changed = 0;
    closed = false;
    if (pb_store_open(url, &given, &why) != 0) given = NULL;
    async = pb_store_async_new_idle(loop, given);
    pb_store_async_keep(async, url, &why, opened, changed, NULL);
    pb_store_async_start(async);
}

static void on_closed(void *user)
{
    *(bool *)user = true;
}

static void end(void)
{
    pb_store_async_close(async, on_closed, &closed);
    while (!closed) pb_loop_turn(loop, true);
    pb_loop_free(loop);
}

static bool up(void)
{
    struct pb_store_health h;
    pb_store_async_health(async, &h);
    return h.up;
}

static void await_up(void)
{
    struct pb_timer t = {.fn = changed};
    while (!up()) {
        pb_timer_set(loop, &t, 20);
        pb_loop_turn(loop, true);
    }
    pb_timer_cancel(&t);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/pb-absence-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    url = pb_sprintf("sqlite:%s/sub/state.db", dir);
    path = pb_sprintf("%s/sub/state.db", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    PB_AUTO_FREE char *all = pb_sprintf("rm -rf %s", dir);
    pb_free(url);
    pb_free(path);
    return system(all);
}

static void sub(bool is_there)
{
    PB_AUTO_FREE char *name = pb_sprintf("%s/sub", dir);
    if (is_there) {
        assert_int_equal(unlink(name), 0);
        assert_int_equal(mkdir(name, 0700), 0);
    } else {
        int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
}

static void test_not_there(void **state)
{
    (void)state;
    struct pb_store_health h;
    sub(false);
    begin();
    assert_int_equal(try(), PBAY_UNAVAILABLE);
    assert_true(pb_store_is_away(&got));
    assert_null(strstr(got.msg, dir)); /* callers do not learn where it is */
    pb_store_async_health(async, &h);
    assert_false(h.up);
    assert_non_null(strstr(h.why.msg, dir));
    sub(true);
    await_up();
    assert_int_equal(n_opened, 1);
    assert_int_equal(try(), PBAY_OK);
    assert_true(n_changed >= 1);
    end();
}

static void test_damaged(void **state)
{
    (void)state;
    char junk[4096], now[4096];
    PB_AUTO_FREE char *name = pb_sprintf("%s/sub", dir);
    assert_int_equal(mkdir(name, 0700), 0);
    memset(junk, 0x5a, sizeof junk);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
    begin();
    assert_null(given);
    for (int i = 0; i < 3; i++) assert_int_equal(try(), PBAY_UNAVAILABLE);
    assert_non_null(strstr(got.msg, "damaged"));
    assert_int_equal(pread(fd, now, sizeof now, 0), sizeof now);
    assert_memory_equal(now, junk, sizeof junk);
    close(fd);
    assert_int_equal(unlink(path), 0); /* moved away: a new one */
    await_up();
    assert_int_equal(try(), PBAY_OK);
    end();
}

/* It ends also while the store is away. */
static void test_end(void **state)
{
    (void)state;
    sub(false);
    begin();
    end();
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(test_not_there), T(test_damaged), T(test_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
