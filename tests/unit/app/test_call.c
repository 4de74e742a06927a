/* SPDX-License-Identifier: MIT */
/* `patchbay call` against an SSE plugin of grpcio (tests/peers/sse_peer.py): exit codes, messages, every byte
 * out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "app/cmd_call.h"
#include "base/buf.h"
#include "peer.h"

static struct peer peer;
static char address[32];

/* What one run said. */
static struct {
    int code;
    struct pb_buf out, err;
} ran;

static int start_peer(void **state)
{
    (void)state;
    if (peer_start(&peer, PB_TESTS_DIR "/peers/sse_peer.py")) return -1;
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.ports[0]);
    return chdir(peer.dir);
}

static int stop_peer(void **state)
{
    (void)state;
    pb_buf_free(&ran.out);
    pb_buf_free(&ran.err);
    return peer_stop(&peer);
}

static void slurp(const char *path, struct pb_buf *b)
{
    pb_buf_reset(b, 1 << 20);
    FILE *f = fopen(path, "r");
    if (!f) return;
    size_t n;
    do {
        char *to = pb_buf_room(b, 1 << 16);
        n = fread(to, 1, 1 << 16, f);
        b->n += n;
    } while (n);
    fclose(f);
    pb_buf_room(b, 1)[0] = 0;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* In a child, so that output and exit are real; input: a file for fd 0; sig: sent once it runs. */
static void run_with(const char *input, int sig, const char *const *args)
{
    char *argv[24] = {(char *)(uintptr_t) "call"};
    int argc = 1;
    for (; *args; args++) argv[argc++] = (char *)(uintptr_t)*args;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int out = open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0600),
            err = open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (input) {
            /* A pipe, not a file. */
            int fds[2];
            if (pipe(fds)) _exit(99);
            if (fork() == 0) {
                struct pb_buf b = {0};
                slurp(input, &b);
                ssize_t n = 0;
                for (size_t at = 0; at < b.n && n >= 0; at += (size_t)n)
                    n = write(fds[1], b.p + at, b.n - at);
                _exit(0);
            }
            dup2(fds[0], 0);
            close(fds[0]);
            close(fds[1]);
        }
        dup2(out, 1);
        dup2(err, 2);
        int code = pb_cmd_call(argc, argv);
        fflush(NULL);
        exit(code);
    }
    if (sig) {
        /* The call is about to begin when its output is there. */
        struct stat st;
        for (int i = 0; i < 6000 && stat("out.csv.partial", &st); i++) usleep(10000);
        kill(pid, sig);
    }
    int status;
    waitpid(pid, &status, 0);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    slurp("stdout", &ran.out);
    slurp("stderr", &ran.err);
}

#define RUN(...)                run_with(NULL, 0, (const char *const[]){__VA_ARGS__, "-a", address, NULL})
#define RUN_FROM(input, ...)    run_with(input, 0, (const char *const[]){__VA_ARGS__, "-a", address, NULL})
#define RUN_SIGNALLED(sig, ...) run_with(NULL, sig, (const char *const[]){__VA_ARGS__, "-a", address, NULL})
#define EXPECT(want_code, want_err)                                                                          \
    do {                                                                                                     \
        if (ran.code != (want_code) || !strstr(ran.err.p, want_err))                                         \
            fail_msg("exit %d: %s", ran.code, ran.err.p);                                                    \
    } while (0)
#define EXPECT_OUT(text)                                                                                     \
    do {                                                                                                     \
        if (ran.code) fail_msg("exit %d: %s", ran.code, ran.err.p);                                          \
        assert_string_equal(ran.out.p, text);                                                                \
        assert_int_equal(ran.err.n, 0);                                                                      \
    } while (0)

static void test_map(void **state)
{
    (void)state;
    /* By name in any case and order, columns that are not asked for stay; CRLF, quotes, no newline at the
     * end. */
    put("in.csv", "\xef\xbb\xbfid,B,\"a\"\r\n\"x,\"\"1\"\"\",1,2\n\n\"two\nlines\",,5\r\nthree,\"1.5\",2e3");
    RUN("add", "in.csv");
    EXPECT_OUT("id,B,\"a\",add\n\"x,\"\"1\"\"\",1,2,3\n\"two\nlines\",,5,\nthree,\"1.5\",2e3,2001.5\n");
    RUN("ADD", "in.csv", "--columns", "a, a", "--name", "double, it", "--rows-per-bundle", "1");
    EXPECT_OUT(
        "id,B,\"a\",\"double, it\"\n\"x,\"\"1\"\"\",1,2,4\n\"two\nlines\",,5,10\nthree,\"1.5\",2e3,4000\n");
    /* By position; one column: an empty line is a row. */
    put("one.csv", "word\nab\n\n\"say \"\"c\"\"\"\n5\" pipe\n");
    RUN("upper", "one.csv", "-q");
    EXPECT_OUT("word,upper\nab,AB\n,\n\"say \"\"c\"\"\",\"SAY \"\"C\"\"\"\n5\" pipe,\"5\"\" PIPE\"\n");
    RUN_FROM("one.csv", "upper", "-");
    EXPECT_OUT("word,upper\nab,AB\n,\n\"say \"\"c\"\"\",\"SAY \"\"C\"\"\"\n5\" pipe,\"5\"\" PIPE\"\n");
    put("dual.csv", "d\n7\nseven\n");
    RUN("both", "dual.csv");
    EXPECT_OUT("d,both\n7,7\nseven,seven\n");
    put("none.csv", "a,b\n");
    RUN("add", "none.csv");
    EXPECT_OUT("a,b,add\n");
}

static void test_aggregate_and_table(void **state)
{
    (void)state;
    put("x.csv", "x\n3\n4.5\n\n");
    RUN("total", "x.csv", "--columns", "x");
    EXPECT_OUT("total\n\n"); /* a sum with a null in it is NaN, which is a null again */
    put("x.csv", "x\n3\n4.5\n");
    RUN("total", "x.csv", "--name", "sum");
    EXPECT_OUT("sum\n7.5\n");
    RUN("table", "x.csv");
    EXPECT_OUT("i,a name\n0,\"say \"\"0\"\"\"\n1,\"say \"\"1\"\"\"\n2,\"say \"\"2\"\"\"\n");
    RUN("table", "x.csv", "--name", "y");
    EXPECT(1, "--name names one column; the answer has 2");
    RUN("who", "--user", "UserDirectory=X; UserId=Zo\xc3\xab", "--app", "b4a3");
    EXPECT_OUT("who\nb4a3|UserDirectory=X; UserId=Zo\xc3\xab\n");
}

static void test_output_file(void **state)
{
    (void)state;
    struct pb_buf b = {0};
    struct stat st;
    put("in.csv", "a,b\n1,2\n");
    RUN("add", "in.csv", "-o", "in.csv"); /* in its own place */
    EXPECT_OUT("");
    slurp("in.csv", &b);
    assert_string_equal(b.p, "a,b,add\n1,2,3\n");
    RUN("short", "in.csv", "--columns=a", "-o", "out.csv");
    EXPECT(1, "INTERNAL: the gateway has answered 0 rows of 1");
    assert_int_equal(stat("out.csv", &st), -1);
    assert_int_equal(stat("out.csv.partial", &st), -1);
    RUN("add", "in.csv", "-o", "/dev/null");
    EXPECT_OUT("");
    RUN("add", "in.csv", "-o", "/nowhere/out.csv");
    EXPECT(1, "/nowhere/out.csv.partial: No such file");
    pb_buf_free(&b);
}

static void test_errors(void **state)
{
    (void)state;
    put("x.csv", "x\n1\n2\n3\n4\n");
    RUN("wide", "x.csv");
    EXPECT(1, "patchbay call: INTERNAL: the gateway has answered 5 rows, and was sent only 4\n");
    RUN("fail", "x.csv", "--rows-per-bundle", "1");
    EXPECT(1, "patchbay call: RESOURCE_EXHAUSTED: the tank is l\xc3\xa4"
              "er\\x1b[31m\n");
    RUN("hang", "x.csv", "--timeout", "300ms");
    EXPECT(1, "DEADLINE_EXCEEDED");
    RUN("totl", "x.csv");
    EXPECT(1, "NOT_FOUND: no function \"totl\"; did you mean \"total\"? the gateway has: add, upper, both");
    RUN("add", "x.csv");
    EXPECT(2, "add takes a, b; x.csv has x: say which is which with --columns");
    RUN("add", "x.csv", "--columns", "x,y");
    EXPECT(2, "--columns: no column \"y\"");
    RUN("add", "x.csv", "--columns", "x");
    EXPECT(2, "--columns names 1 columns; add takes 2");
    RUN("add");
    EXPECT(2, "add takes 2 parameters: give a file");
    RUN("add", "x.csv", "--colums", "x");
    EXPECT(2, "unknown option \"--colums\"; did you mean --columns?");
    RUN("add", "x.csv", "--timeout", "soon");
    EXPECT(2, "--timeout soon");
    RUN("add", "x.csv", "--rows-per-bundle", "0");
    EXPECT(2, "--rows-per-bundle 0");
    RUN("add", "x.csv", "y.csv");
    EXPECT(2, "too many arguments");
    run_with(NULL, 0, (const char *const[]){"add", "--columns", NULL});
    EXPECT(2, "--columns needs a value");
    run_with(NULL, 0, (const char *const[]){NULL});
    EXPECT(2, "too few arguments");
    run_with(NULL, 0, (const char *const[]){"add", "x.csv", "-a", "127.0.0.1:1", NULL});
    EXPECT(3, "nothing listens on 127.0.0.1:1: is the gateway running?");
    run_with(NULL, 0, (const char *const[]){"add", "x.csv", "-a", "nonsense", NULL});
    EXPECT(2, "HOST:PORT is expected");
    run_with(NULL, 0, (const char *const[]){"--help", NULL});
    EXPECT(0, "");
    assert_non_null(strstr(ran.out.p, "usage: patchbay call [OPTION...] FUNCTION [FILE.csv|-]\n"));
    assert_non_null(strstr(ran.out.p, "  -o, --output FILE           where the answer goes"));
}

static void test_bad_files(void **state)
{
    (void)state;
    RUN("add", "missing.csv");
    EXPECT(4, "missing.csv: No such file");
    RUN("add", ".");
    EXPECT(4, "is a directory");
    put("bad.csv", "");
    RUN("add", "bad.csv");
    EXPECT(4, "bad.csv: is empty; a header line is expected");
    put("bad.csv", "a,b\n1,2\n3,x y\n");
    RUN("add", "bad.csv");
    EXPECT(4, "bad.csv:3: \"x y\" is no number, as parameter b wants it");
    put("bad.csv", "a,b\n\"1\n\",2\n3\n");
    RUN("add", "bad.csv");
    EXPECT(4, "bad.csv:4: 1 fields; the header has 2");
    put("bad.csv", "a,b\n1,\"2\n3,4\n");
    RUN("add", "bad.csv");
    EXPECT(4, "bad.csv:2: a quote is not closed");
    put("bad.csv", "a,b\n1,\"2\"3\n");
    RUN("add", "bad.csv");
    EXPECT(4, "bad.csv:2: text after a closing quote");
    put("bad.csv", "a,b\n1,\xff\n");
    RUN("add", "bad.csv");
    EXPECT(4, "bad.csv:2: not valid UTF-8");
}

static void test_interrupted(void **state)
{
    (void)state;
    put("x.csv", "x\n1\n");
    RUN_SIGNALLED(SIGINT, "hang", "x.csv", "-o", "out.csv");
    assert_int_equal(ran.code, 130);
    struct stat st;
    assert_int_equal(stat("out.csv.partial", &st), -1);
    RUN_SIGNALLED(SIGTERM, "hang", "x.csv", "-o", "out.csv");
    assert_int_equal(ran.code, 143);
}

/* Every row of a large file beside its own answer, from a file and from a pipe, and from a server that
 * answers late. */
static void test_many_rows(void **state)
{
    (void)state;
    enum { ROWS = 200000 };
    FILE *f = fopen("many.csv", "w");
    fputs("word,n\n", f);
    for (int i = 0; i < ROWS; i++) fprintf(f, "w%d-%0*d,%d\n", i, i % 37 + 1, i, i);
    fclose(f);
    struct pb_buf want = {0};
    for (int run = 0; run < 3; run++) {
        const char *fn = run == 2 ? "late" : "upper";
        if (run == 0)
            RUN(fn, "many.csv", "-c", "word");
        else
            RUN_FROM("many.csv", fn, "-", "-c", "word");
        assert_int_equal(ran.code, 0);
        pb_buf_reset(&want, 1 << 24);
        pb_buf_printf(&want, "word,n,%s\n", fn);
        for (int i = 0; i < ROWS; i++)
            pb_buf_printf(&want, "w%d-%0*d,%d,%c%d-%0*d\n", i, i % 37 + 1, i, i, run == 2 ? 'w' : 'W', i,
                          i % 37 + 1, i);
        assert_int_equal(want.n, ran.out.n);
        assert_memory_equal(want.p, ran.out.p, want.n);
    }
    pb_buf_free(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),         cmocka_unit_test(test_aggregate_and_table),
        cmocka_unit_test(test_output_file), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bad_files),   cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_many_rows),
    };
    return cmocka_run_group_tests(tests, start_peer, stop_peer);
}
