/* SPDX-License-Identifier: MIT */
/* Functions and operations as a plugin invokes them: pbay.host.invoke/1 over the flow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "flow/fixture.h"
#include "flow/invoke.h"
#include "plugin/connector.h"

static struct pb_invokes *invokes;

static const struct pb_function *find(void *user, pbay_str name)
{
    struct fixture *f = user;
    return pb_str_eq(name, f->fn.name) ? &f->fn : NULL;
}

static void list(void *user, struct pb_buf *out)
{
    struct fixture *f = user;
    pb_buf_str(out, f->fn.name);
}

static struct pb_connector *connector(void *user, pbay_str name)
{
    struct fixture *f = user;
    return pb_registry_connector(f->registry, name);
}

static struct pb_lane *lane(void *user, struct pb_op *op)
{
    struct fixture *f = user;
    (void)op;
    return &f->lane;
}

static int invoke_setup(void **state)
{
    setup(state);
    struct fixture *f = *state;
    const struct pb_invokes_options o = {.loop = f->loop,
                                         .flow = f->flow,
                                         .metrics = f->metrics,
                                         .user = f,
                                         .find = find,
                                         .list = list,
                                         .connector = connector,
                                         .lane = lane};
    invokes = pb_invokes_new(&o);
    f->env.invoker = pb_invokes_service(invokes);
    P.invoke = P.host->service(P.host, PBAY_SVC_INVOKE);
    assert_non_null(P.invoke);
    return 0;
}

static int invoke_teardown(void **state)
{
    pb_invokes_close(invokes);
    int rc = teardown(state); /* calls that were given up are the plugin's until the connector is closed */
    pb_invokes_free(invokes);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ the caller
 */

struct asked {
    char text[4096];
    size_t n;
    uint64_t rows;
    bool ready, done, inside, no_credit;
    int32_t code;
    char message[512];
};

static void on_ready(void *user, pbay_invoke call)
{
    struct asked *a = user;
    (void)call;
    assert_false(a->inside);
    a->ready = true;
}

static void on_rows(void *user, pbay_invoke call, const pbay_batch *rows)
{
    struct asked *a = user;
    assert_false(a->inside || a->done);
    for (uint32_t i = 0; i < rows->n_rows && a->n < sizeof a->text - 64; i++) {
        pbay_str s = pbay_cell_text(pbay_batch_col(rows, 0), i);
        a->n += (size_t)snprintf(a->text + a->n, sizeof a->text - a->n, "%.*s|", (int)s.n, s.p);
    }
    a->rows += rows->n_rows;
    if (!a->no_credit) P.invoke->credit(call, rows->n_rows);
}

static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct asked *a = user;
    (void)call;
    assert_int_equal(json.n, 0);
    assert_false(a->inside || a->done);
    a->done = true;
    a->code = result->code;
    snprintf(a->message, sizeof a->message, "%.*s", (int)result->message.n,
             result->message.n ? result->message.p : "");
}

static const pbay_invoke_events events = {sizeof events, 0, on_ready, NULL, on_rows, on_done};

static pbay_invoke ask(struct asked *a, uint32_t kind, const char *target, const pbay_header *option)
{
    static const pbay_field text = {{"t", 1}, PBAY_STR, 0};
    const pbay_invoke_info info = {.struct_size = sizeof info,
                                   .kind = kind,
                                   .target = pb_str_c(target),
                                   .options = option,
                                   .n_options = option ? 1 : 0,
                                   .user = PB_STR("kim"),
                                   .sends = &text,
                                   .n_sends = 1};
    pbay_result why = PBAY_RESULT_OK;
    *a = (struct asked){.inside = true};
    pbay_invoke i = P.invoke->open(P.host, &info, PB_STR(""), &events, a, &why);
    a->inside = false;
    if (!i) {
        a->done = true;
        a->code = why.code;
        snprintf(a->message, sizeof a->message, "%.*s", (int)why.message.n, why.message.p);
    }
    return i;
}

/* Numbers from .. from + n - 1 as texts. */
static int32_t push(struct asked *a, pbay_invoke i, unsigned from, unsigned n)
{
    pbay_builder *b = P.batch->create(P.host);
    P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
    for (unsigned k = 0; k < n; k++) {
        char t[16];
        P.batch->text(b, 0, pb_str(t, (size_t)snprintf(t, sizeof t, "%u", from + k)));
    }
    a->inside = true;
    int32_t rc = P.invoke->push(i, P.batch->seal(b, NULL));
    a->inside = false;
    P.batch->free(b);
    return rc;
}

static void end(struct asked *a, pbay_invoke i)
{
    a->inside = true;
    P.invoke->end(i);
    a->inside = false;
}

static void wait(struct fixture *f, const struct asked *a)
{
    while (!a->done) pb_loop_turn(f->loop, true);
}

/* ------------------------------------------------------------------------------------------------ tests */

static void a_function_answers_in_order(void **state)
{
    static const char *const how[] = {"now", "later", "reversed", "split"};
    struct fixture *f = *state;
    for (size_t k = 0; k < PB_COUNTOF(how); k++) {
        struct asked a;
        pb_op_unbind(f->fn.op);
        use(f, how[k]);
        pbay_invoke i = ask(&a, PBAY_INVOKE_FUNCTION, "doubled", NULL);
        assert_int_equal(push(&a, i, 0, 25), PBAY_OK);
        assert_int_equal(push(&a, i, 25, 10), PBAY_OK);
        end(&a, i);
        wait(f, &a);
        assert_int_equal(a.code, PBAY_OK);
        assert_int_equal(a.rows, 35);
        const char *p = a.text;
        for (unsigned n = 0; n < 35; n++) {
            char want[32];
            int w = snprintf(want, sizeof want, "%u%u|", n, n);
            assert_memory_equal(p, want, (size_t)w);
            p += w;
        }
    }
}

static void what_is_not_there_is_said(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    use(f, "now");
    assert_int_equal(ask(&a, PBAY_INVOKE_FUNCTION, "nothing", NULL), 0);
    assert_int_equal(a.code, PBAY_NOT_FOUND);
    assert_non_null(strstr(a.message, "\"nothing\"; there are: doubled"));
    assert_int_equal(ask(&a, PBAY_INVOKE_OPERATION, "nobody.now", NULL), 0);
    assert_non_null(strstr(a.message, "[connector \"nobody\"]"));
    assert_int_equal(ask(&a, PBAY_INVOKE_OPERATION, "test.wow", NULL), 0);
    assert_non_null(strstr(a.message, "did you mean \"now\""));
    assert_int_equal(ask(&a, PBAY_INVOKE_OPERATION, "now", NULL), 0);
    assert_int_equal(a.code, PBAY_INVALID_ARGUMENT);
    assert_int_equal(ask(&a, 77, "doubled", NULL), 0);
    pbay_invoke_function d = {.struct_size = sizeof d};
    assert_int_equal(P.invoke->describe(P.host, PB_STR("nothing"), &d), PBAY_NOT_FOUND);
    assert_int_equal(P.invoke->describe(P.host, PB_STR("doubled"), &d), PBAY_OK);
    assert_int_equal(d.n_params, 1);
    assert_int_equal(d.shape, PBAY_SHAPE_MAP);
}

static void wrong_rows_end_it(void **state)
{
    struct fixture *f = *state;
    static const struct pb_script_field number = {{"n", 1}, PBAY_NUM, false};
    struct asked a;
    use(f, "now");
    pbay_builder *b = P.batch->create(P.host);
    for (int c = 0; c < 2; c++) P.batch->add_column(b, PB_STR(""), PBAY_STR);
    for (uint32_t c = 0; c < 2; c++) P.batch->text(b, c, PB_STR("x"));
    pbay_invoke i = ask(&a, PBAY_INVOKE_FUNCTION, "doubled", NULL);
    assert_int_equal(P.invoke->push(i, P.batch->seal(b, NULL)), PBAY_CANCELLED);
    wait(f, &a);
    assert_int_equal(a.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(a.message, "takes 1 columns, and 2 were sent"));
    P.batch->free(b);
    f->fn.params = &number;
    i = ask(&a, PBAY_INVOKE_FUNCTION, "doubled", NULL);
    assert_int_equal(push(&a, i, 1, 1), PBAY_OK); /* "1" is one */
    b = P.batch->create(P.host);
    P.batch->add_column(b, PB_STR(""), PBAY_STR);
    P.batch->text(b, 0, PB_STR("many"));
    assert_int_equal(P.invoke->push(i, P.batch->seal(b, NULL)), PBAY_CANCELLED);
    P.batch->free(b);
    wait(f, &a);
    assert_non_null(strstr(a.message, "parameter n: row 2: the value \"many\" is not a number"));
}

static void an_operation_takes_options_that_a_call_may_set(void **state)
{
    struct fixture *f = *state;
    const pbay_header good = {PB_STR("word"), PB_STR("other")}, bad = {PB_STR("fixed"), PB_STR("x")},
                      unknown = {PB_STR("wrod"), PB_STR("x")};
    struct asked a;
    for (int round = 0; round < 3; round++) {
        pbay_invoke i = ask(&a, PBAY_INVOKE_OPERATION, "test.word", round ? &good : NULL);
        assert_int_equal(push(&a, i, 0, 2), PBAY_OK);
        end(&a, i);
        wait(f, &a);
        assert_string_equal(a.text, round ? "other|other|" : "plain|plain|");
    }
    assert_int_equal(ask(&a, PBAY_INVOKE_OPERATION, "test.word", &bad), 0);
    assert_non_null(strstr(a.message, "\"fixed\" cannot be set by a call"));
    assert_int_equal(ask(&a, PBAY_INVOKE_OPERATION, "test.word", &unknown), 0);
    assert_non_null(strstr(a.message, "did you mean \"word\""));
    use(f, "now");
    assert_int_equal(ask(&a, PBAY_INVOKE_FUNCTION, "doubled", &good), 0);
    assert_int_equal(a.code, PBAY_INVALID_ARGUMENT);
}

static void more_operations_than_are_kept(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    for (int k = 0; k < 300; k++) {
        char word[16];
        pbay_header o = {PB_STR("word"), pb_str(word, (size_t)snprintf(word, sizeof word, "w%d", k % 150))};
        pbay_invoke i = ask(&a, PBAY_INVOKE_OPERATION, "test.word", &o);
        assert_int_equal(push(&a, i, 0, 1), PBAY_OK);
        end(&a, i);
        wait(f, &a);
        assert_memory_equal(a.text, word, o.value.n);
    }
}

static void who_asks_is_passed_on(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    use(f, "who");
    pbay_invoke i = ask(&a, PBAY_INVOKE_FUNCTION, "doubled", NULL);
    push(&a, i, 0, 1);
    end(&a, i);
    wait(f, &a);
    assert_string_equal(a.text, "kim|");
}

static void inside_itself_four_times_at_most(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "nest");
    f->lane.limit = 100;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 3);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_OK);
    assert_string_equal(g.text, "deep|deep|deep|");
    assert_int_equal(P.deepest, PBAY_INVOKE_DEPTH);
    assert_int_equal(P.refusal.code, PBAY_FAILED_PRECONDITION);
    assert_non_null(strstr(P.refusal_text, "call itself"));
    free(g.text);
}

static void it_ends_with_its_parent(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "never");
    struct pb_flow_call *parent = begin(f, &g, PB_NO_DEADLINE);
    rows(parent, 0, 1);
    pb_flow_end(parent);
    pb_loop_turn(f->loop, false);
    assert_int_not_equal(P.held[0].call, 0);
    struct asked a[2] = {{.n = 0}};
    pbay_invoke i[2];
    for (uint32_t k = 0; k < 2; k++) {
        const pbay_invoke_info info = {.struct_size = sizeof info,
                                       .kind = PBAY_INVOKE_FUNCTION,
                                       .target = PB_STR("doubled"),
                                       .flags = k ? PBAY_INVOKE_DETACHED : 0,
                                       .parent_call = P.held[0].call};
        i[k] = P.invoke->open(P.host, &info, PB_STR(""), &events, &a[k], NULL);
        push(&a[k], i[k], 0, 1);
        end(&a[k], i[k]);
    }
    pb_flow_cancel(parent, NULL);
    wait(f, &a[0]);
    assert_int_equal(a[0].code, PBAY_CANCELLED);
    assert_non_null(strstr(a[0].message, "invoked for has ended"));
    for (int k = 0; k < 10; k++) pb_loop_turn(f->loop, false);
    assert_false(a[1].done);
    P.invoke->cancel(i[1]);
    wait(f, &a[1]);
    P.invoke->cancel(i[1]); /* too late is no fault */
    assert_int_equal(pb_connector_stats(f->connector)->faults, 0);
    free(g.text);
}

static void credit_and_window_hold(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    use(f, "now");
    f->fn.max_rows = 1000;
    pbay_invoke i = ask(&a, PBAY_INVOKE_FUNCTION, "doubled", NULL);
    a.no_credit = true;
    unsigned at = 0;
    while (!a.ready) {
        int32_t rc = push(&a, i, at, 1000);
        if (rc == PBAY_OK)
            at += 1000;
        else
            assert_int_equal(rc, PBAY_LATER);
        if (rc == PBAY_LATER) break;
        pb_loop_turn(f->loop, false);
        assert_true(at < 1000000);
    }
    for (int k = 0; k < 10; k++) pb_loop_turn(f->loop, false);
    assert_in_range(a.rows, PBAY_INVOKE_CREDIT, PBAY_INVOKE_CREDIT + 1000);
    assert_false(a.ready);
    a.no_credit = false;
    P.invoke->credit(i, (uint32_t)a.rows);
    while (!a.ready) pb_loop_turn(f->loop, true);
    assert_int_equal(push(&a, i, at, 1000), PBAY_OK);
    end(&a, i);
    wait(f, &a);
    assert_int_equal(a.code, PBAY_OK);
    assert_int_equal(a.rows, at + 1000);
}

static void stopping_ends_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    struct asked a;
    use(f, "never");
    pbay_invoke i = ask(&a, PBAY_INVOKE_FUNCTION, "doubled", NULL);
    push(&a, i, 0, 1);
    end(&a, i);
    pb_loop_turn(f->loop, false);
    pb_invokes_close(invokes);
    assert_true(a.done);
    assert_int_equal(a.code, PBAY_CANCELLED);
    assert_int_equal(pb_invokes_live(invokes), 0);
    assert_int_equal(ask(&a, PBAY_INVOKE_FUNCTION, "doubled", NULL), 0);
    assert_int_equal(a.code, PBAY_UNAVAILABLE);
    while (f->lane.running) pb_loop_turn(f->loop, true);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, invoke_setup, invoke_teardown)
    pb_log_level(NULL, PB_LOG_OFF);
    const struct CMUnitTest tests[] = {
        T(a_function_answers_in_order),
        T(what_is_not_there_is_said),
        T(wrong_rows_end_it),
        T(an_operation_takes_options_that_a_call_may_set),
        T(more_operations_than_are_kept),
        T(who_asks_is_passed_on),
        T(inside_itself_four_times_at_most),
        T(it_ends_with_its_parent),
        T(credit_and_window_hold),
        T(stopping_ends_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
