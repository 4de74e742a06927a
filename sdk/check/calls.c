/* SPDX-License-Identifier: MIT */
/*
 * Calls: each function of the configuration, else each operation that needs no options, over a few batches.
 *
 * What a plugin does that it must not do the host notices and counts (plugin/operation.h); here are the calls
 * that bring it out.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "data/batch.h"

struct outcome {
    const struct function *f;
    uint32_t ends;
    bool ok, late, mute;
    uint32_t rows;
    int32_t code;
    char message[PB_ERR_TEXT];
};

/* ------------------------------------------------------------------------------------------------ functions
 */

static void release(struct function *f)
{
    pb_op_unbind(f->d->op);
    for (int i = 0; i < 5; i++) kit_turn(f->k);
    pb_declared_free(f->d);
}

/* An operation that no section is about: one text in, one text out. NULL with why. */
static struct pb_declared *without_section(const struct kit *k, uint32_t operation, struct pb_err *why)
{
    const char *name = k->plugin->operations[operation].name;
    struct pb_ini *made = NULL;
    char text[512];
    snprintf(text, sizeof text, "[function \"%s\"]\noperation = %s\nparams = text:str\nreturns = str\n", name,
             name);
    struct pb_declared *d = pb_ini_parse("(no configuration)", pb_str_c(text), PB_INI_OURS, &made, why)
                                ? NULL
                                : pb_declared_new(made->sections[0], k->plugin, "/", why);
    pb_ini_free(made);
    return d;
}

uint32_t kit_functions(struct kit *k, struct pb_connector *c, void (*run)(struct function *f),
                       struct pb_err *why)
{
    uint32_t n = 0;
    const struct pb_ini_section *own = pb_declared_connector(k->ini, k->plugin);
    for (size_t i = 0; own && i < k->ini->n; i++) {
        const struct pb_ini_section *s = k->ini->sections[i];
        if (!pb_declared_is(s, own->name)) continue;
        struct function f = {.k = k, .c = c, .d = pb_declared_new(s, k->plugin, "/", why)};
        if (!f.d || pb_declared_bind(f.d, c, why)) {
            if (!k->ini_may_fail) kit_fault("[function \"%.*s\"]: %s", PB_FMT(s->name), why->msg);
            pb_declared_free(f.d);
            continue;
        }
        f.name = f.d->name;
        run(&f);
        release(&f);
        n++;
    }
    for (uint32_t i = 0, of = n ? 0 : k->plugin->functions.n_operations; i < of; i++) {
        struct function f = {.k = k, .c = c, .d = without_section(k, i, why)};
        if (!f.d) continue;
        if (pb_declared_bind(f.d, c, why)) {
            pb_declared_free(f.d);
            continue;
        }
        f.name = f.d->name;
        run(&f);
        release(&f);
        n++;
    }
    return n;
}

/* ------------------------------------------------------------------------------------------------ rows */

/* n rows; every third cell is null when holes. */
struct pbay_builder *kit_rows(const struct function *f, uint32_t n, bool holes)
{
    struct pbay_builder *b = pb_builder_new();
    for (uint32_t c = 0; c < f->d->n_sends; c++)
        pb_builder_column(b, f->d->sends[c].name, f->d->sends[c].kind);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < f->d->n_sends; c++) {
            char text[32];
            int len =
                snprintf(text, sizeof text, f->d->sends[c].kind == PBAY_JSON ? "{\"row\":%u}" : "%u", i);
            const pbay_str s = pb_str(text, (size_t)len);
            if (holes && (i + c) % 3 == 0)
                pb_put_null(b, c);
            else if (f->d->sends[c].kind == PBAY_NUM)
                pb_put_num(b, c, i);
            else if (f->d->sends[c].kind == PBAY_DUAL)
                pb_put_dual(b, c, i, s.p, s.n);
            else
                pb_put_text(b, c, s.p, s.n);
        }
    }
    return b;
}

static void on_complete(void *user, struct pb_op_answer *a)
{
    struct outcome *o = user;
    if (o->ends++) kit_fault("function %s: a call ended twice", o->f->name);
    o->ok = !a->err;
    o->late = a->late;
    if (a->err) {
        o->code = a->err->code;
        o->mute = kit_is_mute(a->err);
        snprintf(o->message, sizeof o->message, "%s", a->err->msg);
    } else if (a->batch) {
        o->rows = a->batch->n_rows;
        pb_builder_unref(a->out);
    }
}

struct pb_op_context *kit_context(int64_t deadline_ms)
{
    static const pbay_identity nobody = {.struct_size = sizeof nobody};
    const struct pb_op_context_info info = {.identity = &nobody,
                                            .deadline_ns = deadline_ms ? pb_mono_ns() + deadline_ms * PB_MS
                                                                       : PB_NO_DEADLINE};
    return pb_op_context_new(&info);
}

void kit_count_end(void *user, struct pb_op_answer *a)
{
    ((struct kit *)user)->calls_ended++;
    if (a->out) pb_builder_unref(a->out);
}

/* Turn the loop until it ended; a call that does not is a fault. */
static void await(const struct function *f, struct outcome *o)
{
    int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS;
    while (!o->ends) {
        kit_turn(f->k);
        if (!o->ends && pb_mono_ns() > end)
            kit_fault("function %s: a call was accepted and not completed within %lld ms (--patience)",
                      f->name, (long long)f->k->patience_ms);
    }
}

/* What was answered in its place must still be completed. */
void kit_await_plugin(const struct function *f)
{
    int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS;
    while (pb_op_in_flight(f->d->op)) {
        kit_turn(f->k);
        if (pb_mono_ns() > end)
            kit_fault(
                "function %s: %u call(s) that were cancelled or late are still not completed after %lld ms: "
                "every "
                "call that `submit` or `open` accepted owes one `complete`, also after cancel and deadline",
                f->name, pb_op_in_flight(f->d->op), (long long)f->k->patience_ms);
    }
}

/* ------------------------------------------------------------------------------------------------ maps */

/* A refusal is an answer, if it says why. */
static bool submit(struct function *f, struct outcome *o, struct pbay_builder *b, int64_t deadline_ms,
                   struct pb_op_call **call)
{
    struct pb_err err = {0};
    struct pb_op_context *ctx = kit_context(deadline_ms);
    const pbay_batch *batch = pb_builder_seal(b, &err);
    *o = (struct outcome){.f = f};
    int rc = pb_op_submit(f->d->op, ctx, 1, batch, b, 0, batch->n_rows, on_complete, o, call, &err);
    pb_op_context_unref(ctx);
    if (rc && kit_is_mute(&err)) kit_fault("function %s: `submit` refused without a message" SAY, f->name);
    return rc == 0;
}

static void map_once(struct function *f, uint32_t n, bool holes)
{
    struct outcome o;
    struct pbay_builder *b = kit_rows(f, n, holes);
    if (submit(f, &o, b, 0, NULL)) {
        await(f, &o);
        if (o.ok && o.rows != n)
            kit_fault("function %s: %u rows were sent and %u answered", f->name, n, o.rows);
        if (!o.ok && o.mute) kit_fault("function %s: a call failed without a message" SAY, f->name);
    }
    pb_builder_unref(b);
    kit_await_plugin(f);
    kit_no_faults(f->k, f->c);
}

/* ------------------------------------------------------------------------------------------------ streams */

struct stream {
    struct outcome o;
    bool ready;
    uint32_t emitted;
    struct pb_op_call *call;
};

static bool on_emit(void *user, struct pbay_builder *out, const pbay_batch *batch)
{
    struct stream *s = user;
    s->emitted += batch->n_rows;
    pb_builder_unref(out);
    return s->emitted % 2 == 0; /* now and then the caller is slow */
}

static void on_ready(void *user)
{
    ((struct stream *)user)->ready = true;
}

static void stream_complete(void *user, struct pb_op_answer *a)
{
    struct stream *s = user;
    s->call = NULL;
    on_complete(&s->o, a);
}

static const struct pb_op_stream_fns stream_fns = {NULL, on_emit, on_ready, stream_complete};

static void stream_once(struct function *f, uint32_t batches, bool cancel)
{
    struct stream s = {.o = {.f = f}};
    struct pb_err err = {0};
    struct pb_op_context *ctx = kit_context(0);
    int rc = pb_op_open(f->d->op, ctx, 1, &stream_fns, &s, &s.call, &err);
    pb_op_context_unref(ctx);
    if (rc && kit_is_mute(&err)) kit_fault("function %s: `open` refused without a message" SAY, f->name);
    for (uint32_t i = 0; !rc && s.call && i < batches;) {
        struct pbay_builder *b = kit_rows(f, 100, i % 2);
        s.ready = false;
        int32_t taken = pb_op_push(s.call, pb_builder_seal(b, &err));
        for (int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS;
             taken == PBAY_LATER && !s.ready && s.call;) {
            pb_op_writable(s.call);
            kit_turn(f->k);
            if (pb_mono_ns() > end)
                kit_fault("function %s: `push` answered PBAY_LATER, and `ready` did not come within %lld ms",
                          f->name, (long long)f->k->patience_ms);
        }
        pb_builder_unref(b);
        if (taken != PBAY_LATER) i++;
        if (taken == PBAY_CANCELLED) break;
    }
    if (!rc && s.call && cancel)
        pb_op_cancel(s.call);
    else if (!rc && s.call)
        pb_op_end(s.call);
    for (int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS; !rc && !s.o.ends;) {
        if (s.call) pb_op_writable(s.call);
        kit_turn(f->k);
        if (pb_mono_ns() > end) await(f, &s.o);
    }
    kit_await_plugin(f);
    kit_no_faults(f->k, f->c);
}

bool kit_is_map(const struct function *f)
{
    return pb_op_shape(f->d->op) == PBAY_SHAPE_MAP;
}

/* ------------------------------------------------------------------------------------------------ the checks
 */

void kit_over_functions(struct kit *k, void (*run)(struct function *f))
{
    struct pb_err why = {0};
    kit_open(k);
    if (!k->plugin->has_functions) kit_skip("it offers no functions");
    struct pb_connector *c = kit_started(k);
    if (!kit_functions(k, c, run, &why))
        kit_untried("no operation could be bound without options: %s", why.msg);
    kit_no_faults(k, c);
    kit_close(k, c);
}

static void call_it(struct function *f)
{
    static const uint32_t sizes[] = {1, 2, 64, 65, 1000};
    for (size_t i = 0; i < PB_COUNTOF(sizes); i++) {
        if (kit_is_map(f)) {
            map_once(f, sizes[i], false);
            map_once(f, sizes[i], true);
        } else
            stream_once(f, sizes[i] > 64 ? 8 : 1, false);
    }
    if (!kit_is_map(f)) stream_once(f, 0, false);
}

void check_calls(struct kit *k)
{
    kit_over_functions(k, call_it);
}

static void cancel_it(struct function *f)
{
    for (int i = 0; i < 50; i++) {
        if (!kit_is_map(f)) {
            stream_once(f, (uint32_t)i % 3, true);
            continue;
        }
        struct outcome o;
        struct pb_op_call *call = NULL;
        struct pbay_builder *b = kit_rows(f, 10, false);
        if (submit(f, &o, b, 0, &call)) {
            for (int t = 0; t < i % 3 && !o.ends; t++) kit_turn(f->k);
            if (!o.ends) pb_op_cancel(call);
            await(f, &o);
        }
        pb_builder_unref(b);
        kit_await_plugin(f);
    }
    kit_no_faults(f->k, f->c);
}

void check_cancel(struct kit *k)
{
    kit_over_functions(k, cancel_it);
}

/* A stream that nobody ends: its deadline does. */
static void late_stream(struct function *f, int64_t deadline_ms)
{
    struct stream s = {.o = {.f = f}};
    struct pb_err err = {0};
    struct pb_op_context *ctx = kit_context(deadline_ms);
    struct pbay_builder *b = kit_rows(f, 10, false);
    if (pb_op_open(f->d->op, ctx, 1, &stream_fns, &s, &s.call, &err) == 0) {
        pb_op_push(s.call, pb_builder_seal(b, &err));
        await(f, &s.o);
    }
    pb_op_context_unref(ctx);
    pb_builder_unref(b);
    kit_await_plugin(f);
}

static void be_late(struct function *f)
{
    for (int i = 0; i < 5 && !kit_is_map(f); i++) late_stream(f, 1 + i);
    for (int i = 0; i < 5 && kit_is_map(f); i++) {
        struct outcome o;
        struct pbay_builder *b = kit_rows(f, 10, false);
        if (submit(f, &o, b, 1 + i, NULL)) await(f, &o);
        pb_builder_unref(b);
        kit_await_plugin(f);
    }
    kit_no_faults(f->k, f->c);
}

void check_deadline(struct kit *k)
{
    kit_over_functions(k, be_late);
}

enum { OPEN_CALLS = 8 };

/* They outlive the function, and end with the process that this check is. */
static void close_on_it(struct function *f)
{
    struct function *kept = pb_alloc(sizeof *kept);
    struct pbay_builder *b = kit_rows(f, 10, false);
    struct pb_op_context *ctx = kit_context(0);
    struct pb_err err = {0};
    *kept = *f;
    kept->name = pb_strdup(f->name);
    for (int i = 0; i < OPEN_CALLS; i++) {
        struct stream *s = pb_zalloc(sizeof *s);
        if (kit_is_map(f)) {
            submit(kept, &s->o, b, 0, NULL);
            continue;
        }
        s->o.f = kept;
        if (pb_op_open(f->d->op, ctx, 1, &stream_fns, s, &s->call, &err)) continue;
        pb_op_push(s->call, pb_builder_seal(b, &err));
        if (s->call) pb_op_end(s->call);
    }
    pb_op_context_unref(ctx);
    pb_builder_unref(b);
}

/* The instance is stopped while calls run: they end, and only then it is destroyed. */
void check_close(struct kit *k)
{
    kit_over_functions(k, close_on_it);
}
