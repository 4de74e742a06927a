/* SPDX-License-Identifier: MIT */
/* Loading: what is accepted, and that each refusal names what differs. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "plugin/loader.h"
#include "plugin/probe.h"
#include "plugin/registry.h"

#define PLUGIN(name) PB_TEST_PLUGINS "/" name ".so"

static void test_good(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_plugin *p;
    if (pb_plugin_load(PLUGIN("good"), &p, &err)) fail_msg("%s", err.msg);
    assert_string_equal(p->name, "good");
    assert_true(p->has_functions && p->has_routes && p->has_health && p->has_commands);
    assert_string_equal(p->commands.commands[1].verb, "count up");
    assert_int_equal(p->descriptor.options.count, 2);
    assert_int_equal(pb_plugin_operation(p, PB_STR("echo")), 0);
    assert_int_equal(pb_plugin_operation(p, PB_STR("sum")), 10);
    assert_int_equal(pb_plugin_operation(p, PB_STR("summ")), -1);
    pb_plugin_free(p);
}

/* Longer tables of a later minor are cut to what is known here. */
static void test_newer(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_plugin *p;
    if (pb_plugin_load(PLUGIN("newer"), &p, &err)) fail_msg("%s", err.msg);
    assert_int_equal(p->functions.operation_stride, sizeof(pbay_operation));
    assert_string_equal(p->operations[1].name, "two");
    assert_int_equal(p->descriptor.options.stride, sizeof(pbay_option));
    assert_string_equal(p->descriptor.options.options[1].name, "second");
    assert_string_equal(p->operations[0].options.options[1].dflt, "4");
    assert_false(p->has_routes);
    pb_plugin_free(p);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says[3];
    } cases[] = {
        {PLUGIN("fault_magic"), {"entry.magic", "0x12345678", "0x59414250"}},
        {PLUGIN("fault_major"), {"entry.abi_major is 7", "this gateway has 1", NULL}},
        {PLUGIN("fault_truncated"), {"entry.struct_size is 40", "ABI 1.0 has 64", "truncated"}},
        {PLUGIN("fault_create"), {"entry.create is NULL", NULL, NULL}},
        {PLUGIN("fault_null"), {"answers NULL", NULL, NULL}},
        {PLUGIN("fault_no_entry"), {"exports no pbay_plugin_entry", NULL, NULL}},
        {PLUGIN("fault_undefined"), {"undefined symbol", "nobody_has_this", NULL}},
        {PLUGIN("fault_descriptor_size"), {"descriptor.struct_size is 16", "ABI 1.0 has 72", NULL}},
        {PLUGIN("fault_name"), {"descriptor.name is \"Bad Name\"", NULL, NULL}},
        {PLUGIN("fault_option"), {"descriptor.options", "size", "many"}},
        {PLUGIN("fault_host_option"), {"descriptor.options", "timeout", NULL}},
        {PLUGIN("fault_functions_size"), {"pbay.functions/1.struct_size is 24", NULL, NULL}},
        {PLUGIN("fault_stride"), {"functions.operations.stride is 8", "ABI 1.0 has 40", NULL}},
        {PLUGIN("fault_duplicate"), {"both named \"one\"", NULL, NULL}},
        {PLUGIN("fault_shape"), {"operation \"two\"", "shape is 9", NULL}},
        {PLUGIN("fault_submit"), {"functions.submit is NULL", "there are maps", NULL}},
        {PLUGIN("fault_route"), {"routes[0].suffix is \"hook\"", NULL, NULL}},
        {PLUGIN("fault_action"), {"pbay.actions/1", "option path: a FILE is no argument", NULL}},
        {PLUGIN("fault_lookup"), {"actions.lookup is NULL", "PBAY_REPEAT_CHECK", NULL}},
        {PLUGIN("fault_scheme"), {"secrets.schemes[1] is \"https\"", "something else", NULL}},
        {PLUGIN("fault_source"), {"source \"busy\"", "interval_ms is 5", NULL}},
        {PLUGIN("fault_verb"), {"commands[0].verb is \"say  it\"", "[a-z][a-z0-9-]*", NULL}},
        {PLUGIN("fault_argument"), {"command \"say\"", "\"connector\" is the host's own", NULL}},
        {PLUGIN("fault_every_id"), {"pbay.nothing/0", NULL, NULL}},
        {PB_TESTS_DIR "/unit/CMakeLists.txt", {"not an ELF file", NULL, NULL}},
        {"/nowhere/x.so", {"/nowhere/x.so: No such file", NULL, NULL}},
        {PB_TEST_PLUGINS, {"not a regular file", NULL, NULL}},
    };
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct pb_err err;
        struct pb_plugin *p;
        if (!pb_plugin_load(cases[i].path, &p, &err)) fail_msg("%s was loaded", cases[i].path);
        if (!strstr(err.msg, cases[i].path)) fail_msg("%s: no path in: %s", cases[i].path, err.msg);
        if (strstr(err.msg, "/proc/self/fd")) fail_msg("%s: %s", cases[i].path, err.msg);
        for (size_t k = 0; k < 3 && cases[i].says[k]; k++)
            if (!strstr(err.msg, cases[i].says[k]))
                fail_msg("%s: no \"%s\" in: %s", cases[i].path, cases[i].says[k], err.msg);
    }
}

/* An ELF header with one field changed. */
static void patched(size_t at, unsigned char value, const char *says)
{
    char path[] = "/tmp/pb-image-XXXXXX";
    unsigned char head[64];
    int self = open(PLUGIN("good"), O_RDONLY);
    assert_int_equal(read(self, head, sizeof head), sizeof head);
    close(self);
    head[at] = value;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, head, sizeof head), sizeof head);
    struct pb_err err;
    struct pb_plugin *p;
    assert_int_equal(pb_plugin_load(path, &p, &err), -1);
    if (!strstr(err.msg, says)) fail_msg("no \"%s\" in: %s", says, err.msg);
    unlink(path);
    close(fd);
}

static void test_image(void **state)
{
    (void)state;
    patched(4, 1, "built for 32 bits, this gateway has 64");
    patched(5, 2, "byte order 2");
    patched(18, 243, "built for riscv");
    patched(16, 2, "ELF type 2, a shared object is type 3");
}

static void test_probe(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_plugin *p;
    pb_probe_program(PB_TEST_PROBE);
    if (pb_plugin_probe(PLUGIN("good"), &p, &err)) fail_msg("%s", err.msg);
    assert_true(p->apart);
    assert_string_equal(p->name, "good");
    pb_plugin_free(p);
    assert_int_equal(pb_plugin_probe(PLUGIN("fault_crash"), &p, &err), -1);
    assert_non_null(strstr(err.msg, "crashed (signal 6"));
    assert_int_equal(pb_plugin_probe(PLUGIN("fault_exit"), &p, &err), -1);
    assert_non_null(strstr(err.msg, "without a word"));
    assert_int_equal(pb_plugin_probe(PLUGIN("fault_major"), &p, &err), -1);
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "entry.abi_major is 7"));
    int64_t before = pb_mono_ns();
    assert_int_equal(pb_plugin_probe(PLUGIN("fault_hang"), &p, &err), -1);
    assert_true(pb_mono_ns() - before >= 4 * PB_SEC);
    assert_non_null(strstr(err.msg, "fault_hang"));
    /* Known by now: not tried again. With another program it would be refused. */
    pb_probe_program("/bin/false");
    if (pb_plugin_probe(PLUGIN("good"), &p, &err)) fail_msg("%s", err.msg);
    pb_plugin_free(p);
    assert_int_equal(pb_plugin_probe(PLUGIN("fault_hang"), &p, &err), -1);
    pb_probe_program(PB_TEST_PROBE);
}

static void test_registry(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_plugin_env env = {0};
    struct pb_registry *r = pb_registry_new(&env, true);
    if (pb_registry_scan(r, PB_TEST_PLUGINS, &err)) fail_msg("%s", err.msg);
    assert_int_equal(pb_registry_count(r), 29);
    assert_non_null(pb_registry_find(r, PB_STR("good"), &err));
    assert_non_null(pb_registry_find(r, PB_STR("newer"), &err));
    assert_null(pb_registry_find(r, PB_STR("goot"), &err));
    assert_int_equal(err.code, PBAY_NOT_FOUND);
    assert_non_null(strstr(err.msg, "did you mean \"good\""));
    assert_null(pb_registry_find(r, PB_STR("fault_crash"), &err));
    assert_non_null(strstr(err.msg, "was refused"));
    assert_non_null(strstr(err.msg, "crashed"));
    /* The same name from another file. */
    assert_int_equal(pb_registry_add(r, PLUGIN("good"), &err), -1);
    assert_int_equal(err.code, PBAY_ALREADY_EXISTS);
    assert_int_equal(pb_registry_scan(r, "/nowhere", &err), -1);
    pb_registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),  cmocka_unit_test(test_newer), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_image), cmocka_unit_test(test_probe), cmocka_unit_test(test_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
