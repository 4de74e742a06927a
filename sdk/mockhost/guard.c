/* SPDX-License-Identifier: MIT */
/*
 * The services that are the host's own code, with a look at who calls: the loop's thread, and with builders,
 * readers and writers that the plugin owns. At the end of the mock it owns none.
 */
#include <patchbay/commands.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_timer.h>
#include <patchbay/host_work.h>
#include <patchbay/secrets.h>
#include <string.h>

#include "base/mem.h"
#include "mockhost/mock.h"
#include "plugin/services.h"

#define BATCH "pbay.host.batch/1"
#define CALL  "pbay.host.call/1"

/* ------------------------------------------------------------------------------------------------ owned */

enum kind { BUILDER, READER, WRITER };

struct pb_mock_owned {
    enum kind kind;
    const void *p;
};

static const char *const names[] = {"builder", "reader", "writer"};

/* A plugin that breaks the rule of threads must not break the mock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void own(enum kind kind, const void *p)
{
    struct pbay_mock *m = pb_mock;
    pthread_mutex_lock(&lock);
    PB_GROW(m->owned, m->owned_cap, m->n_owned + 1);
    m->owned[m->n_owned++] = (struct pb_mock_owned){kind, p};
    pthread_mutex_unlock(&lock);
}

/* False, and a fault, when the plugin does not own it (any more). */
static bool disown(enum kind kind, const void *p, const char *function)
{
    struct pbay_mock *m = pb_mock;
    bool found = false;
    pthread_mutex_lock(&lock);
    for (uint32_t i = m->n_owned; i-- > 0 && !found;)
        if (m->owned[i].kind == kind && m->owned[i].p == p) {
            m->owned[i] = m->owned[--m->n_owned];
            found = true;
        }
    pthread_mutex_unlock(&lock);
    if (found) return true;
    pb_mock_fault(
        "%s: the %s does not belong to the plugin: it has freed it, or given it to `complete` or `emit`, "
        "before",
        function, names[kind]);
    return false;
}

void pb_mock_guard_free(struct pbay_mock *m)
{
    uint32_t n[3] = {0};
    for (uint32_t i = 0; i < m->n_owned; i++) n[m->owned[i].kind]++;
    for (int k = BUILDER; k <= WRITER; k++)
        if (n[k])
            pb_mock_fault("the plugin still owns %u %s%s that it did not free%s", n[k], names[k],
                          n[k] > 1 ? "s" : "", k == BUILDER ? ", or give to `complete` or `emit`" : "");
    for (uint32_t i = 0; i < m->n_owned; i++) {
        const struct pb_mock_owned o = m->owned[i];
        if (o.kind == BUILDER) pb_service_batch.free((pbay_builder *)(uintptr_t)o.p);
        if (o.kind == READER) pb_service_batch.reader_free((pbay_reader *)(uintptr_t)o.p);
        if (o.kind == WRITER) pb_service_batch.writer_free((pbay_writer *)(uintptr_t)o.p);
    }
    pb_free(m->owned);
}

static pbay_builder *batch_create(const pbay_host *host)
{
    /* Builders of the pool belong to its thread. */
    pbay_builder *b = pb_mock_on_loop(BATCH, "create") ? pb_service_batch.create(host) : pb_builder_new();
    own(BUILDER, b);
    return b;
}

static void batch_free(pbay_builder *b)
{
    if (pb_mock_on_loop(BATCH, "free") && b && disown(BUILDER, b, "free")) pb_service_batch.free(b);
}

static pbay_str batch_json_text(pbay_str json)
{
    return pb_mock_on_loop(BATCH, "json_text") ? pb_service_batch.json_text(json) : pb_str(NULL, 0);
}

static pbay_reader *batch_reader(const pbay_host *host, const pbay_codec *codec, pbay_builder *into)
{
    pbay_reader *r = pb_service_batch.reader(host, codec, into);
    if (r) own(READER, r);
    return r;
}

static void batch_reader_free(pbay_reader *r)
{
    if (r && disown(READER, r, "reader_free")) pb_service_batch.reader_free(r);
}

static pbay_writer *batch_writer(const pbay_host *host, const pbay_codec *codec)
{
    pbay_writer *w = pb_service_batch.writer(host, codec);
    if (w) own(WRITER, w);
    return w;
}

static void batch_writer_free(pbay_writer *w)
{
    if (w && disown(WRITER, w, "writer_free")) pb_service_batch.writer_free(w);
}

static const pbay_batch_1 *guarded_batch(void)
{
    static pbay_batch_1 table;
    table = pb_service_batch;
    table.create = batch_create;
    table.free = batch_free;
    table.json_text = batch_json_text;
    table.reader = batch_reader;
    table.reader_free = batch_reader_free;
    table.writer = batch_writer;
    table.writer_free = batch_writer_free;
    return &table;
}

/* ------------------------------------------------------------------------------------------------ calls */

static int64_t call_deadline(pbay_call call)
{
    return pb_mock_on_loop(CALL, "deadline") ? pb_service_call.deadline(call) : 0;
}

static const pbay_identity *call_identity(pbay_call call)
{
    return pb_mock_on_loop(CALL, "identity") ? pb_service_call.identity(call) : NULL;
}

static pbay_str call_function(pbay_call call)
{
    return pb_mock_on_loop(CALL, "function") ? pb_service_call.function(call) : pb_str(NULL, 0);
}

static const pbay_config *call_options(pbay_call call)
{
    return pb_mock_on_loop(CALL, "options") ? pb_service_call.options(call) : NULL;
}

static pbay_str call_traceparent(pbay_call call)
{
    return pb_mock_on_loop(CALL, "traceparent") ? pb_service_call.traceparent(call) : pb_str(NULL, 0);
}

static uint32_t call_attempt(pbay_call call)
{
    return pb_mock_on_loop(CALL, "attempt") ? pb_service_call.attempt(call) : 0;
}

static void call_complete(pbay_call call, const pbay_result *result, pbay_builder *out)
{
    if (!pb_mock_on_loop(CALL, "complete")) return;
    if (out && !disown(BUILDER, out, "complete")) out = NULL;
    pb_service_call.complete(call, result, out);
}

static void call_ready(pbay_call call)
{
    if (pb_mock_on_loop(CALL, "ready")) pb_service_call.ready(call);
}

static int32_t call_emit(pbay_call call, pbay_builder *out)
{
    if (!pb_mock_on_loop(CALL, "emit")) return PBAY_INTERNAL;
    if (out && !disown(BUILDER, out, "emit")) out = NULL;
    return pb_service_call.emit(call, out);
}

static void call_describe(pbay_call call, pbay_str table_name, const pbay_field *fields, uint32_t n)
{
    if (pb_mock_on_loop(CALL, "describe")) pb_service_call.describe(call, table_name, fields, n);
}

static void call_no_store(pbay_call call)
{
    if (pb_mock_on_loop(CALL, "no_store")) pb_service_call.no_store(call);
}

static void call_set_user(pbay_call call, void *user)
{
    if (pb_mock_on_loop(CALL, "set_user")) pb_service_call.set_user(call, user);
}

static void *call_user(pbay_call call)
{
    return pb_mock_on_loop(CALL, "user") ? pb_service_call.user(call) : NULL;
}

static const pbay_call_1 guarded_call = {.struct_size = sizeof guarded_call,
                                         .deadline = call_deadline,
                                         .identity = call_identity,
                                         .function = call_function,
                                         .options = call_options,
                                         .traceparent = call_traceparent,
                                         .attempt = call_attempt,
                                         .complete = call_complete,
                                         .ready = call_ready,
                                         .emit = call_emit,
                                         .describe = call_describe,
                                         .no_store = call_no_store,
                                         .set_user = call_set_user,
                                         .user = call_user};

/* ------------------------------------------------------------------------------------------------ other
 * answers */

static void action_done(pbay_action_run run, pbay_str json)
{
    if (pb_mock_on_loop(PBAY_SVC_ACTION, "done")) pb_service_action.done(run, json);
}

static void action_started(pbay_action_run run, pbay_str handle, int64_t poll_after_ms)
{
    if (pb_mock_on_loop(PBAY_SVC_ACTION, "started")) pb_service_action.started(run, handle, poll_after_ms);
}

static void action_failed(pbay_action_run run, const pbay_result *result)
{
    if (pb_mock_on_loop(PBAY_SVC_ACTION, "failed")) pb_service_action.failed(run, result);
}

static const pbay_action_1 guarded_action = {sizeof guarded_action, 0, action_done, action_started,
                                             action_failed};

static void command_print(pbay_command_run run, pbay_str text)
{
    if (pb_mock_on_loop(PBAY_SVC_COMMAND, "print")) pb_service_command.print(run, text);
}

static void command_progress(pbay_command_run run, uint64_t done, uint64_t total, pbay_str what)
{
    if (pb_mock_on_loop(PBAY_SVC_COMMAND, "progress")) pb_service_command.progress(run, done, total, what);
}

static void command_done(pbay_command_run run, const pbay_result *result)
{
    if (pb_mock_on_loop(PBAY_SVC_COMMAND, "done")) pb_service_command.done(run, result);
}

static const pbay_command_1 guarded_command = {sizeof guarded_command, 0, command_print, command_progress,
                                               command_done};

static void resolved(pbay_resolve question, const pbay_result *result, pbay_str value, int64_t ttl_ms)
{
    if (pb_mock_on_loop(PBAY_SVC_RESOLVE, "resolved"))
        pb_service_resolve.resolved(question, result, value, ttl_ms);
}

static const pbay_resolve_1 guarded_resolve = {sizeof guarded_resolve, 0, resolved};

static pbay_timer timer_start(const pbay_host *host, int64_t delay_ms, int64_t period_ms,
                              void (*fn)(void *user), void *user)
{
    return pb_mock_on_loop(PBAY_SVC_TIMER, "start")
               ? pb_service_timer.start(host, delay_ms, period_ms, fn, user)
               : 0;
}

static void timer_cancel(pbay_timer timer)
{
    if (pb_mock_on_loop(PBAY_SVC_TIMER, "cancel")) pb_service_timer.cancel(timer);
}

static const pbay_timer_1 *guarded_timer(void)
{
    static pbay_timer_1 table;
    table = pb_service_timer;
    table.start = timer_start;
    table.cancel = timer_cancel;
    return &table;
}

/* ------------------------------------------------------------------------------------------------ work */

/* The mock waits for what runs, so it counts. */
struct work {
    void (*fn)(void *user, uint32_t slot);
    void (*done)(void *user, int cancelled);
    void *user;
};

static void work_fn(void *user, uint32_t slot)
{
    const struct work *w = user;
    w->fn(w->user, slot);
}

static void work_done(void *user, int cancelled)
{
    const struct work w = *(struct work *)user;
    pb_free(user);
    pb_mock->works--;
    w.done(w.user, cancelled);
}

static int32_t work_submit(const pbay_host *host, void (*fn)(void *user, uint32_t slot),
                           void (*done)(void *user, int cancelled), void *user)
{
    if (!pb_mock_on_loop(PBAY_SVC_WORK, "submit")) return PBAY_INTERNAL;
    struct work *w = pb_alloc(sizeof *w);
    *w = (struct work){fn, done, user};
    const int32_t rc = pb_service_work.submit(host, work_fn, work_done, w);
    if (rc == PBAY_OK)
        pb_mock->works++;
    else
        pb_free(w);
    return rc;
}

static const pbay_work_1 guarded_work = {sizeof guarded_work, 0, work_submit};

const void *pb_mock_guarded(const char *id)
{
    if (!strcmp(id, PBAY_SVC_BATCH)) return guarded_batch();
    if (!strcmp(id, PBAY_SVC_CALL)) return &guarded_call;
    if (!strcmp(id, PBAY_SVC_ACTION)) return &guarded_action;
    if (!strcmp(id, PBAY_SVC_COMMAND)) return &guarded_command;
    if (!strcmp(id, PBAY_SVC_RESOLVE)) return &guarded_resolve;
    if (!strcmp(id, PBAY_SVC_TIMER)) return guarded_timer();
    if (!strcmp(id, PBAY_SVC_WORK)) return &guarded_work;
    if (!strcmp(id, PBAY_SVC_CRYPTO)) return &pb_service_crypto;
    if (!strcmp(id, PBAY_SVC_INVOKE)) return pb_mock_invoke_service();
    if (!strcmp(id, PBAY_SVC_REQUEST)) return &pb_mock_requests;
    return NULL;
}
