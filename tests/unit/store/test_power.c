/* SPDX-License-Identifier: MIT */
/* The power fails: what was not synced is gone, what was acknowledged is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "crash.h"
#include "store/store.h"
#include "sync_shim.h"

static char dir[] = "/tmp/pb-power-XXXXXX";

static void empty(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
}

/* The test of the test: a write that was not synced does go away, one that was does not. */
static void test_shim(void **state)
{
    (void)state;
    char *path = pb_sprintf("%s/file", dir), got[16] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite64(fd, "kept", 4, 0), 4);
    assert_int_equal(fdatasync(fd), 0);
    assert_int_equal(pwrite64(fd, "lost more", 9, 0), 9);
    assert_int_equal(pwrite64(fd, "end", 3, 20), 3);
    assert_int_equal(sync_shim_cut(dir), 2);
    assert_int_equal(pread(fd, got, sizeof got, 0), 4);
    assert_string_equal(got, "kept");
    close(fd);
    unlink(path);
    pb_free(path);
}

static void test_power(void **state)
{
    (void)state;
    static struct crash_told told[100000];
    char *url = pb_sprintf("sqlite:%s/state.db", dir);
    size_t n = 0;
    int rounds = crash_rounds(4, 50), lost = 0;
    for (int round = 0; round < rounds; round++) {
        int answers;
        pid_t pid = crash_writer(url, (uint32_t)round * 100000, &answers);
        uint64_t more = 1 + pb_random_u64() % (uint64_t)crash_rounds(300, 2500);
        for (uint64_t k = 0; k < more; k++)
            assert_int_equal(read(answers, &told[n++], sizeof *told), sizeof *told);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        while (n < PB_COUNTOF(told) && read(answers, &told[n], sizeof *told) == (ssize_t)sizeof *told) n++;
        close(answers);
        int cut = sync_shim_cut(dir);
        assert_true(cut >= 0);
        lost += cut;
        crash_check(url, told, n);
        sync_shim_forget(dir);
    }
    print_message("%zu events acknowledged, %d unsynced writes lost\n", n, lost);
    pb_free(url);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    sync_shim_watch(dir);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shim), cmocka_unit_test(test_power)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    sync_shim_watch(NULL);
    empty();
    rmdir(dir);
    return rc;
}
