/* SPDX-License-Identifier: MIT */
/* scripts/chains as a model: what is declared, what is refused and where, what conditions may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "script/chains.h"

/* Long, because the machine may be busy; short where it is to be over. */
static int64_t budget_ms = 2000;

/* A bundle of one file. */
static int load_with(const char *text, const struct pb_chain_names *names, struct pb_chains **out,
                     struct pb_err *err)
{
    struct pb_buf b = {0};
    pb_buf_printf(&b, "patchbay-chains 1\nscript chains/t.lua\t%zu\n%s\n", strlen(text), text);
    int rc = pb_chains_load(
        &(struct pb_chains_options){.bundle = pb_buf_view(&b), .names = names, .budget_ms = budget_ms}, out,
        err);
    pb_buf_free(&b);
    return rc;
}

static struct pb_chains *load(const char *text)
{
    struct pb_chains *c = NULL;
    struct pb_err err;
    if (load_with(text, NULL, &c, &err) != 0) fail_msg("%s", err.msg);
    return c;
}

static void refused(const char *text, const char *const *says)
{
    struct pb_chains *c = NULL;
    struct pb_err err;
    if (load_with(text, NULL, &c, &err) == 0) fail_msg("loaded: %s", text);
    for (; *says; says++)
        if (!strstr(err.msg, *says)) fail_msg("\"%s\" does not say \"%s\"", err.msg, *says);
}
#define REFUSED(text, ...) refused(text, (const char *const[]){__VA_ARGS__, NULL})

#define APPS                                                                                                 \
    "app \"a\" { id = \"1\" } app \"b\" { id = \"2\" } app \"c\" { id = \"3\" } app \"d\" { id = \"4\" }\n"

static const struct pb_chain_link *link_of(const struct pb_chains *c, const char *chain, const char *name)
{
    const struct pb_chain_link *l = pb_chains_link(c, pb_chains_chain(c, pb_str_c(chain)), pb_str_c(name));
    if (!l) {
        const struct pb_chain_graph *g = pb_chains_graph(c);
        for (uint32_t i = 0; i < g->n_links; i++) print_message("link %s\n", g->links[i].name.p);
        fail_msg("no link %s", name);
    }
    return l;
}

static void test_model(void **state)
{
    (void)state;
    struct pb_chains *c = load(
        "app \"extract\" { connector = \"prod\", id = \"b4a3cf85\", retry = { max = 2, backoff = \"5s\" } }\n"
        "app \"transform\" { connector = \"prod\", space = \"Data prep\", name = \"Transform\" }\n"
        "app \"report\" { connector = \"prod\", name = \"Report\", weight = 7, partial = true }\n"
        "app \"fx\" { connector = \"other\", name = \"FX rates\" }\n"
        "limit \"prod\" { in_flight = 10 }\n"
        "chain \"finance\" { max_depth = 9, in_flight = 3, cooldown = \"1m\", adopt = false,\n"
        "  window = \"mon-fri 01:00-06:00 Europe/Stockholm\",\n"
        "  on(\"extract\").ok { \"transform\", reload { \"fx\", variables = { vB = \"2\", vA = 1 }, weight = "
        "2 } },\n"
        "  on(\"extract\").error { notify \"ops\" },\n"
        "  on(\"transform\").when(function(ev, run) return ev.status == \"ok\" and ev.duration_ms < 6e5, "
        "\"in time\" end)\n"
        "    { reload \"report\", cooldown = \"10m\", debounce = \"30s\" },\n"
        "  all_of(\"report\", \"fx\") { within = \"2h\", action \"aws.create_transform_job\" { Name = \"x\", "
        "N = 3 } },\n"
        "  on(\"aws.create_transform_job.done\").always { notify { \"ops\", text = \"done\" } },\n"
        "  any_of(\"extract\", \"fx\").error { notify \"ops\" },\n"
        "  at_least(2, \"extract\", \"transform\", \"fx\").always { notify \"ops\" },\n"
        "  cron(\"0 2 * * *\", \"Europe/Stockholm\") { \"extract\" },\n"
        "  deadline(\"report\", \"06:00 Europe/Stockholm\") { notify \"ops\" },\n"
        "  on(\"*\").error { notify \"ops\" },\n"
        "}\n"
        "chain \"after\" { on(\"finance\").ok { notify \"ops\" } }\n");
    const struct pb_chain_graph *g = pb_chains_graph(c);
    assert_int_equal(g->n_apps, 4);
    assert_int_equal(g->n_chains, 2);
    assert_int_equal(g->n_links, 11);
    const struct pb_chain *f = pb_chains_chain(c, PB_STR("finance"));
    assert_int_equal(f->max_depth, 9);
    assert_int_equal(f->in_flight, 3);
    assert_false(f->adopt);
    const struct pb_chain_link *l = link_of(c, "finance", "on(\"extract\").ok");
    assert_int_equal(l->n_steps, 2);
    assert_int_equal(l->at.line, 8);
    assert_int_equal(l->cooldown_ms, 60000);
    assert_int_equal(l->n_windows, 1);
    assert_string_equal(l->steps[1].reload.variables.p, "{\"vA\":\"1\",\"vB\":\"2\"}");
    assert_int_equal(l->steps[1].reload.weight, 2);
    assert_true(pb_str_is(l->steps[1].connector, "other")); /* the target's tenant */
    l = link_of(c, "finance", "on(\"transform\").when");
    assert_int_equal(l->statuses, PB_ENDED_ANY);
    assert_int_not_equal(l->when, 0);
    assert_int_equal(l->cooldown_ms, 600000);
    assert_int_equal(l->debounce_ms, 30000);
    l = link_of(c, "finance", "all_of(\"report\", \"fx\").ok");
    assert_true(l->per_run); /* one run starts both */
    assert_int_equal(l->within_ms, 7200000);
    assert_non_null(strstr(l->steps[0].args.p, "\"N\":3"));
    assert_int_equal(link_of(c, "finance", "at_least(2, \"extract\", \"transform\", \"fx\").always")->need,
                     2);
    assert_int_equal(link_of(c, "finance", "cron(\"0 2 * * *\", \"Europe/Stockholm\")")->kind, PB_LINK_CRON);
    link_of(c, "finance", "deadline(\"report\", \"06:00 Europe/Stockholm\")");
    link_of(c, "finance", "on(\"*\").error");
    link_of(c, "finance", "on(\"aws.create_transform_job.done\").always");
    assert_int_equal(g->apps[0].reload.retry.max, 2);
    assert_int_equal(g->apps[0].reload.retry.backoff_ms, 5000);
    assert_int_equal(g->limits[0].in_flight, 10);
    uint32_t n;
    assert_non_null(pb_chains_app_of(c, PB_STR("prod"), PB_STR("b4a3cf85")));
    assert_null(pb_chains_app_of(c, PB_STR("other"), PB_STR("b4a3cf85")));
    assert_non_null(pb_chains_app_titled(c, PB_STR("prod"), PB_STR("TRANSFORM")));
    pb_chains_on_app(c, &g->apps[0], &n);
    assert_int_equal(n, 4);
    pb_chains_on_event(c, PB_STR("aws"), PB_STR("create_transform_job.done"), &n);
    assert_int_equal(n, 1);
    pb_chains_on_chain(c, PB_STR("finance"), &n);
    assert_int_equal(n, 1);
    pb_chains_on_any(c, &n);
    assert_int_equal(n, 1);
    /* The cron starts it, but a reload by hand begins a run all the same? No: a link of the chain reloads it.
     */
    assert_false(pb_chains_head(c, f, 0));
    pb_chains_free(c);
}

static void test_bundle_is_the_same(void **state)
{
    (void)state;
    struct pb_chains *c = load(APPS "chain \"x\" { on(\"a\").ok { \"b\" } }"), *d;
    struct pb_buf one = {0}, two = {0};
    struct pb_err err;
    pb_chains_bundle(c, &one);
    assert_int_equal(pb_chains_load(&(struct pb_chains_options){.bundle = pb_buf_view(&one)}, &d, &err), 0);
    pb_chains_bundle(d, &two);
    assert_true(pb_str_eq(pb_buf_view(&one), pb_buf_view(&two)));
    pb_chains_free(c);
    pb_chains_free(d);
    for (size_t cut = 1; cut < one.n; cut++) {
        /* Cut anywhere it is refused, or shorter by whole files. */
        if (pb_chains_load(&(struct pb_chains_options){.bundle = pb_str(one.p, cut)}, &d, &err) == 0)
            pb_chains_free(d);
    }
    pb_buf_free(&one);
    pb_buf_free(&two);
}

static void test_mistakes(void **state)
{
    (void)state;
    REFUSED("app \"a\" {}", "chains/t.lua:1", "neither an id nor a name");
    REFUSED("app \"a\" { id = \"1\", conector = \"x\" }", "no option \"conector\"",
            "did you mean \"connector\"");
    REFUSED("app \"a\" { id = 1 }", "id is a text");
    REFUSED("app \"a\" { id = \"1\", weight = 11 }", "weight is a whole number from 1 to 10; got 11");
    REFUSED("app \"a\" { id = \"1\", partial = 1 }", "partial is true or false");
    REFUSED("app \"a\" { id = \"1\", variables = { [1] = \"x\" } }", "names are texts");
    REFUSED("local v = {} for i = 1, 21 do v[\"n\" .. i] = \"x\" end app \"a\" { id = \"1\", variables = v }",
            "at most 20");
    REFUSED("app \"a\" { id = \"1\", variables = { v = (\"x\"):rep(257) } }", "v has 257 bytes",
            "at most 256");
    REFUSED("\n\napp \"a\"", "chains/t.lua:3: this app has no");
    REFUSED(APPS "app \"a\" { id = \"9\" }", "t.lua:2: app \"a\" stands at chains/t.lua:1 already");
    REFUSED(APPS "app \"e\" { id = \"1\" }", "are the same one");
    REFUSED(APPS "chain \"a\" { on(\"a\").ok { \"b\" } }", "has the name of an app");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"bb\" } }", "t.lua:2: there is no app \"bb\"",
            "did you mean \"b\"");
    REFUSED(APPS "chain \"x\" {\n on(\"extrct\").ok { \"b\" } }",
            "t.lua:3: there is no app or chain \"extrct\"");
    REFUSED(APPS "chain \"x\" { on(\"a\") { \"b\" } }", "does not say when");
    REFUSED(APPS "chain \"x\" { on(\"a\").okay { \"b\" } }", "there is no .okay", "did you mean .ok");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok }", "has no steps");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok {} }", "this link has no steps");
    REFUSED(APPS "chain \"x\" { \"b\" }", "entry 1 of chain \"x\" is a string");
    REFUSED(APPS "chain \"x\" { reload \"b\" }", "entry 1 of chain \"x\" is a step");
    REFUSED(APPS "on(\"a\").ok { \"b\" }", "t.lua:2: this link stands in no chain");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { 5 } }", "step 1 of the link is a number");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\", cooldwn = \"1m\" } }", "did you mean \"cooldown\"");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\", cooldown = \"soon\" } }", "cooldown is a time such as");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\", within = \"1m\" } }", "within is for all_of");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\", window = \"25:00-26:00\" } }", "is no window of time");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\", window = \"01:00-02:00 Europe/Nowhere\" } }",
            "no time zone");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\", outside = \"later\" } }",
            "outside is \"skip\" or \"wait\"");
    REFUSED(APPS "chain \"x\" { all_of(\"a\", \"a\") { \"b\" } }", "stands twice");
    REFUSED(APPS "chain \"x\" { at_least(3, \"a\", \"c\") { \"b\" } }", "at_least: 3 of 2");
    REFUSED(APPS "chain \"x\" { all_of(\"a\", \"*\") { \"b\" } }", "\"*\" is for on alone");
    REFUSED(APPS "chain \"x\" { cron(\"0 25 * * *\") { \"b\" } }", "is no hour");
    REFUSED(APPS "chain \"x\" { cron(\"0 2 * * *\").ok { \"b\" } }", "have no .ok");
    REFUSED(APPS "chain \"x\" { deadline(\"a\", \"dawn\") { notify \"ops\" } }", "is no weekday");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { action \"create\" { } } }", "is not CONNECTOR.ACTION");
    REFUSED(APPS "chain \"x\" { on(\"a\").when(5) { \"b\" } }", "when takes function");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"x\" } }", "\"x\" is a chain");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { reload { \"b\", retry = { max = 1, every = 2 } } } }",
            "no option \"every\"");
    REFUSED("chain \"x\" {", "chains/t.lua:1", "near <eof>");
    REFUSED("os.execute(\"x\")", "chains/t.lua:1");
    budget_ms = 20;
    REFUSED("while true do end", "stopped after");
    budget_ms = 2000;
}

static void test_cycles(void **state)
{
    (void)state;
    REFUSED(APPS "chain \"x\" {\n on(\"a\").ok { \"b\" },\n on(\"b\").ok { \"a\" } }", "closes a cycle",
            "\"a\" -> (chains/t.lua:3) \"b\" -> (chains/t.lua:4) \"a\"", "allow_cycle");
    REFUSED(APPS "chain \"x\" { on(\"a\").error { \"a\" } }", "\"a\" -> (chains/t.lua:2) \"a\"");
    /* Across chains. */
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\" } }\nchain \"y\" { on(\"b\").always { \"c\" } }\n"
                 "chain \"z\" { all_of(\"c\", \"d\") { \"a\" } }",
            "(chains/t.lua:2)", "(chains/t.lua:3)", "(chains/t.lua:4)");
    /* Through an action, through the end of a chain, through any app. */
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { action \"aws.run\" {} }, on(\"aws.run.done\").ok { \"a\" } }",
            "\"aws.run\"");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\" } } chain \"y\" { on(\"x\").ok { \"a\" } }",
            "the end of chain \"x\"");
    REFUSED(APPS "chain \"x\" { on(\"*\").ok { \"a\" } }", "\"*\"");
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"a\", allow_cycle = true } }",
            "allow_cycle wants a cooldown");
    pb_chains_free(
        load(APPS "chain \"x\" { on(\"a\").ok { \"a\", allow_cycle = true, cooldown = \"1m\" } }"));
    /* A diamond is none. */
    struct pb_chains *c =
        load(APPS "chain \"x\" { on(\"a\").ok { \"b\", \"c\" }, all_of(\"b\", \"c\") { \"d\" } }");
    assert_true(link_of(c, "x", "all_of(\"b\", \"c\").ok")->per_run);
    assert_true(pb_chains_head(c, pb_chains_chain(c, PB_STR("x")), 0));
    assert_false(pb_chains_head(c, pb_chains_chain(c, PB_STR("x")), 1));
    pb_chains_free(c);
}

static void test_fan_in_scope(void **state)
{
    (void)state;
    /* Two heads: what ends at all counts, whoever started it. */
    struct pb_chains *c = load(APPS "chain \"x\" { all_of(\"a\", \"b\") { \"c\" } }");
    assert_false(link_of(c, "x", "all_of(\"a\", \"b\").ok")->per_run);
    pb_chains_free(c);
    c = load(APPS "chain \"x\" { on(\"a\").ok { \"b\" }, all_of(\"b\", \"c\") { \"d\" } }");
    assert_false(link_of(c, "x", "all_of(\"b\", \"c\").ok")->per_run);
    pb_chains_free(c);
    c = load(
        APPS
        "chain \"x\" { all_of(\"a\", \"b\") { \"c\", scope = \"run\" }, any_of(\"a\", \"c\") { \"d\" } }");
    assert_true(link_of(c, "x", "all_of(\"a\", \"b\").ok")->per_run);
    assert_true(link_of(c, "x", "any_of(\"a\", \"c\").ok")->per_run);
    assert_int_equal(link_of(c, "x", "all_of(\"a\", \"b\").ok")->need, 2);
    pb_chains_free(c);
    REFUSED(APPS "chain \"x\" { on(\"a\").ok { \"b\", scope = \"run\" } }", "scope is");
}

/* ------------------------------------------------------------------------ names of a configuration */

static bool known_connector(void *user, pbay_str name)
{
    (void)user;
    return pb_str_is(name, "prod") || pb_str_is(name, "aws");
}
static bool known_action(void *user, pbay_str connector, pbay_str action)
{
    (void)user;
    return pb_str_is(connector, "prod") ? pb_str_is(action, "reload") : pb_str_is(action, "create");
}
static bool known_event(void *user, pbay_str connector, pbay_str type)
{
    (void)user;
    return pb_str_is(connector, "aws") && pb_str_is(type, "training_job");
}
static bool known_notify(void *user, pbay_str name)
{
    (void)user;
    return pb_str_is(name, "ops");
}
static int takes(void *user, pbay_str connector, pbay_str action, pbay_str args, struct pb_err *err)
{
    (void)user;
    if (!strstr(args.p, "\"wieght\"")) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s.%.*s: unknown argument \"wieght\"", PB_FMT(connector),
                   PB_FMT(action));
}
static const char *near(void *user, pbay_str connector, pbay_str name)
{
    (void)user;
    static const char *const names[] = {"prod", "aws", "ops", "create"};
    return pb_nearest(name, names, connector.n ? 4 : 3);
}

static void test_names(void **state)
{
    (void)state;
    struct pb_chain_names names = {NULL, known_connector, known_action, known_event, known_notify,
                                   near, PB_STR("prod"),  takes};
    static const char *const bad[][2] = {
        {"app \"e\" { connector = \"prd\", id = \"1\" }",
         "no connector \"prd\" in the configuration; did you mean \"prod\""},
        {"app \"e\" { connector = \"aws\", id = \"1\" }", "has no action \"reload\""},
        {"app \"ops\" { id = \"1\" }", "name of a [notify] target"},
        {APPS "chain \"x\" { on(\"a\").ok { notify \"opps\" } }",
         "no [notify \"opps\"] in the configuration; did you mean \"ops\""},
        {APPS "chain \"x\" { on(\"a\").ok { \"ops\" } }", "write notify \"ops\""},
        {APPS "chain \"x\" { on(\"a\").ok { action \"aws.creat\" {} } }",
         "no action \"creat\"; did you mean \"create\""},
        {APPS "chain \"x\" { on(\"aws.training\").ok { \"a\" } }", "no event \"training\""},
        {APPS "chain \"ops\" { on(\"a\").ok { \"b\" } }", "name of a [notify] target"},
        {APPS "chain \"x\" {\n on(\"a\").ok { action \"aws.create\" { wieght = 1 } } }",
         "chains/t.lua:3: aws.create: unknown argument \"wieght\""},
        {"limit \"prd\" { in_flight = 1 }", "no connector \"prd\""},
    };
    struct pb_chains *c;
    struct pb_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(load_with(bad[i][0], &names, &c, &err), -1);
        if (!strstr(err.msg, bad[i][1])) fail_msg("\"%s\" does not say \"%s\"", err.msg, bad[i][1]);
    }
    if (load_with(APPS "chain \"x\" { on(\"aws.training_job\").ok { \"a\", notify \"ops\" } }", &names, &c,
                  &err) != 0)
        fail_msg("%s", err.msg);
    assert_true(pb_str_is(pb_chains_graph(c)->apps[0].connector, "prod"));
    pb_chains_free(c);
    names.connector_of_apps = pb_str("", 0);
    assert_int_equal(load_with(APPS, &names, &c, &err), -1);
    assert_non_null(strstr(err.msg, "does not say connector"));
}

/* ------------------------------------------------------------------------ conditions */

static const char ev[] = "{\"status\":\"ok\",\"duration_ms\":5,\"data\":{\"n\":[1,2]}}";
static const char run[] = "{\"id\":\"r\",\"depth\":2,\"upstream\":{\"a\":\"ok\"}}";

static int ask(struct pb_chains *c, const char *link, struct pb_chain_verdict *v, struct pb_err *err)
{
    const struct pb_chain_link *l = link_of(c, "x", link);
    return pb_chains_when(c, l->when, PB_STR(ev), PB_STR(run), v, err);
}

static void test_conditions(void **state)
{
    (void)state;
    struct pb_chains *c = load(
        APPS
        "local seen = 0\n"
        "chain \"x\" {\n"
        "on(\"a\").when(function(ev, run) return ev.duration_ms < 6 and run.upstream.a == \"ok\", \"quick\" "
        "end) { \"b\", name = \"1\" },\n"
        "on(\"a\").when(function(ev) return false, \"never \" .. ev.data.n[2] end) { \"b\", name = \"2\" },\n"
        "on(\"a\").when(function(ev) return \"defer\", 2.5, \"later\" end) { \"b\", name = \"3\" },\n"
        "on(\"a\").when(function(ev) return ev.nothing.here end) { \"b\", name = \"4\" },\n"
        "on(\"a\").when(function(ev) ev.status = \"x\" end) { \"b\", name = \"5\" },\n"
        "on(\"a\").when(function(ev) return \"yes\" end) { \"b\", name = \"6\" },\n"
        "on(\"a\").when(function(ev) while true do end end) { \"b\", name = \"7\" },\n"
        "on(\"a\").when(function(ev) return #(\"x\"):rep(1 << 33) > 0 end) { \"b\", name = \"8\" },\n"
        "on(\"a\").when(function(ev) local function f() return 1 + f() end return f() end) { \"b\", name = "
        "\"9\" },\n"
        "on(\"a\").when(function(ev) app \"z\" { id = \"7\" } end) { \"b\", name = \"10\" },\n"
        "on(\"a\").when(function(ev) error(setmetatable({}, { __tostring = function() error(\"again\") end "
        "})) end) { \"b\", name = \"11\" },\n"
        "on(\"a\").when(function(ev) local t = {} for i = 1, 1e9 do t[i] = {} end end) { \"b\", name = "
        "\"12\" },\n"
        "on(\"a\").when(function(ev) seen = seen + 1 return seen < 100 end) { \"b\", name = \"13\" },\n"
        "on(\"a\").ok { name = \"14\", action \"aws.go\"(function(ev, run) return { n = ev.duration_ms, list "
        "= { 1 } } end),\n"
        "  action \"aws.bad\"(function() return 5 end), notify { \"ops\", text = function(ev) return \"it is "
        "\" .. ev.status end } },\n"
        "}\n");
    struct pb_chain_verdict v;
    struct pb_err err;
    assert_int_equal(ask(c, "1", &v, &err), 0);
    assert_true(v.yes);
    assert_string_equal(v.why, "quick");
    assert_int_equal(ask(c, "2", &v, &err), 0);
    assert_false(v.yes);
    assert_string_equal(v.why, "never 2");
    assert_int_equal(ask(c, "3", &v, &err), 0);
    assert_int_equal(v.defer_ms, 2500);
    static const struct {
        const char *link, *says;
    } raised[] = {{"4", "chains/t.lua:7"},      {"5", "read-only"},  {"6", "returns true or false"},
                  {"7", "stopped after"},       {"8", "string.rep"}, {"9", ""},
                  {"10", "not in a condition"}, {"11", ""},          {"12", ""}};
    for (size_t i = 0; i < sizeof raised / sizeof *raised; i++) {
        assert_int_equal(ask(c, raised[i].link, &v, &err), -1);
        assert_false(v.yes);
        if (!strstr(err.msg, raised[i].says)) fail_msg("%s: %s", raised[i].link, err.msg);
        /* Whatever happened, the next condition is as before, in a new state when it must be. */
        assert_int_equal(ask(c, "1", &v, &err), 0);
        assert_true(v.yes);
    }
    assert_int_equal(ask(c, "13", &v, &err), 0);
    assert_true(v.yes);
    struct pb_buf out = {0};
    const struct pb_chain_link *l = link_of(c, "x", "14");
    assert_int_equal(pb_chains_args(c, &l->steps[0], PB_STR(ev), PB_STR(run), &out, &err), 0);
    pb_buf_ch(&out, 0);
    assert_true(strstr(out.p, "\"n\":5") && strstr(out.p, "\"list\":[1]"));
    assert_int_equal(pb_chains_args(c, &l->steps[1], PB_STR(ev), PB_STR(run), &out, &err), -1);
    out.n = 0;
    assert_int_equal(pb_chains_args(c, &l->steps[2], PB_STR(ev), PB_STR(run), &out, &err), 0);
    assert_true(pb_str_is(pb_buf_view(&out), "it is ok"));
    pb_buf_free(&out);
    pb_chains_free(c);
}

/* An endless loop costs others its time three times, and not with each event. */
static void test_late(void **state)
{
    (void)state;
    struct pb_chain_verdict v;
    struct pb_err err;
    budget_ms = 30;
    struct pb_chains *c =
        load(APPS "chain \"x\" { on(\"a\").when(function(ev) while true do end end) { \"b\", name = "
                  "\"loop\" },\n on(\"a\").when(function(ev) return true end) { \"b\", name = \"well\" } }");
    budget_ms = 2000;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(c, "loop", &v, &err), -1);
        assert_non_null(strstr(err.msg, "stopped after"));
    }
    int64_t from = pb_mono_ns();
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ask(c, "loop", &v, &err), -1);
        assert_false(v.yes);
        assert_non_null(strstr(err.msg, "not called for a minute"));
        assert_int_equal(ask(c, "well", &v, &err), 0);
        assert_true(v.yes);
    }
    print_message("%.0f ms for 2,000 conditions, half of them loops\n", (double)(pb_mono_ns() - from) / 1e6);
    pb_chains_free(c);
}

static void test_many(void **state)
{
    (void)state;
    /* The large one is measured by the benchmark. */
    int64_t from = pb_mono_ns();
    struct pb_chains *c = load("for i = 1, 500 do app(\"a\" .. i) { id = \"id\" .. i } end\n"
                               "local links = {}\n"
                               "for i = 1, 490 do for k = 1, 4 do links[#links + 1] = on(\"a\" .. i).ok { "
                               "\"a\" .. i + k } end end\n"
                               "for i = 1, 40 do links[#links + 1] = all_of(\"a\" .. i, \"a\" .. i + 1, "
                               "\"a\" .. i + 2).ok { \"a500\" } end\n"
                               "chain \"big\" (links)\n");
    print_message("%.0f ms for 500 apps and 2,000 links\n", (double)(pb_mono_ns() - from) / 1e6);
    assert_int_equal(pb_chains_graph(c)->n_links, 2000);
    uint32_t n;
    pb_chains_on_app(c, pb_chains_app(c, PB_STR("a300")), &n);
    assert_int_equal(n, 4);
    pb_chains_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),        cmocka_unit_test(test_bundle_is_the_same),
        cmocka_unit_test(test_mistakes),     cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_fan_in_scope), cmocka_unit_test(test_names),
        cmocka_unit_test(test_conditions),   cmocka_unit_test(test_late),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
