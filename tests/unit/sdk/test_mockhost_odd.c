/* SPDX-License-Identifier: MIT */
/* The mock host plays every service, and each fault of a plugin is a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <patchbay/health.h>
#include <patchbay/host_ws.h>
#include <patchbay/mockhost.h>

#include "sdk/odd.h"

#define TEXT(s) ((pbay_str){(s), sizeof(s) - 1})

static char faults[8192];

static void hear(void *user, const char *sentence)
{
    const size_t n = strlen(faults);
    (void)user;
    snprintf(faults + n, sizeof faults - n, "%s\n", sentence);
}

static pbay_mock *odd(const char *how)
{
    char ini[256];
    faults[0] = 0;
    pbay_mock_on_fault(hear, NULL);
    pbay_mock *m = pbay_mock_new_entry(odd_entry);
    snprintf(ini, sizeof ini,
             "[connector \"o\"]\nplugin = odd\nhow = %s\nkey = \"secret\"\n[function \"f\"]\nparams = "
             "a:str\nreturns = str\n",
             how);
    assert_int_equal(pbay_mock_create(m, ini), PBAY_OK);
    assert_int_equal(pbay_mock_start(m), PBAY_OK);
    return m;
}

/* The end, after which a sentence with this text was heard; NULL: none at all. */
static void ends(pbay_mock *m, const char *sentence)
{
    pbay_mock_free(m);
    if (!sentence && faults[0]) fail_msg("unexpected: %s", faults);
    if (sentence && !strstr(faults, sentence)) fail_msg("\"%s\" is not in \"%s\"", sentence, faults);
}

static void one_row(const char *how, const char *rows, const char *sentence)
{
    pbay_mock *m = odd(how);
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), rows);
    ends(m, sentence);
}

/* ------------------------------------------------------------------------------------------------ faults */

static void calls_that_end_wrong(void **state)
{
    (void)state;
    one_row("well", "[[\"x\"]]", NULL);
    one_row("twice", "[[\"x\"]]", "a call that is over was used");
    one_row("never", "[]", "function f: a call was accepted and never completed");
    one_row("rows", "[[\"x\"],[\"x\"]]", "1 rows were sent and 2 answered");
    one_row("leaks", "[[\"x\"]]", "the plugin still owns 1 builder");
    one_row("freed", "[]", "complete: the builder does not belong to the plugin");
    one_row("thread", "[[\"worked\"]]", "in another thread than the loop's");
    one_row("another type", "[[\"x\"]]", "another type than its own (count of timeout, which is a DURATION)");
    one_row("another name", "[[\"x\"]]", "an option was read that is not in its table (get_str of who)");
    one_row("mute", "[]", "f failed without a message");
    pbay_mock *m = odd("refused");
    pbay_mock_call *c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_UNAVAILABLE);
    assert_string_equal(pbay_mock_why(c), "not today");
    ends(m, NULL);
}

/* Whoever is told of a signal by nobody else hears where it was. */
static void crashes(void **state)
{
    int ends_of[2], status;
    char said[512] = "";
    (void)state;
    assert_int_equal(pipe(ends_of), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka has its own */
        dup2(ends_of[1], STDERR_FILENO);
        pbay_mock_submit(odd("crash"), "f", "[[\"a\"]]");
        _exit(0);
    }
    close(ends_of[1]);
    size_t n = 0;
    for (ssize_t got; n < sizeof said - 1 && (got = read(ends_of[0], said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)got;
    close(ends_of[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_string_equal(said, "mock host: connector \"o\": its plugin crashed (SEGV) in submit of f\n");
}

static void tests_that_are_wrong(void **state)
{
    (void)state;
    pbay_mock *m = odd("well");
    pbay_mock_submit(m, "g", "[[\"a\"]]");
    ends(m, "function g: there is no such [function]");
    m = odd("well");
    pbay_mock_submit(m, "f", "[[\"a\"");
    ends(m, "the rows for f");
    m = odd("well");
    pbay_mock_open(m, "f");
    ends(m, "it is a map: pbay_mock_submit");
    m = odd("well");
    pbay_mock_action(m, "strat", NULL, NULL);
    ends(m, "did you mean \"start\"");
    m = odd("well");
    pbay_mock_fail_allocation(m, 1);
    ends(m, "its allocations cannot fail");
    faults[0] = 0;
    m = pbay_mock_new("/nowhere/plugin.so");
    ends(m, "/nowhere");
}

static void requests_out_of_the_script(void **state)
{
    (void)state;
    one_row("http", "[]",
            "a request that was not expected: POST https://api.example/do; no other is expected");
    pbay_mock *m = odd("well");
    pbay_mock_expect(m, "GET", "https://api.example/*");
    ends(m, "GET https://api.example/* was expected and did not come");
    m = odd("plain");
    pbay_mock_call *c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_PERMISSION_DENIED);
    ends(m, NULL);
    m = odd("hasty");
    pbay_mock_reply(pbay_mock_expect(m, "POST", "*"), 200, NULL, "");
    pbay_mock_submit(m, "f", "[[\"a\"]]");
    ends(m, "the body of a request was freed or changed before on_done");
    one_row("sizeless", "[]", "a struct whose size was not set (pbay_http_request.struct_size is 8)");
}

/* ------------------------------------------------------------------------------------------------ services
 */

static void http_in_pieces(void **state)
{
    (void)state;
    static char body[300001];
    memset(body, 'x', sizeof body - 1);
    pbay_mock *m = odd("streamed");
    pbay_mock_http *x = pbay_mock_expect(m, "POST", "https://api.example/do");
    pbay_mock_reply(x, 200, NULL, body);
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"200 after 300000\"]]");
    const pbay_str sent = pbay_mock_seen_body(x);
    assert_int_equal(sent.n, 9);
    assert_memory_equal(sent.p, "in pieces", 9);
    ends(m, NULL);
    m = odd("http");
    pbay_mock_expect(m, "POST", "*"); /* no answer */
    pbay_mock_call *c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    pbay_mock_advance(m, 30100);
    assert_int_equal(pbay_mock_code(c), PBAY_DEADLINE_EXCEEDED); /* the connector's timeout */
    pbay_mock_advance(m, 30000);                                 /* and that of the request */
    ends(m, NULL);
}

static void connections(void **state)
{
    (void)state;
    pbay_mock *m = odd("ws");
    pbay_mock_peer *p = pbay_mock_expect_ws(m, "wss://engine.example/*");
    pbay_mock_call *c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    assert_int_equal(pbay_mock_peer_state(p), 1);
    assert_memory_equal(pbay_mock_sent(p, 0).p, "hello", 5);
    assert_null(pbay_mock_sent(p, 1).p);
    pbay_mock_send(p, PBAY_WS_TEXT, TEXT("good day"));
    assert_string_equal(pbay_mock_text(c), "[[\"good day\"]]");
    assert_int_equal(pbay_mock_peer_state(p), 2);
    p = pbay_mock_expect_ws(m, "*");
    c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    pbay_mock_run(m);
    pbay_mock_hang_up(p, 0);
    assert_string_equal(pbay_mock_text(c), "[[\"lost\"]]");
    p = pbay_mock_expect_ws(m, "*");
    pbay_mock_refuse(p, PBAY_UNAUTHENTICATED, "401");
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"lost\"]]");
    ends(m, NULL);

    m = odd("stream");
    p = pbay_mock_expect_stream(m, "tls:db.example:99");
    c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    assert_memory_equal(pbay_mock_sent(p, 0).p, "ping", 4);
    pbay_mock_send(p, 0, TEXT("pong"));
    assert_string_equal(pbay_mock_text(c), "[[\"pong\"]]");
    pbay_mock_expect_stream(m, "db.example:98");
    ends(m, "a stream to db.example:98 was expected and did not come");
}

static void invocations(void **state)
{
    (void)state;
    pbay_mock *m = odd("invoke");
    pbay_mock_target *t = pbay_mock_target_new(m, "score", "a:str", "num");
    pbay_mock_target_answer(t, "[[42]]");
    pbay_mock_target_after(t, 10);
    pbay_mock_call *c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    pbay_mock_advance(m, 10);
    assert_string_equal(pbay_mock_text(c), "[[\"0 42 \"]]");
    assert_int_equal(pbay_mock_target_seen(t), 1);
    assert_string_equal(pbay_mock_target_rows(t), "[[\"a\"]]");
    assert_string_equal(pbay_mock_target_option(t, "limit"), "3");
    pbay_mock_target_after(t, 0);
    pbay_mock_target_fail(t, PBAY_UNAVAILABLE, PBAY_EFFECT_NONE, "busy");
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"b\"]]")), "[[\"14 42 \"]]");
    /* Who asked goes away, and what was invoked for him is cancelled. */
    pbay_mock_target_answer(t, "[[1]]");
    pbay_mock_target_after(t, 1000000);
    c = pbay_mock_submit(m, "f", "[[\"c\"]]");
    pbay_mock_run(m);
    pbay_mock_cancel(c);
    assert_int_equal(pbay_mock_code(c), PBAY_CANCELLED);
    ends(m, NULL);
    m = odd("invoke_action");
    t = pbay_mock_target_new(m, "other.start", NULL, NULL);
    pbay_mock_target_answer(t, "{\"job\":7}");
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"0 0 {\\\"job\\\":7}\"]]");
    assert_string_equal(pbay_mock_target_rows(t), "{\"a\": 1}");
    ends(m, NULL);
    m = odd("invoke");
    pbay_mock_submit(m, "f", "[[\"a\"]]");
    ends(m, "\"score\" was invoked, and the test has no such target");
}

static void time_and_work(void **state)
{
    (void)state;
    one_row("work", "[[\"worked\"]]", NULL);
    pbay_mock *m = odd("timer");
    pbay_mock_call *c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    pbay_mock_advance(m, 30000 + 20);
    assert_int_equal(pbay_mock_code(c), PBAY_DEADLINE_EXCEEDED);
    /* It completes in the end, but it had a minute. */
    pbay_mock_advance(m, 3600000);
    ends(m, "a call was not completed 60 s after its end");
    m = odd("limit");
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"0 0\"]]");
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"0 0\"]]");
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"0 60000\"]]");
    assert_int_equal(pbay_mock_taken(m, "w"), 2);
    pbay_mock_advance(m, 60000);
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"0 0\"]]");
    pbay_mock_store_fails(m, PBAY_UNAVAILABLE);
    assert_string_equal(pbay_mock_text(pbay_mock_submit(m, "f", "[[\"a\"]]")), "[[\"14 0\"]]");
    ends(m, NULL);
}

static void what_was_recorded(void **state)
{
    (void)state;
    pbay_mock *m = odd("who");
    pbay_mock_caller(m, "kim", NULL, NULL);
    pbay_mock_call *c = pbay_mock_submit(m, "f", "[[\"a\"]]");
    assert_string_equal(pbay_mock_text(c), "[[\"kim\"]]");
    assert_true(pbay_mock_flags(c) & PBAY_MOCK_PERSONAL);
    assert_int_equal(pbay_mock_metric(m, "seen", "kind=\"row\""), 1);
    assert_true(pbay_mock_logged(m, "warn it begins how=who"));
    const char *why;
    assert_int_equal(pbay_mock_health(m, &why), PBAY_DEGRADED);
    assert_string_equal(why, "a bit odd");
    ends(m, NULL);
    m = odd("secret");
    assert_int_equal(pbay_mock_secret_refused(m, "key"), 1);
    ends(m, NULL);
    m = odd("health");
    pbay_mock_health(m, NULL);
    ends(m, "health state that does not exist");
}

/* ------------------------------------------------------------------------------------------------ other asks
 */

static void actions(void **state)
{
    (void)state;
    pbay_mock *m = odd("well");
    pbay_mock_call *c = pbay_mock_action(m, "start", "{}", "k");
    assert_int_equal(pbay_mock_code(c), PBAY_OK);
    assert_true(pbay_mock_flags(c) & PBAY_MOCK_STARTED);
    assert_int_equal(pbay_mock_poll_after_ms(c), 2000);
    assert_string_equal(pbay_mock_text(pbay_mock_action_poll(c)), "\"handle-1 is done\"");
    assert_int_equal(pbay_mock_code(pbay_mock_action_lookup(c)), PBAY_NOT_FOUND);
    ends(m, NULL);
    m = odd("never");
    c = pbay_mock_action(m, "start", "{}", "k");
    assert_int_equal(pbay_mock_code(c), PBAY_MOCK_PENDING);
    ends(m, "action start: an attempt was accepted and never answered");
    m = odd("twice");
    pbay_mock_action(m, "start", "{}", "k");
    ends(m, "an action that is over was answered");
    m = odd("json");
    assert_int_equal(pbay_mock_code(pbay_mock_action(m, "start", "{}", "k")), PBAY_INTERNAL);
    ends(m, "its result is not JSON");
}

static void sources_commands_secrets(void **state)
{
    (void)state;
    pbay_mock *m = odd("well");
    assert_string_equal(
        pbay_mock_text(pbay_mock_poll(m, "things", "")),
        "{\"events\": [{\"type\": \"seen\", \"keys\": [\"e1\"], \"id\": \"\", \"subject\": \"\", "
        "\"time_ms\": 5, \"data\": {}}], \"cursor\": \"after e1\", \"again\": false}");
    assert_string_equal(pbay_mock_text(pbay_mock_command(m, "look for", "who = \"Kim\"\n")),
                        "looking for Kim");
    assert_int_equal(pbay_mock_code(pbay_mock_command(m, "look for", "")), PBAY_INVALID_ARGUMENT);
    assert_string_equal(pbay_mock_text(pbay_mock_resolve(m, "vault", "door")), "the door");
    ends(m, NULL);
    m = odd("nobody");
    assert_int_equal(pbay_mock_code(pbay_mock_command(m, "look for", "who = x\n")), PBAY_NOT_FOUND);
    ends(m, NULL);
    m = odd("keyless");
    assert_int_equal(pbay_mock_code(pbay_mock_poll(m, "things", "")), PBAY_INVALID_ARGUMENT);
    ends(m, "has no key");
    m = odd("never");
    pbay_mock_poll(m, "things", "");
    ends(m, "source things: a poll was never answered");
    m = odd("never");
    pbay_mock_resolve(m, "vault", "door");
    pbay_mock_advance(m, 31000);
    ends(m, "secret vault:door");
}

static void requests(void **state)
{
    (void)state;
    pbay_mock *m = odd("well");
    pbay_mock_call *c = pbay_mock_request(m, "POST", "/hook?x=1", "X-Sign: abc\n", TEXT("body"));
    assert_int_equal(pbay_mock_status(c), 201);
    assert_string_equal(pbay_mock_text(c), "body");
    assert_string_equal(pbay_mock_header(c, "content-type"), "text/plain");
    assert_true(pbay_mock_flags(c) & PBAY_MOCK_ACCEPTED);
    assert_int_equal(pbay_mock_status(pbay_mock_request(m, "GET", "/hook", NULL, TEXT(""))), 405);
    assert_int_equal(pbay_mock_status(pbay_mock_request(m, "GET", "/nothing", NULL, TEXT(""))), 404);
    assert_int_equal(pbay_mock_status(pbay_mock_request(m, "GET", "/files/a", NULL, TEXT(""))), 401);
    pbay_mock_caller(m, NULL, NULL, "key:k");
    assert_int_equal(pbay_mock_status(pbay_mock_request(m, "PUT", "/files/a", NULL, TEXT("z"))), 201);
    static const char long_body[101] = "";
    assert_int_equal(
        pbay_mock_status(pbay_mock_request(m, "POST", "/hook", NULL, (pbay_str){long_body, 101})), 413);
    ends(m, NULL);
    m = odd("twice");
    pbay_mock_request(m, "POST", "/hook", NULL, TEXT(""));
    ends(m, "a request was answered twice");
    m = odd("never");
    pbay_mock_request(m, "POST", "/hook", NULL, TEXT(""));
    ends(m, "request POST /hook: it was never answered");
    m = odd("early");
    pbay_mock_request(m, "POST", "/hook", NULL, TEXT(""));
    ends(m, "service used before the request was accepted");
}

static void jobs(void **state)
{
    (void)state;
    pbay_mock *m = odd("park");
    assert_int_equal(pbay_mock_jobs(m), 1);
    assert_string_equal(pbay_mock_job(m, 0),
                        "{\"key\": \"batch 1\", \"state\": \"running\", \"input\": \"input\"}");
    pbay_mock_job_resume(m, 0);
    assert_string_equal(pbay_mock_job(m, 0),
                        "{\"key\": \"batch 1\", \"state\": \"done\", \"input\": \"input\", \"result\": "
                        "\"input\", \"content_type\": \"text/plain\"}");
    ends(m, NULL);
    m = odd("park");
    ends(m, "the parked job with the key batch 1 was never finished");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_end_wrong),
        cmocka_unit_test(crashes),
        cmocka_unit_test(tests_that_are_wrong),
        cmocka_unit_test(requests_out_of_the_script),
        cmocka_unit_test(http_in_pieces),
        cmocka_unit_test(connections),
        cmocka_unit_test(invocations),
        cmocka_unit_test(time_and_work),
        cmocka_unit_test(what_was_recorded),
        cmocka_unit_test(actions),
        cmocka_unit_test(sources_commands_secrets),
        cmocka_unit_test(requests),
        cmocka_unit_test(jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
