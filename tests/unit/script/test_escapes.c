/* SPDX-License-Identifier: MIT */
/*
 * Ways out of the sandbox and around the budgets that were found by running them. Each must end, with an
 * error or with a harmless value, and leave the state usable.
 */
#include <time.h>

#include "script/helpers.h"

#include "base/clock.h"
#include "script/eval.h"

/* Evaluate over one row without parameters; 0 or -1 with err. */
static int eval(struct pb_vm *vm, const char *text, struct pbay_builder *out, struct pb_err *err)
{
    struct pb_eval_options o = {.source = pb_str_c(text), .shape = PB_EVAL_AGGREGATE, .answer = PBAY_STR};
    struct pb_eval *e = pb_eval_new(vm, &o, err);
    if (!e) return -1;
    int rc = pb_eval_end(e, NULL, out, err);
    pb_eval_free(e);
    return rc;
}

static void still_works(struct pb_vm *vm)
{
    struct pbay_builder *out = pb_builder_new();
    struct pb_err err;
    if (eval(vm, "('a'):upper() .. #('xyz') .. math.floor(2.5)", out, &err) != 0) fail_msg("%s", err.msg);
    assert_cell(pb_builder_seal(out, NULL), 0, 0, "A32");
    pb_builder_unref(out);
}

struct escape {
    const char *text;
    const char *error; /* part of the message; NULL: any */
};

/* Each fails, whatever else it tries. */
static const struct escape endless[] = {
    {"while true do end", "stopped"},
    {"local function f() while true do pcall(f) end end while true do pcall(f) end", "stopped"},
    {"while true do pcall(pcall, error) end", "stopped"},
    {"local function f() return f() end return f()", "stopped"},
    {"local t = {} for i = 1, math.huge do t[i % 100] = i end", "stopped"},
    {"local t = {} for i = 1, 1000 do t[i] = i end while true do table.sort(t, function(a, b) return a > b "
     "end) end",
     "stopped"},
    {"table.sort({3, 2, 1, 5, 4}, function() while true do end end)", "stopped"},
    {"for i = 1, 1e9 do local c <close> = setmetatable({}, {__close = function() while true do end end}) "
     "error('x') end",
     "stopped"},
    {"local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x", "stopped"},
    {"return (('x'):gsub('x', function() while true do end end))", "stopped"},
    {"table.move({}, 1, 1 << 60, 2)", "stopped"},
    {"table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)", "stopped"},
    {"table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)", "stopped"},
    {"local t = {} for i = 0, 62 do t[1 << i] = 1 end while true do table.remove(t, 1) end", "stopped"},
    {"while true do ('a'):rep(1000000):find('.-b') end", NULL},
    {"for w in ('a'):rep(1e5):gmatch('') do while true do end end", "stopped"},
};

static const struct escape refused[] = {
    {"xpcall(error, function() while true do end end)", "\"xpcall\" is not defined"},
    {"coroutine.wrap(function() while true do end end)()", "\"coroutine\" is not defined"},
    {"setmetatable({}, {__gc = function() while true do end end})", "__gc"},
    {"debug.sethook()", "\"debug\" is not defined"},
    {"load('return 1')()", "\"load\" is not defined"},
    {"loadstring('return 1')()", "\"loadstring\" is not defined"},
    {"loadfile('/etc/passwd')", "\"loadfile\" is not defined"},
    {"dofile('/etc/passwd')", "\"dofile\" is not defined"},
    {"require 'os'", "\"require\" is not defined"},
    {"package.loadlib('x', 'y')", "\"package\" is not defined"},
    {"io.open('/etc/passwd')", "\"io\" is not defined"},
    {"os.execute('true')", "nil value"},
    {"os.getenv('HOME')", "nil value"},
    {"os.exit()", "nil value"},
    {"collectgarbage('stop')", "\"collectgarbage\" is not defined"},
    {"string.dump(function() end)", "nil value"},
    {"('x'):rep(1 << 28)", "string.rep"},
    {"string.rep('x', 1 << 40, 'y')", "string.rep"},
    {"('a'):rep(65536):find('.-b')", "too complex"},
    {"('a'):rep(512):find('.-.-.-b')", "too complex"},
    {"('a'):rep(512):match('.*.*.*.*b')", "too complex"},
    {"('a'):rep(512):gsub('.-.-.-b', '')", "too complex"},
    {"for x in ('a'):rep(512):gmatch('.-.-.-b') do end", "too complex"},
    {"('('):rep(300):find(('(.)'):rep(40))", "too many captures"},
    {"('a'):rep(1000):find(('a?'):rep(1000) .. 'b')", "too complex"},
    {"lookup 'x.csv'", "lookup"},
    {"string.upper = nil", "read-only"},
    {"rawset(string, 'upper', function() return 'owned' end)", "read-only"},
    {"rawset(_G, 'string', nil) rawset(ctx, 'user', 'me')", "read-only"},
    {"getmetatable('').__index.upper = nil", NULL},
    {"setmetatable(string, {})", "protected"},
    {"table.insert(math, 1)", "read-only"},
    {"for k, v in pairs(string) do string[k] = nil end", "read-only"},
    {"ctx.user = 'me'", "read-only"},
    {"\27Lua", NULL},
    {"local function f() return f() .. 'x' end return f()", NULL},
    {"local s = 'x' while true do s = s .. s end", "KiB"},
    {"local t = {} for i = 1, 1e9 do t[i] = {i} end", NULL},
    {"local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = ('x'):rep(1e6) .. #t end "
     "end) end",
     NULL},
    {"local t = {} for i = 1, 100 do t = {t, t} end return json.encode(t)", "deeper"},
    {"local s, t = ('x'):rep(1e6), {} for i = 1, 1000 do t[i] = s end return json.encode(t)", NULL},
    {"return json.decode(('['):rep(100000))", "deeper"},
    {"error({})", "type table"},
    {"error(nil)", "type nil"},
    {"error(setmetatable({}, {__tostring = function() while true do end end}))", NULL},
    {"x = 1 return x + y", "\"y\" is not defined"},
};

/* What others do on the machine does not count. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * PB_SEC + t.tv_nsec;
}

static void run_all(const struct escape *list, size_t n, const struct pb_vm_options *o)
{
    struct pb_err err;
    struct pb_vm *vm = pb_eval_vm(o, &err);
    for (size_t i = 0; i < n; i++) {
        struct pbay_builder *out = pb_builder_new();
        err.msg[0] = '\0';
        int64_t from = cpu_ns();
        if (eval(vm, list[i].text, out, &err) == 0) fail_msg("no error: %s", list[i].text);
        if (list[i].error && !strstr(err.msg, list[i].error)) fail_msg("%s: %s", list[i].text, err.msg);
        /* A minute of the processor is not a limit of ours: without the budget these take hours or for ever.
         */
        assert_true(cpu_ns() - from < 60 * PB_SEC);
        pb_builder_unref(out);
        still_works(vm);
    }
    pb_vm_free(vm);
}

static void test_endless(void **state)
{
    (void)state;
    run_all(endless, PB_COUNTOF(endless), &(struct pb_vm_options){.budget_ms = 50});
}

/* The same with a budget in instructions: no clock, no signal. */
static void test_endless_counted(void **state)
{
    (void)state;
    run_all(endless, PB_COUNTOF(endless), &(struct pb_vm_options){.instructions = 300000});
}

static void test_refused(void **state)
{
    (void)state;
    run_all(refused, PB_COUNTOF(refused), &(struct pb_vm_options){.budget_ms = 5000});
}

/* One evaluation never poisons the next. */
static void test_no_poison(void **state)
{
    (void)state;
    static const char *const poison[] = {
        "string.upper = function() return 'owned' end",
        "_G.string = { upper = function() return 'owned' end } return 1",
        "string = nil; math = nil; x = 5; return 1",
        "local m = getmetatable('') ; return m and m.__index and 1 or 2",
        "setmetatable(_G, {__index = function() return 'owned' end}) return 1",
        "_ENV = {} return 1",
        "tostring = nil return 1",
        "rawset(_G, 'tostring', nil) return 1",
        "kept = {} for i = 1, 1000 do kept[i] = i end return #kept",
    };
    struct pb_err err;
    struct pb_vm *vm = pb_eval_vm(NULL, &err);
    for (size_t i = 0; i < PB_COUNTOF(poison); i++) {
        struct pbay_builder *out = pb_builder_new();
        eval(vm, poison[i], out, &err);
        pb_builder_reset(out);
        assert_int_equal(eval(vm, "return kept", out, &err), -1);
        assert_non_null(strstr(err.msg, "\"kept\" is not defined"));
        assert_int_equal(eval(vm, "x", out, &err), -1);
        pb_builder_unref(out);
        still_works(vm);
    }
    pb_vm_free(vm);
}

/* A script that keeps what it should not fills its state; it is rebuilt, and others go on. */
static void test_rebuild(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_vm *vm =
        vm_with_text("local kept = {} return { before = function(n) for i = 1, n do kept[#kept + 1] = "
                     "('x'):rep(1000) .. #kept end return #kept end }",
                     &(struct pb_vm_options){.memory_cap = 4 << 20});
    struct pb_script_field num = {{"n", 1}, PBAY_NUM, false};
    struct pb_transform *t = pb_transform_new(
        vm, &(struct pb_transform_options){.path = "t.lua", .params = &num, .n_params = 1}, &err);
    assert_non_null(t);
    struct pbay_builder *in = pb_builder_new();
    pb_builder_column(in, PB_STR("n"), PBAY_NUM);
    pb_put_num(in, 0, 1e6);
    struct pb_sent s = {0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pb_transform_before(t, NULL, pb_builder_seal(in, NULL), 0, &s, &err), -1);
        assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
        assert_true(pb_vm_memory(vm) <= 4 << 20);
    }
    pb_builder_clear_rows(in);
    pb_put_num(in, 0, 3);
    assert_int_equal(pb_transform_before(t, NULL, pb_builder_seal(in, NULL), 0, &s, &err), 0);
    assert_true(s.rows->cols[0].num[0] == 3);
    assert_true(pb_vm_rebuilt(vm) >= 2);
    pb_sent_drop(&s);
    pb_builder_unref(in);
    pb_transform_free(t);
    pb_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_endless_counted),
        cmocka_unit_test(test_endless), cmocka_unit_test(test_no_poison),
        cmocka_unit_test(test_rebuild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
