/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/owner.h"

static bool gone(const char *owner)
{
    return pb_owner_gone(pb_str_c(owner));
}

/* Its text as another process writes it, which then ends; reaped tells whether somebody noticed. */
static void child(bool reaped)
{
    int to[2], hold[2];
    char text[128] = "";
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(hold), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(hold[1]);
        PB_AUTO_FREE char *own = pb_owner_make(3);
        ssize_t n = write(to[1], own, strlen(own));
        n = read(hold[0], text, 1);
        _exit(n != 0);
    }
    assert_true(read(to[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "worker 3, pid "));
    assert_false(gone(text));
    close(hold[0]);
    close(hold[1]);
    if (reaped) {
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_true(gone(text));
    } else {
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0); /* a zombie */
        assert_true(gone(text));
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    close(to[0]);
    close(to[1]);
}

static void test_processes(void **state)
{
    (void)state;
    PB_AUTO_FREE char *own = pb_owner_make(0);
    assert_false(gone(own));
    child(true);
    child(false);
}

/* What this machine cannot tell is not gone. */
static void test_strangers(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "me",
                                        "worker 0, pid 1",
                                        "worker 0, pid 99999999 (00000000/1/5)",
                                        "worker 0, pid 1 (",
                                        "worker 0, pid 4711 (5d1c0a7e/4026531836/123456) and more"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_false(gone(texts[i]));
    /* The number of a process that runs, but of one before it. */
    PB_AUTO_FREE char *own = pb_owner_make(0);
    char *slash = strrchr(own, '/');
    PB_AUTO_FREE char *before = pb_sprintf("%.*s/1)", (int)(slash - own), own);
    assert_true(gone(before));
    /* Another name space: a container beside this one. */
    char *first = strchr(own, '/');
    PB_AUTO_FREE char *beside = pb_sprintf("%.*s/1%s", (int)(first - own), own, slash);
    assert_false(gone(beside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_processes), cmocka_unit_test(test_strangers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
