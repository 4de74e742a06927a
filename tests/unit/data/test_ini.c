/* SPDX-License-Identifier: MIT */
/*
 * The dialect of patchbay.ini, and what Python's shares with it. Python's own is compared in
 * test_ini_python.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "data/ini.h"

static struct pb_ini *parse(const char *text, enum pb_ini_dialect dialect)
{
    struct pb_err err = {0};
    struct pb_ini *doc = NULL;
    if (pb_ini_parse("t.ini", pb_str_c(text), dialect, &doc, &err) != 0) fail_msg("%s", err.msg);
    return doc;
}

static void refused_n(pbay_str text, enum pb_ini_dialect dialect, const char *msg)
{
    struct pb_err err = {0};
    struct pb_ini *doc = (void *)1;
    assert_int_equal(pb_ini_parse("t.ini", text, dialect, &doc, &err), -1);
    assert_null(doc);
    assert_string_equal(err.msg, msg);
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
}

static void refused(const char *text, const char *msg)
{
    refused_n(pb_str_c(text), PB_INI_OURS, msg);
}

static const struct pb_ini_entry *get(const struct pb_ini *doc, const char *kind, const char *name,
                                      const char *key)
{
    const struct pb_ini_section *sec = pb_ini_find(doc, kind, name);
    if (!sec) fail_msg("no section %s", kind);
    return pb_ini_get(sec, key);
}

static void value_is(const struct pb_ini *doc, const char *kind, const char *name, const char *key,
                     const char *want)
{
    const struct pb_ini_entry *e = get(doc, kind, name, key);
    if (!e) fail_msg("no key %s", key);
    if (!pb_str_is(e->value, want)) fail_msg("%s is \"%.*s\", expected \"%s\"", key, PB_FMT(e->value), want);
}

static void test_whole(void **state)
{
    (void)state;
    struct pb_ini *doc = parse("; a comment\n"
                               "# another\n"
                               "[listen \"sse\"]        ; behind a header\n"
                               "address = 0.0.0.0:50058  ; all of them\n"
                               "  clients=CN=sse_client\n"
                               "\n"
                               "[store]\n"
                               "url = sqlite:/var/lib/x;y ;z\n"
                               "quoted = \"  a \\\"b\\\" \\\\ ; # \\n\\t \"   ; taken whole\n"
                               "empty =\n"
                               "empty2 =   ; nothing\n"
                               "tab = v\t; comment\n"
                               "hash = a  # b\n"
                               "percent = 100%%\xc3\xa9",
                               PB_INI_OURS);
    assert_int_equal(doc->n, 2);
    value_is(doc, "listen", "sse", "address", "0.0.0.0:50058");
    value_is(doc, "listen", "sse", "clients", "CN=sse_client");
    value_is(doc, "store", NULL, "url", "sqlite:/var/lib/x;y ;z");
    value_is(doc, "store", NULL, "quoted", "  a \"b\" \\ ; # \n\t ");
    value_is(doc, "store", NULL, "empty", "");
    value_is(doc, "store", NULL, "empty2", "");
    value_is(doc, "store", NULL, "tab", "v");
    value_is(doc, "store", NULL, "hash", "a  # b");
    value_is(doc, "store", NULL, "percent", "100%%\xc3\xa9");
    assert_true(get(doc, "store", NULL, "quoted")->quoted);
    assert_false(get(doc, "store", NULL, "url")->quoted);
    assert_null(get(doc, "store", NULL, "URL"));
    assert_null(pb_ini_find(doc, "store", "sse"));
    assert_null(pb_ini_find(doc, "listen", NULL));
    const struct pb_ini_entry *e = get(doc, "listen", "sse", "clients");
    assert_int_equal(e->line, 5);
    assert_int_equal(e->key_col, 3);
    assert_int_equal(e->col, 11);
    assert_int_equal(doc->sections[0]->line, 3);
    struct pb_buf b = {0};
    pb_ini_header(doc->sections[0], &b);
    assert_true(pb_str_is(pb_buf_view(&b), "[listen \"sse\"]"));
    pb_buf_free(&b);
    pb_ini_free(doc);
}

static void test_line_ends(void **state)
{
    (void)state;
    const char *text = "\xef\xbb\xbf[a \"x\\\\y\"]\r\nk = v\r\nl = w  ; c\r\n";
    struct pb_ini *doc = parse(text, PB_INI_OURS);
    value_is(doc, "a", "x\\y", "k", "v");
    value_is(doc, "a", "x\\y", "l", "w");
    assert_int_equal(get(doc, "a", "x\\y", "l")->line, 3);
    pb_ini_free(doc);
    doc = parse("\xef\xbb\xbf[a]\r\nk = v\r\n", PB_INI_PYTHON);
    value_is(doc, "a", NULL, "K", "v");
    pb_ini_free(doc);
    doc = parse("", PB_INI_OURS);
    assert_int_equal(doc->n, 0);
    pb_ini_free(doc);
}

static void test_long_line(void **state)
{
    (void)state;
    enum { LONG = 300000 };
    for (int dialect = PB_INI_OURS; dialect <= PB_INI_PYTHON; dialect++) {
        struct pb_buf b = {0};
        pb_buf_c(&b, "[a]\nk = ");
        memset(pb_buf_room(&b, LONG), 'x', LONG);
        b.n += LONG;
        pb_buf_c(&b, "\nl = 1\n");
        struct pb_err err;
        struct pb_ini *doc;
        assert_int_equal(pb_ini_parse("t.ini", pb_buf_view(&b), (enum pb_ini_dialect)dialect, &doc, &err), 0);
        assert_int_equal(get(doc, "a", NULL, "k")->value.n, LONG);
        value_is(doc, "a", NULL, "l", "1");
        pb_ini_free(doc);
        pb_buf_free(&b);
    }
    char *huge = calloc(1, PB_INI_MAX + 1);
    assert_non_null(huge);
    refused_n(pb_str(huge, PB_INI_MAX + 1), PB_INI_OURS,
              "t.ini: 16777217 bytes are too many for a configuration file (at most 16777216)");
    free(huge);
}

static void test_refused(void **state)
{
    (void)state;
    refused("k = v\n", "t.ini:1:1: a key before the first [section]");
    refused("[a]\nk\n", "t.ini:2:1: expected \"key = value\", [kind \"name\"] or a comment");
    refused(
        "[a]\nk = v\n  more\n",
        "t.ini:3:3: expected \"key = value\"; a value stands on one line, there are no continuation lines");
    refused("[a]\n = v\n", "t.ini:2:2: the key before \"=\" is missing");
    refused("[a]\nk = \"v\n", "t.ini:2:5: the closing quote is missing");
    refused("[a]\nk = \"v\\\"\n", "t.ini:2:5: the closing quote is missing");
    refused("[a]\nk = \"v\\", "t.ini:2:5: the closing quote is missing");
    refused("[a]\nk = \"\xc3\xa9\\x\"\n",
            "t.ini:2:7: unknown escape in a quoted value; there are \\\" \\\\ \\n and \\t");
    refused("[a]\nk = \"\\\"\xc3\xa9\" w\n",
            "t.ini:2:11: unexpected text behind the closing quote (a comment there begins with \";\")");
    refused("[a] # b\n",
            "t.ini:1:5: unexpected text behind the closing bracket (a comment there begins with \";\")");
    refused("[]\n", "t.ini:1:2: expected [kind] or [kind \"name\"], the kind in a-z, 0-9 and _");
    refused("[A]\n", "t.ini:1:2: expected [kind] or [kind \"name\"], the kind in a-z, 0-9 and _");
    refused("[a b]\n", "t.ini:1:4: a section's name stands in double quotes: [a \"name\"]");
    refused("[a \"b\" c]\n", "t.ini:1:8: expected \"]\"");
    refused("[a\n", "t.ini:1:3: expected \"]\"");
    refused("[a \"\"]\n", "t.ini:1:4: the name is empty");
    refused("[a]\n[b \"x\"]\n[a]\n", "t.ini:3:1: [a] stands twice; the first is in line 1");
    refused("[b \"x\"]\n\n [b  \"x\" ]\n", "t.ini:3:2: [b \"x\"] stands twice; the first is in line 1");
    refused("[b \"x\"]\nk=1\nl=2\nk=3\n",
            "t.ini:4:1: \"k\" stands twice in [b \"x\"]; the first is in line 2");
    refused("[a]\nk = \x1b[0m\n",
            "t.ini:2:5: a control character (0x1b); write \\n or \\t in a quoted value");
    refused("[a]\nk = 1\rl = 2\n",
            "t.ini:2:6: a control character (0x0d); write \\n or \\t in a quoted value");
    for (int d = PB_INI_OURS; d <= PB_INI_PYTHON; d++) {
        enum pb_ini_dialect dialect = (enum pb_ini_dialect)d;
        refused_n(pb_str("[a]\nk = \0v\n", 11), dialect, "t.ini:2:5: a NUL byte; this is not a text file");
        refused_n(PB_STR("[a]\nk = \xc3\xa9\xff\n"), dialect,
                  "t.ini:2:6: byte 0xff is not valid UTF-8; save the file as UTF-8");
        refused_n(PB_STR("[a]\nk = \xe4rger"), dialect,
                  "t.ini:2:5: byte 0xe4 is not valid UTF-8; save the file as UTF-8");
        refused_n(PB_STR("[a]\nk = \xc3"), dialect,
                  "t.ini:2:5: byte 0xc3 is not valid UTF-8; save the file as UTF-8");
        refused_n(pb_str("\xff\xfe[\0a\0", 6), dialect, "t.ini:1:1: this file is UTF-16; save it as UTF-8");
    }
}

static void test_python(void **state)
{
    (void)state;
    struct pb_ini *doc = parse("[DEFAULT]\ncache=True\n[base]\nPort: 50057\n"
                               "url = https://h/?a=%20%  ; kept # too\n"
                               "text = one\n   two\n\n   three\n\n"
                               "[DEFAULT]\nother : x\n[f]\ncache = no\n",
                               PB_INI_PYTHON);
    assert_int_equal(doc->n, 2);
    value_is(doc, "base", NULL, "PORT", "50057");
    value_is(doc, "base", NULL, "url", "https://h/?a=%20%  ; kept # too");
    value_is(doc, "base", NULL, "text", "one\ntwo\n\nthree");
    value_is(doc, "base", NULL, "cache", "True");
    value_is(doc, "f", NULL, "cache", "no");
    value_is(doc, "f", NULL, "other", "x");
    assert_int_equal(get(doc, "base", NULL, "text")->line, 6);
    pb_ini_free(doc);
    refused_n(PB_STR("[a]\nX = 1\nx : 2\n"), PB_INI_PYTHON,
              "t.ini:3:1: \"x\" stands twice in [a]; the first is in line 2");
    refused_n(PB_STR("[a]\n[a]\n"), PB_INI_PYTHON, "t.ini:2:1: [a] stands twice; the first is in line 1");
    refused_n(PB_STR("x = 1\n"), PB_INI_PYTHON, "t.ini:1:1: a key before the first [section]");
    refused_n(PB_STR("[a]\nfoo\n"), PB_INI_PYTHON,
              "t.ini:2:1: expected \"key = value\", \"key: value\" or \"[section]\"");
    refused_n(PB_STR("[a]\n: v\n"), PB_INI_PYTHON, "t.ini:2:1: the key before \":\" is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),   cmocka_unit_test(test_line_ends), cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
