/* SPDX-License-Identifier: MIT */
/* The scripts that ship pass their own tests; a test that fails says where; the reference page is what the
 * bindings say. */
#include "script/helpers.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "script/spec.h"

#define SCRIPTS PB_TESTS_DIR "/../scripts"

static uint32_t run_folder(const char *folder)
{
    char path[256];
    uint32_t specs = 0;
    snprintf(path, sizeof path, "%s/%s", SCRIPTS, folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (!pb_spec_is(pb_str_c(e->d_name))) continue;
        struct pb_buf out = {0};
        struct pb_spec_result r;
        struct pb_err err;
        snprintf(path, sizeof path, "%s/%.100s", folder, e->d_name);
        if (pb_spec_run(SCRIPTS, path, NULL, &out, &r, &err) != 0) fail_msg("%s", err.msg);
        if (r.failed) fail_msg("%s\n%.*s", path, (int)out.n, out.p);
        assert_true(r.passed > 0);
        pb_buf_free(&out);
        specs++;
    }
    closedir(dir);
    return specs;
}

static void test_shipped(void **state)
{
    (void)state;
    assert_true(run_folder("transforms") >= 5);
    assert_true(run_folder("functions") >= 2);
}

static void test_report(void **state)
{
    (void)state;
    char dir[] = "/tmp/pb_spec_XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x_test.lua", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("test('good', function() equal({1, {2}}, {1, {2}}) end)\n"
          "test('bad', function()\n  equal(1, 2)\nend)\n"
          "test('wrong file', function() run { transform = 'no.lua', rows = {{1}} } end)\n",
          f);
    fclose(f);
    struct pb_buf out = {0};
    struct pb_spec_result r;
    struct pb_err err;
    assert_int_equal(pb_spec_run(dir, "x_test.lua", NULL, &out, &r, &err), 0);
    pb_buf_ch(&out, '\0');
    assert_int_equal(r.passed, 1);
    assert_int_equal(r.failed, 2);
    assert_non_null(
        strstr(out.p, "ok 1 - good\nnot ok 2 - bad\n# x_test.lua:3: got 1, expected 2\nnot ok 3"));
    assert_non_null(strstr(out.p, "1..3\n"));
    pb_buf_free(&out);
    remove(path);
    remove(dir);
}

static void test_reference(void **state)
{
    (void)state;
    struct pb_buf want = {0}, have = {0};
    pb_script_reference(&want);
    const char *path = PB_TESTS_DIR "/../docs/lua.md";
    if (getenv("PB_WRITE_REFERENCE")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fwrite(want.p, 1, want.n, f);
        fclose(f);
    }
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(pb_buf_room(&have, 4096), 1, 4096, f)) > 0;) have.n += n;
    fclose(f);
    if (!pb_str_eq(pb_buf_view(&want), pb_buf_view(&have)))
        fail_msg("docs/lua.md is out of date: run this test with PB_WRITE_REFERENCE=1");
    pb_buf_free(&want);
    pb_buf_free(&have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shipped), cmocka_unit_test(test_report),
                                       cmocka_unit_test(test_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
