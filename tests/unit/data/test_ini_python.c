/* SPDX-License-Identifier: MIT */
/*
 * Python's own configparser says what the second dialect means: generated texts and the fuzz corpus go
 * through both. PB_SEED=n repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "data/ini.h"

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((rng >> 33) % n);
}

/*
 * Pieces that configparser treats specially, or nearly. Capitals beyond ASCII are left out: data/ini.h says
 * why.
 */
static const char *const pieces[] = {
    "[",
    "]",
    "[a]\n",
    "[B c]\n",
    "[DEFAULT]\n",
    "[DEFAULT]\r\n",
    "[a]x\n",
    "[]\n",
    "[]]\n",
    "[ s ] ; c\n",
    "k",
    "K",
    "key",
    "=",
    ":",
    " = ",
    "k = v\n",
    "l: w\n",
    "m=\n",
    "N = x y  ; z\n",
    "url = https://h:1/?a=%20%%\n",
    " ",
    "  ",
    "\t",
    "   more\n",
    "\tmore\n",
    "      deeper = x\n",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "  \n",
    "#",
    ";",
    "# c\n",
    "  ; c\n",
    "%",
    "\"",
    "\\",
    "\xc3\xa9",
    "\xe6\xbc\xa2",
    "\xf0\x9f\x98\x80",
    "\xc2\xa0",
    "\xc2\x85",
    "\xe2\x80\x83",
    "\xe3\x80\x80",
    "\xe2\x80\xa8",
    "\xef\xbb\xbf",
    "\xe1\x9a\x80",
    "\x1c",
    "\x1f",
    "\x0b",
    "\x0c",
    "\x01",
};

static void generate(struct pb_buf *b)
{
    uint32_t n = below(24);
    b->n = 0;
    if (below(10)) pb_buf_c(b, "[s]\n");
    while (n--) {
        pb_buf_c(b, pieces[below(PB_COUNTOF(pieces))]);
        if (below(6) == 0) {
            /* A name of its own keeps some files free of duplicates. */
            pb_buf_printf(b, "%sk%u%sv", below(4) ? "\n" : "\n  ", below(1000), below(2) ? " = " : ":");
        }
    }
}

static void hex(struct pb_buf *b, pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) pb_buf_printf(b, "%02x", (unsigned char)s.p[i]);
}

static void dump_section(const struct pb_ini_section *sec, struct pb_buf *b)
{
    pb_buf_c(b, "section ");
    hex(b, sec->kind);
    pb_buf_ch(b, '\n');
    for (size_t i = 0; i < sec->n; i++) {
        hex(b, sec->entries[i].key);
        pb_buf_ch(b, '=');
        hex(b, sec->entries[i].value);
        pb_buf_ch(b, '\n');
    }
}

static void dump(pbay_str text, struct pb_buf *b)
{
    struct pb_ini *doc;
    struct pb_err err;
    if (pb_ini_parse("x", text, PB_INI_PYTHON, &doc, &err) != 0) {
        pb_buf_c(b, "error\n");
        return;
    }
    if (doc->defaults && doc->defaults->n) dump_section(doc->defaults, b);
    for (size_t i = 0; i < doc->n; i++) dump_section(doc->sections[i], b);
    pb_buf_c(b, "end\n");
    pb_ini_free(doc);
}

static void read_all(const char *path, struct pb_buf *b)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be opened", path);
    for (size_t n; (n = fread(pb_buf_room(b, 65536), 1, 65536, f)) > 0;) b->n += n;
    fclose(f);
}

struct cases {
    struct pb_buf texts; /* "LENGTH\n" and the bytes of each */
    struct pb_buf ours;  /* their dumps */
    size_t n, accepted;
};

static void add_case(struct cases *c, pbay_str text)
{
    if (text.n && memchr(text.p, 0, text.n)) return; /* Python takes NUL, we do not */
    pb_buf_printf(&c->texts, "%zu\n", text.n);
    pb_buf_str(&c->texts, text);
    size_t before = c->ours.n;
    dump(text, &c->ours);
    c->accepted += c->ours.p[before] != 'e' || c->ours.p[before + 1] == 'n';
    c->n++;
}

/* Of case `at`: for the message. */
static pbay_str nth(pbay_str texts, size_t at)
{
    for (;;) {
        size_t n = strtoul(texts.p, NULL, 10), skip = pb_str_chr(texts, '\n') + 1;
        pbay_str one = pb_str(texts.p + skip, n);
        if (!at--) return one;
        texts = pb_str(one.p + n, texts.n - skip - n);
    }
}

static void compare(const struct cases *c, pbay_str theirs)
{
    pbay_str a = pb_buf_view(&c->ours), b = theirs, la, lb;
    size_t at = 0;
    while (pb_str_split(&a, '\n', &la)) {
        if (!pb_str_split(&b, '\n', &lb) || !pb_str_eq(la, lb)) {
            struct pb_buf show = {0};
            pb_buf_json(&show, nth(pb_buf_view(&c->texts), at));
            fail_msg("text %zu %.*s\n  ours   %.*s\n  python %.*s", at, PB_FMT(pb_buf_view(&show)),
                     PB_FMT(la), PB_FMT(lb));
        }
        at += pb_str_is(la, "end") || pb_str_is(la, "error");
    }
    assert_null(b.p);
    assert_int_equal(at, c->n);
}

static void ask_python(const char *in, const char *out)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/usr/bin/python3", "python3", PB_TESTS_DIR "/unit/data/ini_oracle.py", in, out, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void run(struct cases *c)
{
    char dir[] = "/tmp/pb-ini-XXXXXX", in[64], out[64];
    assert_non_null(mkdtemp(dir));
    snprintf(in, sizeof in, "%s/in", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    FILE *f = fopen(in, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(c->texts.p, 1, c->texts.n, f), c->texts.n);
    fclose(f);
    ask_python(in, out);
    struct pb_buf theirs = {0};
    read_all(out, &theirs);
    unlink(in);
    unlink(out);
    rmdir(dir);
    compare(c, pb_buf_view(&theirs));
    print_message("%zu texts, %zu accepted\n", c->n, c->accepted);
    pb_buf_free(&theirs);
    pb_buf_free(&c->texts);
    pb_buf_free(&c->ours);
}

static void test_generated(void **state)
{
    (void)state;
    const char *given = getenv("PB_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 1000003u + (uint64_t)time(NULL);
    print_message("PB_SEED=%llu\n", (unsigned long long)seed);
    rng = seed;
    struct cases c = {0};
    struct pb_buf text = {0};
    for (int i = 0; i < 5000; i++) {
        generate(&text);
        add_case(&c, pb_buf_view(&text));
    }
    /* A generator that only makes errors, or none, compares nothing. */
    assert_in_range(c.accepted, 500, 4500);
    run(&c);
    pb_buf_free(&text);
}

static void test_corpus(void **state)
{
    (void)state;
    static const char corpus[] = PB_TESTS_DIR "/fuzz/corpus/ini";
    struct cases c = {0};
    DIR *d = opendir(corpus);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        char path[1024];
        struct pb_buf text = {0};
        snprintf(path, sizeof path, "%s/%s", corpus, e->d_name);
        read_all(path, &text);
        if (text.n) add_case(&c, pb_str(text.p + 1, text.n - 1)); /* the first byte picks a dialect */
        pb_buf_free(&text);
    }
    closedir(d);
    struct pb_buf text = {0};
    read_all(PB_TESTS_DIR "/data/qrag/sagemaker/config/qrag.ini", &text);
    add_case(&c, pb_buf_view(&text));
    pb_buf_free(&text);
    assert_true(c.accepted > 0);
    run(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
