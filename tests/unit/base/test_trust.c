/* SPDX-License-Identifier: MIT */
/* Files that somebody else could change are refused, by whatever name they are reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/trust.h"

static char root[64];

static const char *in(const char *name)
{
    static char paths[4][128];
    static unsigned turn;
    char *p = paths[turn++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", root, name);
    return p;
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/pb-trust-XXXXXX");
    if (!mkdtemp(root) || mkdir(in("good"), 0755) || mkdir(in("open"), 0777) || chmod(in("open"), 0777))
        return -1;
    int fd = open(in("good/f"), O_CREAT | O_WRONLY, 0644);
    int other = open(in("open/f"), O_CREAT | O_WRONLY, 0644);
    if (fd < 0 || other < 0 || write(fd, "x", 1) != 1) return -1;
    close(fd);
    close(other);
    return symlink(in("good/f"), in("good/link")) || symlink(in("good/f"), in("open/link"));
}

static int teardown(void **state)
{
    (void)state;
    const char *names[] = {"good/link", "open/link", "good/f", "open/f", "good/pipe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in(names[i]));
    rmdir(in("good"));
    rmdir(in("open"));
    return rmdir(root);
}

static void good(const char *name)
{
    struct pb_err err;
    int fd = pb_trust_open(in(name), &err);
    if (fd < 0) fail_msg("%s", err.msg);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

static void bad(const char *name, int32_t code, const char *says)
{
    struct pb_err err;
    assert_int_equal(pb_trust_open(in(name), &err), -1);
    if (err.code != code || !strstr(err.msg, says))
        fail_msg("%d %s, wanted %d %s", err.code, err.msg, code, says);
}

static void test_modes(void **state)
{
    (void)state;
    good("good/f");
    good("good/link");
    chmod(in("good/f"), 0664);
    bad("good/f", PBAY_PERMISSION_DENIED, "writable by its group (mode 0664): chmod go-w ");
    chmod(in("good/f"), 0646);
    bad("good/link", PBAY_PERMISSION_DENIED, "writable by everybody");
    chmod(in("good/f"), 0600);
    good("good/f");
    bad("good", PBAY_INVALID_ARGUMENT, "not a regular file");
    bad("good/none", PBAY_NOT_FOUND, "No such file");
    assert_int_equal(mkfifo(in("good/pipe"), 0600), 0);
    bad("good/pipe", PBAY_INVALID_ARGUMENT, "not a regular file");
}

/* The file is fine, but whoever may write the directory can put another in its place. */
static void test_directories(void **state)
{
    (void)state;
    struct pb_err err;
    bad("open/f", PBAY_PERMISSION_DENIED, "this directory is writable by everybody");
    bad("open/link", PBAY_PERMISSION_DENIED, "/open: this directory is writable by everybody");
    chmod(in("open"), 01777);
    good("open/f");
    chmod(in("open"), 0777);
    assert_int_equal(pb_trust_open_dir(in("open"), &err), -1);
    int dir = pb_trust_open_dir(in("good"), &err);
    if (dir < 0) fail_msg("%s", err.msg);
    int fd = pb_trust_open_at(dir, in("good"), "f", &err);
    if (fd < 0) fail_msg("%s", err.msg);
    close(fd);
    assert_int_equal(pb_trust_open_at(dir, in("good"), "g", &err), -1);
    assert_non_null(strstr(err.msg, "/good/g"));
    close(dir);
    /* By a relative name too. */
    char *cwd = getcwd(NULL, 0);
    assert_int_equal(chdir(in("open")), 0);
    assert_int_equal(pb_trust_open("f", &err), -1);
    assert_int_equal(chdir(in("good")), 0);
    fd = pb_trust_open("f", &err);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(chdir(cwd), 0);
    free(cwd);
}

static void test_owner(void **state)
{
    (void)state;
    if (geteuid() != 0) skip(); /* only root can give files away */
    assert_int_equal(chown(in("good/f"), 12345, 0), 0);
    bad("good/f", PBAY_PERMISSION_DENIED, "belongs to user 12345");
    assert_int_equal(chown(in("good/f"), 0, 0), 0);
    assert_int_equal(chown(in("good"), 12345, 0), 0);
    bad("good/f", PBAY_PERMISSION_DENIED, "this directory belongs to user 12345");
    assert_int_equal(chown(in("good"), 0, 0), 0);
    good("good/f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_modes), cmocka_unit_test(test_directories),
                                       cmocka_unit_test(test_owner)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
