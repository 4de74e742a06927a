/* SPDX-License-Identifier: MIT */
/* Option tables: the lint that a plugin's must pass, and what is printed from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/options.h"

static void lints(const pbay_option *o, uint32_t n, const char *msg)
{
    pbay_option_table t = {o, n, sizeof *o};
    const pbay_option_table *const tables[] = {&t};
    struct pb_err err = {0};
    int rc = pb_options_lint(tables, 1, &err);
    assert_string_equal(err.msg, msg);
    assert_int_equal(rc, *msg ? -1 : 0);
}

static void one(const char *name, uint32_t type, uint32_t flags, const char *dflt, const char *choices,
                const char *doc, const char *msg)
{
    pbay_option o = {name, type, flags, dflt, choices, doc};
    lints(&o, 1, msg);
}

static void test_lint(void **state)
{
    (void)state;
    one("ok", PBAY_OPT_STR, 0, "", NULL, "A text.", "");
    one("Bad", PBAY_OPT_STR, 0, NULL, NULL, "x", "option name \"Bad\" is not [a-z][a-z0-9_]*");
    one("a-b", PBAY_OPT_STR, 0, NULL, NULL, "x", "option name \"a-b\" is not [a-z][a-z0-9_]*");
    one(NULL, PBAY_OPT_STR, 0, NULL, NULL, "x", "option name \"\" is not [a-z][a-z0-9_]*");
    one("a", 0, 0, NULL, NULL, "x", "option a: type 0 is unknown");
    one("a", 11, 0, NULL, NULL, "x", "option a: type 11 is unknown");
    one("a", PBAY_OPT_STR, 8, NULL, NULL, "x", "option a: flags 0x8 are unknown");
    one("a", PBAY_OPT_STR, 0, NULL, NULL, NULL, "option a: doc is missing");
    one("a", PBAY_OPT_STR, 0, NULL, NULL, "  ", "option a: doc is missing");
    one("a", PBAY_OPT_STR, 0, NULL, "x|y", "x", "option a: choices \"x|y\" on a type that has none");
    one("a", PBAY_OPT_ENUM, 0, NULL, NULL, "x", "option a: an ENUM without choices");
    one("a", PBAY_OPT_ENUM, 0, NULL, "x||y", "x", "option a: choices \"x||y\": one is empty or twice there");
    one("a", PBAY_OPT_ENUM, 0, NULL, "x|x", "x", "option a: choices \"x|x\": one is empty or twice there");
    one("a", PBAY_OPT_ENUM, 0, "z", "x|y", "x",
        "option a: the default cannot be read: \"z\"; expected one of x, y");
    one("a", PBAY_OPT_INT, 0, "5", "1..4", "x",
        "option a: the default cannot be read: \"5\" is out of range; expected 1..4");
    one("a", PBAY_OPT_INT, 0, NULL, "4..1", "x", "option a: choices \"4..1\" is not MIN..MAX");
    one("a", PBAY_OPT_INT, 0, NULL, "..", "x", "option a: choices \"..\" is not MIN..MAX");
    one("a", PBAY_OPT_INT, 0, NULL, "a..b", "x", "option a: choices \"a..b\" is not MIN..MAX");
    one("a", PBAY_OPT_INT, 0, NULL, "5", "x", "option a: choices \"5\" is not MIN..MAX");
    one("a", PBAY_OPT_NUM, 0, "0.5", "0.25..", "x", "");
    one("a", PBAY_OPT_DURATION, 0, "1m", "1s..1h", "x", "");
    one("a", PBAY_OPT_SIZE, 0, "1m", "1k..1G", "x", "");
    one("a", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, "b", NULL, "x", "option a: REQUIRED with a default");
    one("a", PBAY_OPT_STR, PBAY_OPTF_SECRET, "b", NULL, "x", "option a: SECRET with a default");
    one("a", PBAY_OPT_FAMILY, 0, "b", NULL, "x", "option a: a FAMILY with a default");
    one("a", PBAY_OPT_FILE, PBAY_OPTF_PER_CALL, NULL, NULL, "x", "option a: a FILE cannot be set per call");
    one("a", PBAY_OPT_STR, PBAY_OPTF_PER_CALL | PBAY_OPTF_SECRET, NULL, NULL, "x",
        "option a: a SECRET cannot be set per call");
    const pbay_option twice[] = {{"a", PBAY_OPT_STR, 0, NULL, NULL, "x"},
                                 {"a", PBAY_OPT_INT, 0, NULL, NULL, "x"}};
    lints(twice, 2, "option a stands twice");
    pbay_option_table t = {twice, 1, sizeof *twice}, none = {NULL, 0, 0};
    const pbay_option_table *const tables[] = {&t, NULL, &none, &t};
    struct pb_err err = {0};
    assert_int_equal(pb_options_lint(tables, 3, &err), 0);
    assert_int_equal(pb_options_lint(tables, 4, &err), -1);
    assert_string_equal(err.msg, "option a: the gateway itself has a key of this name in the same section");
    t.stride = 8;
    assert_int_equal(pb_options_lint(tables, 1, &err), -1);
    assert_string_equal(err.msg, "option table: stride 8 is less than the 40 of an option");
}

/* A plugin built with a later header has longer options. */
static void test_stride(void **state)
{
    (void)state;
    struct longer {
        pbay_option o;
        const char *more;
    };
    const struct longer options[] = {
        {{"a", PBAY_OPT_STR, 0, NULL, NULL, "x"}, "?"},
        {{"b", PBAY_OPT_FAMILY, 0, NULL, NULL, "x"}, "?"},
    };
    pbay_option_table t = {&options[0].o, 2, sizeof *options};
    assert_ptr_equal(pb_option_find(&t, PB_STR("a")), &options[0].o);
    assert_ptr_equal(pb_option_find(&t, PB_STR("b.c")), &options[1].o);
    assert_null(pb_option_find(&t, PB_STR("b")));
    assert_null(pb_option_find(&t, PB_STR("b.")));
    assert_null(pb_option_find(&t, PB_STR("a.c")));
}

static void test_texts(void **state)
{
    (void)state;
    const pbay_option options[] = {
        {"region", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Where it is."},
        {"format", PBAY_OPT_ENUM, PBAY_OPTF_PER_CALL, "csv", "csv|json", "Rows: a|b."},
        {"header", PBAY_OPT_FAMILY, PBAY_OPTF_SECRET, NULL, NULL,
         "Header fields that are sent with every request, whatever the operation; the name goes on the wire "
         "as it is."},
        {"rows", PBAY_OPT_INT, 0, "5", "1..9", "How many."},
    };
    pbay_option_table t = {options, 4, sizeof *options};
    struct pb_buf b = {0};
    pb_options_help(&t, &b);
    pb_buf_ch(&b, '\0');
    assert_string_equal(b.p, "  region    text, required\n      Where it is.\n"
                             "  format    one of csv, json, per call, default csv\n      Rows: a|b.\n"
                             "  header.NAME    texts by name, secret\n"
                             "      Header fields that are sent with every request, whatever the operation;\n"
                             "      the name goes on the wire as it is.\n"
                             "  rows    whole number, 1..9, default 5\n      How many.\n");
    b.n = 0;
    t.count = 2;
    pb_options_markdown(&t, &b);
    pb_buf_ch(&b, '\0');
    assert_string_equal(b.p, "| Key | Value | Default | Meaning |\n|---|---|---|---|\n"
                             "| `region` | text, required | | Where it is. |\n"
                             "| `format` | one of csv, json, per call | `csv` | Rows: a\\|b. |\n");
    pb_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lint),
        cmocka_unit_test(test_stride),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
