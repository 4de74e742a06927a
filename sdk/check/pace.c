/* SPDX-License-Identifier: MIT */
/* Pace: who waits for whom. Streams bear a caller that reads slowly, and the loop is not kept. */
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "plugin/connector_priv.h"

enum { PUSHES = 200, KEPT_MS = 50, TRIES = KIT_TRIES };

/* ------------------------------------------------------------------------------------------------ streams */

/* What `emit` last said of the one call that is open. */
static struct {
    bool later;
    uint32_t against; /* emitted all the same */
    bool over;
} emitted;

static const void *(*own_service)(const pbay_host *host, const char *id);
static int32_t (*own_emit)(pbay_call call, pbay_builder *out);
static void (*own_writable)(void *self, void *bound, pbay_call call);
static int32_t (*own_create)(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why);

static int32_t emit(pbay_call call, pbay_builder *out)
{
    if (emitted.later) emitted.against++;
    const int32_t rc = own_emit(call, out);
    emitted.later = rc == PBAY_LATER;
    return rc;
}

static void writable(void *self, void *bound, pbay_call call)
{
    emitted.later = false;
    own_writable(self, bound, call);
}

static const void *service(const pbay_host *host, const char *id)
{
    static pbay_call_1 calls;
    const void *table = own_service(host, id);
    if (!table || strcmp(id, PBAY_SVC_CALL)) return table;
    memcpy(&calls, table, sizeof calls);
    own_emit = calls.emit;
    calls.emit = emit;
    return &calls;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    static pbay_host watched;
    watched = *host;
    own_service = host->service;
    watched.service = service;
    return own_create(&watched, config, self, why);
}

static bool on_emit(void *user, struct pbay_builder *out, const pbay_batch *batch)
{
    (void)user, (void)batch;
    pb_builder_unref(out);
    return false; /* nobody reads on until pb_op_writable */
}

static bool ready;

static void on_ready(void *user)
{
    (void)user;
    ready = true;
}

static void on_complete(void *user, struct pb_op_answer *a)
{
    (void)user;
    emitted.over = true;
    if (a->out) pb_builder_unref(a->out);
}

static void look(const struct function *f)
{
    if (emitted.against)
        kit_fault("function %s: it went on emitting after `emit` had answered PBAY_LATER (%u times): wait "
                  "for `writable`, "
                  "and answer `push` with PBAY_LATER until then",
                  f->name, emitted.against);
}

static void press(struct function *f)
{
    static const struct pb_op_stream_fns fns = {NULL, on_emit, on_ready, on_complete};
    struct pb_err err = {0};
    struct pb_op_call *call = NULL;
    if (kit_is_map(f)) return;
    struct pb_op_context *ctx = kit_context(0);
    memset(&emitted, 0, sizeof emitted);
    int rc = pb_op_open(f->d->op, ctx, 1, &fns, NULL, &call, &err);
    pb_op_context_unref(ctx);
    if (rc) return;
    struct pbay_builder *b = kit_rows(f, 1000, false);
    const pbay_batch *rows = pb_builder_seal(b, &err);
    int32_t taken = PBAY_OK;
    for (int i = 0; i < PUSHES && taken == PBAY_OK && !emitted.over; i++) {
        taken = pb_op_push(call, rows);
        kit_turn(f->k);
        look(f);
    }
    /* Then all of it is read after all. */
    for (int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS; taken == PBAY_LATER && !emitted.over;) {
        pb_op_writable(call);
        kit_turn(f->k);
        look(f);
        if (ready) taken = pb_op_push(call, rows);
        ready = false;
        if (pb_mono_ns() > end)
            kit_fault(
                "function %s: `push` answered PBAY_LATER, and `ready` did not come though all rows were read",
                f->name);
    }
    if (!emitted.over) pb_op_end(call);
    for (int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS; !emitted.over;) {
        kit_turn(f->k);
        look(f);
        if (!emitted.over) pb_op_writable(call);
        if (pb_mono_ns() > end)
            kit_fault("function %s: a call whose caller reads slowly does not end within %lld ms", f->name,
                      (long long)f->k->patience_ms);
    }
    pb_builder_unref(b);
    kit_await_plugin(f);
}

void check_pressure(struct kit *k)
{
    kit_open(k);
    bool streams = false;
    for (uint32_t i = 0; i < k->plugin->functions.n_operations; i++)
        streams = streams || k->plugin->operations[i].shape != PBAY_SHAPE_MAP;
    if (!streams) kit_skip("it has no aggregates and no tables");
    own_create = k->plugin->entry.create;
    own_writable = k->plugin->functions.writable;
    k->plugin->entry.create = create;
    if (own_writable) k->plugin->functions.writable = writable;
    struct pb_err why = {0};
    struct pb_connector *c = kit_started(k);
    if (!kit_functions(k, c, press, &why))
        kit_untried("no operation could be bound without options: %s", why.msg);
    kit_no_faults(k, c);
    kit_close(k, c);
}

/* ------------------------------------------------------------------------------------------------ the loop
 */

void kit_quick(const char *what, const char *name, const int64_t took[KIT_TRIES])
{
    int64_t least = took[0];
    for (int i = 1; i < TRIES; i++)
        if (took[i] < least) least = took[i];
    if (least > KEPT_MS * PB_MS)
        kit_fault("%s%s kept the loop for %lld ms, each of %d times: what blocks goes to pbay.host.work/1, "
                  "what waits is "
                  "asked for and answered later",
                  what, name, (long long)(least / PB_MS), TRIES);
}

static void time_calls(struct function *f)
{
    int64_t took[TRIES];
    struct pb_err err = {0};
    if (!kit_is_map(f)) return;
    struct pbay_builder *b = kit_rows(f, 1, false);
    const pbay_batch *row = pb_builder_seal(b, &err);
    for (int i = 0; i < TRIES; i++) {
        struct pb_op_context *ctx = kit_context(0);
        const uint32_t before = f->k->calls_ended;
        const int64_t began = pb_mono_ns();
        const int rc = pb_op_submit(f->d->op, ctx, 1, row, b, 0, 1, kit_count_end, f->k, NULL, &err);
        took[i] = pb_mono_ns() - began;
        for (int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS;
             !rc && f->k->calls_ended == before && pb_mono_ns() < end;)
            kit_turn(f->k);
        pb_op_context_unref(ctx);
    }
    pb_builder_unref(b);
    kit_await_plugin(f);
    kit_quick("`submit` of function ", f->name, took);
}

void check_loop(struct kit *k)
{
    int64_t making[TRIES], starting[TRIES], stopping[TRIES];
    struct pb_err err = {0};
    kit_open(k);
    kit_close(k, kit_started(k));
    for (int i = 0; i < TRIES; i++) {
        const int64_t a = pb_mono_ns();
        struct pb_connector *c = kit_connector(k, false, &err);
        const int64_t b = pb_mono_ns();
        if (!c || pb_connector_start(c, &err)) kit_untried("it did not start: %s", err.msg);
        making[i] = b - a;
        starting[i] = pb_mono_ns() - b;
        if (i == TRIES - 1 && k->plugin->has_functions) kit_functions(k, c, time_calls, &err);
        if (i == TRIES - 1 && k->plugin->has_actions) kit_time_actions(k, c);
        kit_close(k, c);
        stopping[i] = k->stop_ns;
    }
    kit_quick("`create`", "", making);
    kit_quick("`start`", "", starting);
    kit_quick("`stop`", "", stopping);
}
