/* SPDX-License-Identifier: MIT */
/* API keys: made, written, read, looked up, refused, and never shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "data/config.h"
#include "data/options.h"
#include "guard/apikeys.h"

#define HASH_A "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* of "abc" */
#define HASH_B "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of "" */

static void test_generate(void **state)
{
    (void)state;
    char a[PB_APIKEY_LEN + 1], b[PB_APIKEY_LEN + 1];
    bool high = false;
    for (int i = 0; i < 200; i++) {
        pb_apikey_generate(a);
        pb_apikey_generate(b);
        assert_int_equal(strlen(a), PB_APIKEY_LEN);
        assert_memory_equal(a, "pbk_", 4);
        assert_int_equal(strspn(a + 4, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), 43);
        assert_string_not_equal(a, b);
        high |= a[46] > 'Z';
    }
    assert_true(high);
}

static void test_file_and_check(void **state)
{
    (void)state;
    char etl[PB_APIKEY_LEN + 1], next[PB_APIKEY_LEN + 1], old[PB_APIKEY_LEN + 1];
    const pbay_str scopes[] = {PB_STR("score"), PB_STR("jobs:run")};
    struct pb_buf file = {0};
    struct pb_apikey k = {
        .name = PB_STR("etl"), .created_ms = 1763710265000, .scopes = scopes, .n_scopes = 2};
    pb_apikey_generate(etl);
    pb_apikey_hash(pb_str_c(etl), k.hash);
    pb_buf_c(&file, "# keys\n\n");
    pb_apikey_line(&k, &file);
    pb_apikey_generate(next);
    pb_apikey_hash(pb_str_c(next), k.hash); /* the second of the same name */
    pb_apikey_line(&k, &file);
    pb_apikey_generate(old);
    k = (struct pb_apikey){.name = PB_STR("old"), .expires_ms = 1763710265500};
    pb_apikey_hash(pb_str_c(old), k.hash);
    pb_apikey_line(&k, &file);
    assert_null(memmem(file.p, file.n, "pbk_", 4));

    struct pb_err err = {0};
    struct pb_apikeys *keys = pb_apikeys_new();
    assert_int_equal(pb_apikeys_parse(keys, "keys", pb_buf_view(&file), &err), 0);
    assert_int_equal(pb_apikeys_count(keys), 3);
    for (int i = 0; i < 2; i++) {
        const struct pb_apikey *got = pb_apikeys_check(keys, pb_str_c(i ? next : etl), 1763710266000, &err);
        assert_non_null(got);
        assert_true(pb_str_is(got->name, "etl") && got->created_ms == 1763710265000 && got->expires_ms == 0);
        assert_true(got->n_scopes == 2 && pb_str_is(got->scopes[1], "jobs:run"));
    }
    assert_non_null(pb_apikeys_check(keys, pb_str_c(old), 1763710265499, &err));
    assert_null(pb_apikeys_check(keys, pb_str_c(old), 1763710265500, &err));
    assert_string_equal(err.msg, "API key \"old\" expired at 2025-11-21T07:31:05.500Z");
    assert_int_equal(err.code, PBAY_UNAUTHENTICATED);

    /* One character off, too short, too long, empty. */
    etl[20] = etl[20] == 'x' ? 'y' : 'x';
    assert_null(pb_apikeys_check(keys, pb_str_c(etl), 0, &err));
    assert_string_equal(err.msg, "the API key is not one of the 3 that are known");
    assert_null(pb_apikeys_check(keys, pb_str(next, PB_APIKEY_LEN - 1), 0, &err));
    assert_string_equal(err.msg,
                        "what was shown is no API key: 46 characters in place of 47 (\"pbk_\" and 43 more)");
    assert_null(pb_apikeys_check(keys, pb_str(NULL, 0), 0, &err));
    pb_apikeys_free(keys);
    pb_buf_free(&file);
}

static void refused(const char *text, const char *msg)
{
    struct pb_err err = {0};
    struct pb_apikeys *keys = pb_apikeys_new();
    assert_int_equal(pb_apikeys_parse(keys, "keys", pb_str_c(text), &err), -1);
    assert_string_equal(err.msg, msg);
    pb_apikeys_free(keys);
}

static void test_file_faults(void **state)
{
    (void)state;
    const char *expected =
        "keys:2: a name and \"sha256:\" with 64 hex digits are expected (never the key itself)";
    refused("#\netl\n", expected);
    refused("#\netl pbk_0123456789012345678901234567890123456789012\n", expected);
    refused("#\netl sha256:00\n", expected);
    refused("#\netl " HASH_A "0\n", expected);
    refused("e/l " HASH_A "\n", "keys:1: \"e/l\" is no name for a key: 1 to 64 of A-Z a-z 0-9 . _ -");
    refused("etl " HASH_A " today\n",
            "keys:1: created: \"today\" is neither a time (2026-11-21T07:31:05Z) nor -");
    refused("etl " HASH_A " - 2026-13-01T00:00:00Z\n",
            "keys:1: expires: \"2026-13-01T00:00:00Z\" is neither a time (2026-11-21T07:31:05Z) nor -");
    refused("etl " HASH_A " - - a,,b\n", "keys:1: \"\" is no scope: 1 to 64 of A-Z a-z 0-9 . _ - : /");
    refused("etl " HASH_A " - - a b\n", "keys:1: \"b\" is one field too many");
    refused("etl " HASH_A "\nops " HASH_A "\n", "keys:2: key \"ops\" is the same as key \"etl\"");
    refused("\xff", "keys: not UTF-8");
}

static void test_headers(void **state)
{
    (void)state;
    struct pb_err err = {0};
    pbay_str got;
    const pbay_header h[] = {
        {PB_STR("host"), PB_STR("x")},
        {PB_STR("authorization"), PB_STR("Basic pbk_a")},
        {PB_STR("authorization"), PB_STR("Bearer eyJ.a.b")},
        {PB_STR("x-api-key"), PB_STR("")},
        {PB_STR("authorization"), PB_STR("bEARER  pbk_a ")},
        {PB_STR("x-api-key"), PB_STR(" pbk_a")},
        {PB_STR("x-api-key"), PB_STR("pbk_b")},
    };
    assert_int_equal(pb_apikey_of(h, 4, &got, &err), 0);
    assert_int_equal(pb_apikey_of(h, 5, &got, &err), 1);
    assert_true(pb_str_is(got, "pbk_a"));
    assert_int_equal(pb_apikey_of(h, 6, &got, &err), 1);
    assert_true(pb_str_is(got, "pbk_a"));
    assert_int_equal(pb_apikey_of(h, 7, &got, &err), -1);
    assert_string_equal(err.msg, "the request shows two different API keys");
    assert_int_equal(err.code, PBAY_UNAUTHENTICATED);
    /* A key of another make is looked up, and refused, as a key: it is not taken for a request without one.
     */
    const pbay_header other = {PB_STR("x-api-key"), PB_STR("secret")};
    assert_int_equal(pb_apikey_of(&other, 1, &got, &err), 1);
}

static int from_ini(const char *text, struct pb_apikeys *keys, struct pb_err *err)
{
    struct pb_ini *doc;
    struct pbay_config *cfg;
    const pbay_option_table *tables[] = {&pb_apikey_options};
    const struct pb_config_env env = {.dir = "/"};
    assert_int_equal(pb_options_lint(tables, 1, err), 0);
    assert_int_equal(pb_ini_parse("p.ini", pb_str_c(text), PB_INI_OURS, &doc, err), 0);
    int rc = pb_config_make(doc->sections[0], tables, 1, &env, &cfg, err);
    if (rc == 0) {
        rc = pb_apikeys_add_config(keys, doc->sections[0]->name, cfg, err);
        pb_config_free(cfg);
    }
    pb_ini_free(doc);
    return rc;
}

static void test_config(void **state)
{
    (void)state;
    struct pb_err err = {0};
    struct pb_apikeys *keys = pb_apikeys_new();
    if (from_ini("[key \"etl\"]\nhash = " HASH_A ", " HASH_B "\nscopes = score, jobs\n"
                 "expires = 2026-11-21T07:31:05Z\n",
                 keys, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(pb_apikeys_count(keys), 2);
    /* What is written for an operator to paste reads back. */
    const pbay_str scopes[] = {PB_STR("a"), PB_STR("b")};
    struct pb_apikey k = {
        .name = PB_STR("new"), .expires_ms = 1763710265500, .scopes = scopes, .n_scopes = 2};
    char text[PB_APIKEY_LEN + 1];
    struct pb_buf section = {0};
    pb_apikey_generate(text);
    pb_apikey_hash(pb_str_c(text), k.hash);
    pb_apikey_section(&k, &section);
    pb_buf_ch(&section, 0);
    if (from_ini(section.p, keys, &err)) fail_msg("%s", err.msg);
    pb_buf_free(&section);
    const struct pb_apikey *back = pb_apikeys_check(keys, pb_str_c(text), 1763710265499, &err);
    assert_non_null(back);
    assert_true(pb_str_is(back->name, "new") && back->expires_ms == k.expires_ms && back->n_scopes == 2);
    assert_int_equal(from_ini("[key \"b\"]\nhash = " HASH_A "\n", keys, &err), -1);
    assert_string_equal(err.msg, "p.ini:2: hash: key \"b\" is the same as key \"etl\"");
    assert_int_equal(from_ini("[key \"b\"]\nhash = pbk_1\n", keys, &err), -1);
    assert_string_equal(err.msg, "p.ini:2: hash: \"sha256:\" and 64 hex digits are expected");
    assert_int_equal(from_ini("[key \"b\"]\nhash = " HASH_A "\nexpires = soon\n", keys, &err), -1);
    assert_string_equal(err.msg, "p.ini:3: expires: a time such as 2026-11-21T07:31:05Z is expected");
    pb_apikeys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generate),    cmocka_unit_test(test_file_and_check),
        cmocka_unit_test(test_file_faults), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
