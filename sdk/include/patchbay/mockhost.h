/* SPDX-License-Identifier: MIT */
/*
 * The mock host: a plugin driven from a plain C test, without a gateway, a network, a store or a clock that
 * runs. Not part of the ABI: a library for tests, `Patchbay::mockhost` of find_package(Patchbay), or
 * `pkg-config patchbay-mockhost`.
 *
 * Example: the test of a function that asks an API.
 *
 *     #include <assert.h>
 *     #include <string.h>
 *     #include <patchbay/mockhost.h>
 *
 *     int main(void)
 *     {
 *         pbay_mock *m = pbay_mock_new("build/plugins/weather.so");
 *         assert(pbay_mock_create(m, "[connector \"w\"]\nplugin = weather\nkey = k\n"
 *                                    "[function \"now\"]\nparams = city:str\nreturns = num\n") == PBAY_OK);
 *         assert(pbay_mock_start(m) == PBAY_OK);
 *
 *         pbay_mock_http *x = pbay_mock_expect(m, "GET", "https://api.example/v1/now?city=*");
 *         pbay_mock_reply(x, 200, "content-type: application/json\n", "{\"celsius\": 4.5}");
 *         pbay_mock_call *call = pbay_mock_submit(m, "now", "[[\"Bern\"]]");
 *         assert(pbay_mock_code(call) == PBAY_OK);
 *         assert(!strcmp(pbay_mock_text(call), "[[4.5]]"));
 *
 *         pbay_mock_free(m);
 *     }
 *
 * It is made of the gateway's own rooms: options, batches, calls, actions and their rules are the gateway's
 * code, so what it lets pass the gateway lets pass. Only what stands on the outside is played here: HTTP,
 * WebSockets and streams follow a script, the store is memory, time stands still until the test moves it.
 * pbay.host.chain/1 is not played: asking for it answers NULL.
 *
 * Faults: what the plugin must not do, and what the test did not expect of it, is a sentence. It is printed
 * and the program aborts, unless pbay_mock_on_fault says who hears it instead.
 *
 * Glossary
 *   call     one thing the plugin was asked: rows, an action, a poll, a request, a command, a secret
 *   to run   let the plugin's work happen until only time, or the test, can make more of it; functions that
 *            read how a call ended run first, those that begin something do not
 *   rows     JSON: [[1,"a"],[2,null]], a row each, in the order of the function's columns
 *
 * Threads: all functions belong to the thread that made the mock. One mock at a time in a process.
 * Ownership: everything that is returned belongs to the mock and lives until pbay_mock_free, texts until the
 * next call of a function of this header; what is passed is copied. Texts end with a NUL; those that may hold
 * one are pbay_str.
 * Errors: what only a wrong test can cause (an unknown function, rows that are not JSON) is a fault too.
 */
#pragma once

#include <patchbay/actions.h>
#include <patchbay/functions.h>
#include <patchbay/host_call.h>
#include <patchbay/plugin.h>
#include <patchbay/routes.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pbay_mock pbay_mock;
typedef struct pbay_mock_call pbay_mock_call;
typedef struct pbay_mock_http pbay_mock_http;
typedef struct pbay_mock_peer pbay_mock_peer;     /* the other end of a WebSocket or a stream */
typedef struct pbay_mock_target pbay_mock_target; /* what the plugin may invoke */

/* ------------------------------------------------------------------------------------------------ faults */

/*
 * Who hears of faults in place of stderr and abort(): for frameworks that want to fail a test their own way,
 * and for tests of faults. The sentence is borrowed until return; it may come from a thread of the plugin's.
 * May jump out (cmocka's fail_msg); then the mock is not to be used any more. fn NULL: abort again.
 */
void pbay_mock_on_fault(void (*fn)(void *user, const char *sentence), void *user);

/* ------------------------------------------------------------------------------------------------ life */

/* Loads a plugin as the gateway does, with all its checks; what it would refuse is a fault. */
pbay_mock *pbay_mock_new(const char *path);
/* The same of a plugin whose sources are linked into the test: pbay_mock_new_entry(pbay_plugin_entry). */
pbay_mock *pbay_mock_new_entry(const pbay_entry *(*entry)(void));
/*
 * Make the instance. ini: text as of patchbay.ini, with one [connector "NAME"] and any number of
 * [function "NAME"] sections (the only connector's when they name none); other sections are passed over, so
 * the file of a gateway will do. Checked against the plugin's tables. PBAY_OK, or the code with which the
 * host, `create` or `bind` refused: pbay_mock_message says why. May be called again after a refusal.
 */
int32_t pbay_mock_create(pbay_mock *m, const char *ini);
/* Before `create`: as `patchbay check` makes instances, never started. */
void pbay_mock_check_only(pbay_mock *m);
/* Before `create`: a host that does not have this service, such as PBAY_SVC_HTTP. */
void pbay_mock_without(pbay_mock *m, const char *service);
int32_t pbay_mock_start(pbay_mock *m);
/* What `create` or `start` was refused with; "" when it was not. */
const char *pbay_mock_message(const pbay_mock *m);
/*
 * Stop: the plugin hears of it, calls in flight go on. pbay_mock_free does it too, cancels what is left,
 * gives it 5 s of mock time, destroys the instance and looks for what it kept: calls, requests, builders,
 * readers, writers, and for HTTP that was expected and did not come. NULL is fine.
 */
void pbay_mock_stop(pbay_mock *m);
void pbay_mock_free(pbay_mock *m);

/* ------------------------------------------------------------------------------------------------ time */

/* Run (see the glossary). Blocking work of pbay.host.work/1 is waited for, at most 10 s of real time. */
void pbay_mock_run(pbay_mock *m);
/* Time passes, in steps: timers, deadlines and scripted delays come when they are due. Runs. */
void pbay_mock_advance(pbay_mock *m, int64_t ms);
/* UTC ms; at first 2026-01-01T00:00:00Z. */
int64_t pbay_mock_now_ms(const pbay_mock *m);

/* ------------------------------------------------------------------------------------------------ functions
 */

/* Of calls that begin from now on: who calls (texts may be NULL), and how long it waits in ms; 0: for ever.
 */
void pbay_mock_caller(pbay_mock *m, const char *user, const char *app, const char *principal);
void pbay_mock_patience(pbay_mock *m, int64_t ms);

/* A batch of a map. As in the gateway the connector's `timeout` bounds it. */
pbay_mock_call *pbay_mock_submit(pbay_mock *m, const char *function, const char *rows);
/* A whole call of an aggregate or a table. */
pbay_mock_call *pbay_mock_open(pbay_mock *m, const char *function);
/* PBAY_OK: taken; PBAY_LATER: not taken, the same rows again when pbay_mock_ready; PBAY_CANCELLED: over. */
int32_t pbay_mock_push(pbay_mock_call *c, const char *rows);
int pbay_mock_ready(pbay_mock_call *c);
void pbay_mock_end(pbay_mock_call *c);
/* hold 1: who called reads no rows, so `emit` answers PBAY_LATER; 0: reads again, and the plugin is told. */
void pbay_mock_hold(pbay_mock_call *c, int hold);
/* Any call: nobody waits any more. */
void pbay_mock_cancel(pbay_mock_call *c);

/* ------------------------------------------------------------------------------------------------ other asks
 */

/* One attempt of an action; json: its arguments, checked as the gateway does; key NULL: "key". */
pbay_mock_call *pbay_mock_action(pbay_mock *m, const char *action, const char *json, const char *key);
/* After a call that answered `started`: how is it? Was an attempt done, that may have had an effect? */
pbay_mock_call *pbay_mock_action_poll(pbay_mock_call *started);
pbay_mock_call *pbay_mock_action_lookup(pbay_mock_call *attempt);
/*
 * Poll a source of events. Its text is {"events": [...], "cursor": "...", "again": false}, an event as in
 * pbay_mock_event.
 */
pbay_mock_call *pbay_mock_poll(pbay_mock *m, const char *source, const char *cursor);
/*
 * A request for one of the plugin's routes. target: path and query below the connector, "/hook?x=1"; headers:
 * "name: value\n" each, or NULL. What the host answers itself (404, 405, 413) is answered here too. The
 * principal of pbay_mock_caller is who a host-authenticated caller is. Its text is the body.
 */
pbay_mock_call *pbay_mock_request(pbay_mock *m, const char *method, const char *target, const char *headers,
                                  pbay_str body);
/* A verb; arguments: "name = value\n" each, as the options of its table. Its text is what it printed. */
pbay_mock_call *pbay_mock_command(pbay_mock *m, const char *verb, const char *arguments);
/* A secret of a scheme that the plugin resolves. Its text is the value. */
pbay_mock_call *pbay_mock_resolve(pbay_mock *m, const char *scheme, const char *rest);
/* PBAY_UP .. PBAY_OUT, as the host would show it; *sentence (NULL is fine): why. */
uint32_t pbay_mock_health(pbay_mock *m, const char **sentence);

/* ------------------------------------------------------------------------------------------------ ends */

#define PBAY_MOCK_PENDING (-2) /* it has not ended: only time or the test can go on with it */

#define PBAY_MOCK_LATE     1u /* the host answered in the plugin's place: deadline or cancel */
#define PBAY_MOCK_NO_STORE 2u
#define PBAY_MOCK_PERSONAL 4u  /* it asked who calls */
#define PBAY_MOCK_STARTED  8u  /* an action: not done yet; the text is the handle */
#define PBAY_MOCK_ACCEPTED 16u /* a request: the plugin accepted its caller */

/* Run, and tell how it ended: PBAY_OK, another code, or PBAY_MOCK_PENDING. A refusal is an end. */
int32_t pbay_mock_code(pbay_mock_call *c);
/* The rest of the result: effect, advice, vendor_status. Zero when it has not ended. */
const pbay_result *pbay_mock_result(pbay_mock_call *c);
const char *pbay_mock_why(pbay_mock_call *c); /* the message; "" */
/*
 * What came: rows as JSON, also those of a call that has not ended; an action's result or handle; a body.
 * Rows that failed alone stand as {"error": "CODE: message"} in their place.
 */
const char *pbay_mock_text(pbay_mock_call *c);
pbay_str pbay_mock_bytes(pbay_mock_call *c); /* the same with its length */
/* What a table described: "x:num,average:num". */
const char *pbay_mock_columns(pbay_mock_call *c);
/* A map's answer as it is, or NULL. */
const pbay_batch *pbay_mock_batch(pbay_mock_call *c);
uint32_t pbay_mock_flags(pbay_mock_call *c);        /* PBAY_MOCK_* */
int32_t pbay_mock_status(pbay_mock_call *c);        /* of a request; 0 */
int64_t pbay_mock_poll_after_ms(pbay_mock_call *c); /* of an action that started */
/* A header of a reply, name in any case; NULL: there is none. */
const char *pbay_mock_header(pbay_mock_call *c, const char *name);

/* ------------------------------------------------------------------------------------------------ HTTP */

/*
 * A request is expected, once. url: '*' stands for any run of bytes. Requests take the first expectation that
 * fits and has not been used; one that fits none is a fault, and so is an expectation that is left at the
 * end. The outgoing rules hold: http:// needs PBAY_HTTP_CONFIGURED.
 */
pbay_mock_http *pbay_mock_expect(pbay_mock *m, const char *method, const char *url);
/* It may come n times; 0: any number of times, or never. */
void pbay_mock_times(pbay_mock_http *x, uint32_t n);
/*
 * How it is answered: with a reply (headers: "name: value\n" each, or NULL), or by a failure of the exchange,
 * such as UNAVAILABLE with effect MAYBE. Neither: there is no answer until its timeout. after: not at once
 * but so many ms later.
 */
void pbay_mock_reply(pbay_mock_http *x, int32_t status, const char *headers, const char *body);
void pbay_mock_reply_bytes(pbay_mock_http *x, int32_t status, const char *headers, pbay_str body);
void pbay_mock_fail(pbay_mock_http *x, int32_t code, uint32_t effect, const char *message);
void pbay_mock_after(pbay_mock_http *x, int64_t ms);
/* How many came, and the last one's URL, body and headers ("" and NULL when there is none). */
uint32_t pbay_mock_seen(const pbay_mock_http *x);
const char *pbay_mock_seen_url(const pbay_mock_http *x);
pbay_str pbay_mock_seen_body(const pbay_mock_http *x);
const char *pbay_mock_seen_header(const pbay_mock_http *x, const char *name);

/* ------------------------------------------------------------------------------------------------
 * connections */

/* A WebSocket is expected, or a stream to "host:port" (TLS: "tls:host:port"); '*' as above. */
pbay_mock_peer *pbay_mock_expect_ws(pbay_mock *m, const char *url);
pbay_mock_peer *pbay_mock_expect_stream(pbay_mock *m, const char *where);
/* It is refused when it comes. */
void pbay_mock_refuse(pbay_mock_peer *p, int32_t code, const char *message);
/* What the other side sends: one message (type PBAY_WS_TEXT, ...) or some bytes (type 0). Then run. */
void pbay_mock_send(pbay_mock_peer *p, uint32_t type, pbay_str data);
/* The other side ends it: close_code of a WebSocket, 0: the connection is lost; a stream: its end. */
void pbay_mock_hang_up(pbay_mock_peer *p, uint32_t close_code);
/* What the plugin sent: messages of a WebSocket by number, all bytes of a stream as number 0. p NULL: none.
 */
pbay_str pbay_mock_sent(pbay_mock_peer *p, uint32_t i);
/* 0: not opened yet, 1: open, 2: the plugin closed it or it ended. */
int pbay_mock_peer_state(pbay_mock_peer *p);

/* ------------------------------------------------------------------------------------------------
 * invocations
 */

/*
 * pbay.host.invoke/1: what the plugin may invoke: "score" (a function), "aws.invoke" (an operation),
 * "aws.train" (an action). params and returns: "age:num,plan:str", a kind alone, or NULL (actions). Another
 * one is a fault.
 */
pbay_mock_target *pbay_mock_target_new(pbay_mock *m, const char *name, const char *params,
                                       const char *returns);
/* What it answers from now on: rows, or the JSON of an action; a failure; neither: nothing. after: so many ms
 * later. */
void pbay_mock_target_answer(pbay_mock_target *t, const char *rows);
void pbay_mock_target_fail(pbay_mock_target *t, int32_t code, uint32_t effect, const char *message);
void pbay_mock_target_after(pbay_mock_target *t, int64_t ms);
/* How often it was invoked; the rows, or arguments, and an option of the last time (NULL: it was not given).
 */
uint32_t pbay_mock_target_seen(pbay_mock_target *t);
const char *pbay_mock_target_rows(pbay_mock_target *t);
const char *pbay_mock_target_option(pbay_mock_target *t, const char *name);

/* ------------------------------------------------------------------------------------------------ the store
 */

/* pbay.host.kv/1: what is there; NULL: nothing. value NULL: remove. */
const char *pbay_mock_kv(pbay_mock *m, const char *key);
void pbay_mock_kv_set(pbay_mock *m, const char *key, const char *value);
/*
 * pbay.host.event/1, what `put` stored: how many, and each as
 * {"type": "...", "keys": [...], "id": "...", "subject": "...", "time_ms": 0, "data": ...}; NULL: no such
 * one.
 */
uint32_t pbay_mock_events(pbay_mock *m);
const char *pbay_mock_event(pbay_mock *m, uint32_t i);
/*
 * pbay.host.job/1: how many, and each as {"action": "...", "key": "...", "state": "waiting", "args": ...}, a
 * parked one with "input" and, when it was finished, "result" (as text) and "content_type".
 */
uint32_t pbay_mock_jobs(pbay_mock *m);
const char *pbay_mock_job(pbay_mock *m, uint32_t i);
/* The process that had parked it died: this one is asked to go on. */
void pbay_mock_job_resume(pbay_mock *m, uint32_t i);
/* Of pbay.host.limit/1: how many were taken from a window in all. */
uint32_t pbay_mock_taken(pbay_mock *m, const char *window);
/* From now on kv, event, job and limit fail with this code (UNAVAILABLE, ...); PBAY_OK: no more. */
void pbay_mock_store_fails(pbay_mock *m, int32_t code);

/* ------------------------------------------------------------------------------------------------ the rest
 */

/* A secret option has another value from now on (pbay.host.secret/1); how often one was `refused`. */
void pbay_mock_secret(pbay_mock *m, const char *option, const char *value);
uint32_t pbay_mock_secret_refused(pbay_mock *m, const char *option);
/* The value of a metric of the plugin's by its name and labels ("" for none); 0 when there is none. */
int64_t pbay_mock_metric(pbay_mock *m, const char *name, const char *labels);
/* What the plugin logged: lines "warn message name=value", all of them. Does one contain the text? */
const char *pbay_mock_log(pbay_mock *m);
int pbay_mock_logged(pbay_mock *m, const char *text);

/*
 * The n-th allocation (from 1) that the plugin's own code makes from now on fails; 0: none. Returns how many
 * it made since the last time. For plugins loaded from a file: malloc, calloc, realloc, aligned_alloc, strdup
 * and strndup as its code calls them.
 */
uint32_t pbay_mock_fail_allocation(pbay_mock *m, uint32_t n);

#ifdef __cplusplus
}
#endif
