/* SPDX-License-Identifier: MIT */
/* The SQLite engine: the behaviour of every engine, and what only files can do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/async.h"
#include "store_suite.h"

static char *make(void)
{
    char dir[] = "/tmp/pb-store-XXXXXX";
    return mkdtemp(dir) ? pb_sprintf("sqlite:%s/state.db", dir) : NULL;
}

static char *dir_of(const char *url)
{
    return pb_strndup(url + 7, (size_t)(strrchr(url, '/') - url - 7));
}

static void remove_all(const char *url)
{
    char *dir = dir_of(url);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(dir);
    pb_free(dir);
}

static char *url, *path;

static int setup(void **state)
{
    (void)state;
    url = make();
    path = pb_strdup(url + 7);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_all(url);
    pb_free(url);
    pb_free(path);
    return 0;
}

static void refused(const char *with, int32_t code, const char *msg)
{
    struct pb_err err = {0};
    struct pb_store *s = (void *)1;
    assert_int_equal(pb_store_open(with, &s, &err), -1);
    assert_null(s);
    if (!strstr(err.msg, msg)) fail_msg("\"%s\" does not say \"%s\"", err.msg, msg);
    assert_int_equal(err.code, code);
}

static struct pb_store *opened(void)
{
    struct pb_err err = {0};
    struct pb_store *s = NULL;
    if (pb_store_open(url, &s, &err) != 0) fail_msg("%s", err.msg);
    return s;
}

static void mode_is(const char *suffix, unsigned want)
{
    char *p = pb_sprintf("%s%s", path, suffix);
    struct stat st;
    if (stat(p, &st) != 0) fail_msg("%s: %s", p, strerror(errno));
    assert_int_equal(st.st_mode & 07777, want);
    pb_free(p);
}

static void test_modes(void **state)
{
    (void)state;
    mode_t old = umask(0);
    struct pb_store *s = opened();
    mode_is("", 0600);
    mode_is("-wal", 0600);
    mode_is("-shm", 0600);
    mode_is(".lock", 0600);
    pb_store_close(s);
    /* What was copied there with an ordinary mode is closed again. */
    assert_int_equal(chmod(path, 0644), 0);
    pb_store_close(opened());
    mode_is("", 0600);
    umask(old);
}

static void test_whose(void **state)
{
    (void)state;
    char *dir = dir_of(url), *sub = pb_sprintf("sqlite:%s/new/state.db", dir),
         *file = pb_sprintf("%s/new/state.db", dir);
    assert_int_equal(chmod(dir, 0770), 0);
    refused(url, PBAY_PERMISSION_DENIED,
            "can be written by others (mode 0770); run: chmod go-w /tmp/pb-store-");
    assert_int_equal(chmod(dir, 0700), 0);
    refused("sqlite:/proc/state.db", PBAY_PERMISSION_DENIED, "/proc");
    refused("sqlite:/nowhere/at/all/state.db", PBAY_NOT_FOUND,
            "store directory /nowhere/at/all cannot be made");
    /* A missing directory is made, for us alone. */
    struct pb_store *s;
    struct pb_err err = {0};
    assert_int_equal(pb_store_open(sub, &s, &err), 0);
    pb_store_close(s);
    struct stat st;
    *strrchr(file, '/') = 0;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    remove_all(sub);
    pb_free(dir);
    pb_free(sub);
    pb_free(file);
}

static void test_urls(void **state)
{
    (void)state;
    refused("postgres://u:secret@h/db", PBAY_INVALID_ARGUMENT,
            "store url \"postgres:...\": expected sqlite:PATH");
    refused("", PBAY_INVALID_ARGUMENT, "expected sqlite:PATH");
    refused("sqlite:", PBAY_INVALID_ARGUMENT, "expected the path of a file");
    refused("sqlite:/tmp/", PBAY_INVALID_ARGUMENT, "expected the path of a file");
    assert_int_equal(symlink("/etc/passwd", path), 0);
    refused(url, PBAY_PERMISSION_DENIED, "is a symbolic link, not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    refused(url, PBAY_PERMISSION_DENIED, "is a directory, not a regular file");
    assert_int_equal(rmdir(path), 0);
}

static void sql(const char *text)
{
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s", why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_not_ours(void **state)
{
    (void)state;
    sql("CREATE TABLE bookmarks (url TEXT)");
    refused(url, PBAY_FAILED_PRECONDITION, "is another program's SQLite database; correct [store] url");
    assert_int_equal(unlink(path), 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++) fputs("this is a diary, not a database\n", f);
    fclose(f);
    refused(url, PBAY_DATA_LOSS,
            "is not a SQLite database; restore it from a backup, move it away, or correct [store] url");
}

static int32_t id_of(struct pb_store *s, const char *name)
{
    struct pb_err err = {0};
    int32_t id = -1;
    if (pb_store_function_id(s, PB_STR("sse"), pb_str_c(name), -1, &id, &err) != 0) fail_msg("%s", err.msg);
    return id;
}

static void test_schema(void **state)
{
    (void)state;
    struct pb_err err = {0};
    struct pb_store *s = opened();
    assert_int_equal(id_of(s, "a"), 1000);
    pb_store_close(s);
    /* As a version that knew function ids only left it: what is missing is added, what is there stays. */
    sql("DROP TABLE kv; DROP TABLE event_key; DROP TABLE event; DROP TABLE cursor; DROP TABLE lane; DROP "
        "TABLE job;"
        "DROP TABLE blob; DROP TABLE lease; DROP TABLE start; DROP TABLE pause; DROP TABLE audit;"
        "DROP TABLE bundle; DROP TABLE run; DROP TABLE step; DROP TABLE link_state; DROP TABLE decision; "
        "DROP TABLE node;"
        "PRAGMA user_version = 1");
    s = opened();
    assert_int_equal(id_of(s, "a"), 1000);
    assert_int_equal(pb_store_kv_put(s, PB_STR("x"), PB_STR("k"), PB_STR("v"), NULL, 0, &err), 0);
    assert_int_equal(pb_store_check(s, false, &err), 0);
    pb_store_close(s);
    sql("PRAGMA user_version = 99");
    refused(url, PBAY_FAILED_PRECONDITION,
            "has schema 99, written by a newer version; this one knows up to 8: install");
    /* A step that fails changes nothing and names itself. */
    sql("PRAGMA user_version = 1");
    refused(url, PBAY_INTERNAL, "schema 2: store ");
    sql("PRAGMA user_version = 8");
    s = opened();
    assert_int_equal(id_of(s, "a"), 1000);
    pb_store_close(s);
}

static int put(struct pb_store *s, int i, struct pb_err *err)
{
    char key[16], value[3000];
    snprintf(key, sizeof key, "k%d", i);
    memset(value, 'a' + i % 26, sizeof value);
    return pb_store_kv_put(s, PB_STR("x"), pb_str_c(key), pb_str(value, sizeof value), NULL, 0, err);
}

static void test_damaged(void **state)
{
    (void)state;
    struct pb_err err = {0};
    struct pb_store *s = opened();
    for (int i = 0; i < 50; i++) assert_int_equal(put(s, i, &err), 0);
    assert_int_equal(id_of(s, "a"), 1000);
    pb_store_close(s);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    for (off_t page = 50; page < 71; page++)
        assert_int_equal(pwrite(fd, junk, sizeof junk, page * 4096), sizeof junk);
    close(fd);
    s = opened();
    assert_int_equal(pb_store_check(s, false, &err), -1);
    assert_int_equal(err.code, PBAY_DATA_LOSS);
    assert_non_null(strstr(err.msg, "is damaged"));
    int failed = 0;
    for (int i = 0; i < 50 && !failed; i++) {
        struct pb_buf b = {0};
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        if (pb_store_kv_get(s, PB_STR("x"), pb_str_c(key), &b, &err) != 0)
            failed = err.code == PBAY_DATA_LOSS;
        pb_buf_free(&b);
    }
    assert_true(failed);
    assert_non_null(strstr(err.msg, "the file is damaged"));
    pb_store_close(s);
}

static int name_it(struct pb_store *s, int i, int32_t *id, struct pb_err *err)
{
    char name[16];
    snprintf(name, sizeof name, "f%d", i);
    return pb_store_function_id(s, PB_STR("sse"), pb_str_c(name), -1, id, err);
}

/* Write until there is no room, make room, go on. Runs in a child: limits and mounts are a process's. */
static int fill(struct pb_store *s, int (*more_room)(void))
{
    struct pb_err err = {0};
    int n = 0;
    while (n < 5000 && put(s, n, &err) == 0) n++;
    if (err.code != PBAY_RESOURCE_EXHAUSTED || n == 0) {
        fprintf(stderr, "after %d: code %d, %s\n", n, err.code, err.msg);
        return 10;
    }
    if (!strstr(err.msg, "write failed")) return 11;
    /* Something smaller may still fit. */
    int32_t id;
    int ids = 0;
    while (ids < 5000 && name_it(s, ids, &id, &err) == 0 && id == 1000 + ids) ids++;
    if (err.code != PBAY_RESOURCE_EXHAUSTED) return 12;
    if (more_room() != 0) return 13;
    /* Nothing that was acknowledged is lost, nothing of what failed is there. */
    for (int i = 0; i <= n; i++) {
        struct pb_buf b = {0};
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        int rc = pb_store_kv_get(s, PB_STR("x"), pb_str_c(key), &b, &err);
        bool right =
            i < n ? rc == 0 && b.n == 3000 && b.p[0] == 'a' + i % 26 : rc != 0 && err.code == PBAY_NOT_FOUND;
        pb_buf_free(&b);
        if (!right) return 14;
    }
    if (put(s, n, &err) != 0 || pb_store_check(s, false, &err) != 0) return 15;
    for (int i = 0; i <= ids; i++)
        if (name_it(s, i, &id, &err) != 0 || id != 1000 + i) return 16;
    pb_store_close(s);
    return 0;
}

static int raise_limit(void)
{
    struct rlimit lim = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_FSIZE, &lim);
}

static int file_limit(void)
{
    struct rlimit lim = {400000, RLIM_INFINITY};
    struct pb_store *s;
    struct pb_err err;
    signal(SIGXFSZ, SIG_IGN);
    if (pb_store_open(url, &s, &err) != 0 || setrlimit(RLIMIT_FSIZE, &lim) != 0) return 2;
    return fill(s, raise_limit);
}

/* ------------------------------------------------------------------------ the same through the store thread
 */

enum { WRITES = 100 };

struct write {
    struct pb_store_op op;
    int number, times;
    struct pb_err err;
};

static struct pb_loop *loop;
static int out;

static int run_write(struct pb_store *s, void *user, struct pb_err *err)
{
    struct write *w = user;
    w->times++;
    return put(s, w->number, err);
}

static int run_read(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_buf b = {0};
    (void)user;
    int rc = pb_store_kv_get(s, PB_STR("x"), PB_STR("k0"), &b, err);
    pb_buf_free(&b);
    return rc;
}

static void write_done(void *user, const struct pb_err *err)
{
    struct write *w = user;
    if (err)
        w->err = *err;
    else
        w->err.code = 0;
    if (--out == 0) pb_loop_stop(loop);
}

static void stop_loop(void *user)
{
    (void)user;
    pb_loop_stop(loop);
}

static int post_all(struct pb_store_async *a, struct write *w, int n)
{
    int failed = 0;
    out = n;
    for (int i = 0; i < n; i++) pb_store_post(a, &w[i].op);
    pb_loop_run(loop);
    for (int i = 0; i < n; i++) failed += w[i].err.code != 0;
    return failed;
}

/* Each is told that it failed and why; reads go on; when there is room again, so do writes. */
static int full_thread(void)
{
    static struct write writes[WRITES], read;
    struct rlimit lim = {700000, RLIM_INFINITY};
    struct pb_store *s;
    struct pb_err err;
    signal(SIGXFSZ, SIG_IGN);
    if (pb_store_open(url, &s, &err) != 0 || put(s, 0, &err) != 0) return 2;
    if (setrlimit(RLIMIT_FSIZE, &lim) != 0) return 3;
    loop = pb_loop_new(NULL);
    struct pb_store_async *a = pb_store_async_new(loop, s);
    read.op = (struct pb_store_op){.run = run_read, .done = write_done, .user = &read, .reads = true};
    for (int i = 0; i < WRITES; i++) {
        writes[i].op = (struct pb_store_op){.run = run_write, .done = write_done, .user = &writes[i]};
        writes[i].number = i;
    }
    int rounds = 0;
    while (post_all(a, writes, WRITES) < WRITES) {
        for (int i = 0; i < WRITES; i++) writes[i].number += WRITES;
        if (++rounds > 100) return 4;
    }
    for (int i = 0; i < WRITES; i++)
        if (writes[i].err.code != PBAY_UNAVAILABLE) return 5;
    if (strstr(writes[WRITES - 1].err.msg, path)) return 6;
    if (post_all(a, &read, 1) != 0) return 7;
    if (raise_limit() != 0 || post_all(a, writes, WRITES) != 0) return 8;
    pb_store_async_close(a, stop_loop, NULL);
    pb_loop_run(loop);
    pb_loop_free(loop);
    return 0;
}

static char *mounted;

static int remount(const char *options, unsigned long flags)
{
    return mount("tmpfs", mounted, "tmpfs", MS_REMOUNT | flags, options);
}

static int grow_disk(void)
{
    return remount("size=64m", 0);
}

enum { NOT_ALLOWED = 77 };

static int small_disk(void)
{
    struct pb_store *s;
    struct pb_err err;
    mounted = dir_of(url);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", mounted, "tmpfs", 0, "size=1m,mode=0700") != 0)
        return NOT_ALLOWED;
    if (pb_store_open(url, &s, &err) != 0) return 2;
    int rc = fill(s, grow_disk);
    if (rc != 0) return rc;
    if (remount("size=64m", MS_RDONLY) != 0) return 3;
    if (pb_store_open(url, &s, &err) == 0) return 4;
    if (err.code != PBAY_FAILED_PRECONDITION || !strstr(err.msg, path)) return 5;
    pb_free(mounted);
    return 0;
}

static int in_child(int (*what)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(what());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_full(void **state)
{
    (void)state;
    assert_int_equal(in_child(file_limit), 0);
}

static void test_full_thread(void **state)
{
    (void)state;
    assert_int_equal(in_child(full_thread), 0);
}

static void test_full_disk(void **state)
{
    (void)state;
    int rc = in_child(small_disk);
    if (rc == NOT_ALLOWED) {
        print_message("not allowed to mount a small disk here\n");
        skip();
    }
    assert_int_equal(rc, 0);
}

/* A program that does not know our lock, such as sqlite3's shell, is waited for. */
static void test_foreign_writer(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    sqlite3 *db;
    struct pb_err err = {0};
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    /* Readers do not wait. */
    struct pb_buf b = {0};
    assert_int_equal(pb_store_kv_get(s, PB_STR("x"), PB_STR("k"), &b, &err), -1);
    assert_int_equal(err.code, PBAY_NOT_FOUND);
    assert_int_equal(pb_store_kv_put(s, PB_STR("x"), PB_STR("k"), PB_STR("v"), NULL, 0, &err), -1);
    assert_int_equal(err.code, PBAY_UNAVAILABLE);
    assert_int_equal(err.advice, PBAY_ADVICE_RETRY);
    assert_non_null(strstr(err.msg, "another program keeps it locked"));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(pb_store_kv_put(s, PB_STR("x"), PB_STR("k"), PB_STR("v"), NULL, 0, &err), 0);
    sqlite3_close(db);
    pb_store_close(s);
}

int main(void)
{
    static const struct store_factory factory = {"sqlite", make, remove_all};
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_modes),   T(test_whose), T(test_urls),        T(test_not_ours),  T(test_schema),
        T(test_damaged), T(test_full),  T(test_full_thread), T(test_full_disk), T(test_foreign_writer),
    };
    int failed = store_suite_run(&factory);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
