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
#include "data/config.h"

enum { COLUMNS = 16 };

/* One function to call. */
struct function {
    struct kit *k;
    struct pb_connector *c;
    const char *name;
    uint32_t operation;
    struct pbay_config *config;
    pbay_field fields[COLUMNS], answers[COLUMNS];
    uint32_t n_fields, n_answers;
    struct pb_op *op;
};

struct outcome {
    const struct function *f;
    uint32_t ends;
    bool ok, late;
    uint32_t rows;
    int32_t code;
    char message[PB_ERR_TEXT];
};

/* ------------------------------------------------------------------------------------------------ functions
 */

static const pbay_option host_keys[] = {
    {"connector", PBAY_OPT_STR, 0, NULL, NULL, "passed over here"},
    {"operation", PBAY_OPT_STR, 0, NULL, NULL, "which operation"},
    {"params", PBAY_OPT_LIST, 0, "text:str", NULL, "the columns that are sent, name:kind"},
    {"returns", PBAY_OPT_LIST, 0, NULL, NULL,
     "the kind of the answer, or of a table name:kind for each column"},
    {"answer", PBAY_OPT_LIST, 0, NULL, NULL, "the same, when a script makes something else of it"},
    {"max_rows", PBAY_OPT_INT, 0, "1000", "1..1000000", "rows of a batch"},
};
static const pbay_option_table host_table = {host_keys, PB_COUNTOF(host_keys), sizeof(pbay_option)};

static uint32_t kind_of(pbay_str s)
{
    if (pb_str_is(s, "num")) return PBAY_NUM;
    if (pb_str_is(s, "dual")) return PBAY_DUAL;
    if (pb_str_is(s, "json")) return PBAY_JSON;
    return PBAY_STR;
}

/* "name:kind, name:kind"; bare: a kind alone is one. How many there are. */
static uint32_t fields_of(const struct function *f, const char *option, bool bare, pbay_field out[COLUMNS])
{
    uint32_t n = pb_config_count(f->config, option);
    pbay_str key;
    if (n > COLUMNS) n = COLUMNS;
    for (uint32_t i = 0; i < n; i++) {
        pbay_str item = pb_config_item(f->config, option, i, &key);
        size_t colon = pb_str_chr(item, ':');
        if (colon == item.n && bare)
            out[i] = (pbay_field){.name = PB_STR("answer"), .kind = kind_of(item)};
        else
            out[i] = (pbay_field){
                .name = pb_str(item.p, colon),
                .kind = colon < item.n ? kind_of(pb_str_trim(pb_str(item.p + colon + 1, item.n - colon - 1)))
                                       : PBAY_STR};
    }
    return n;
}

static void read_fields(struct function *f)
{
    const bool table = f->k->plugin->operations[f->operation].shape == PBAY_SHAPE_TABLE;
    f->n_fields = fields_of(f, "params", false, f->fields);
    f->n_answers = fields_of(f, "answer", !table, f->answers);
    if (!f->n_answers) f->n_answers = fields_of(f, "returns", !table, f->answers);
    if (!f->n_answers && !table) {
        f->answers[0] = (pbay_field){.name = PB_STR("answer"), .kind = PBAY_STR};
        f->n_answers = 1;
    }
}

/* 0; -1 with err: it wants options that are not there. */
static int configure(struct function *f, const struct pb_ini_section *section, struct pb_err *err)
{
    const pbay_option_table *tables[] = {&host_table, &f->k->plugin->operations[f->operation].options};
    const struct pb_config_env env = {"/", NULL, NULL};
    struct pb_ini *made = NULL;
    if (!section) {
        char text[256];
        snprintf(text, sizeof text, "[function \"%s\"]\noperation = %s\n", f->name, f->name);
        if (pb_ini_parse("(no configuration)", pb_str_c(text), PB_INI_OURS, &made, err)) return -1;
        section = made->sections[0];
    }
    int rc = pb_config_make(section, tables, 2, &env, &f->config, err);
    pb_ini_free(made);
    if (!rc) read_fields(f);
    return rc;
}

static int bind_function(struct function *f, struct pb_err *err)
{
    const pbay_operation *o = &f->k->plugin->operations[f->operation];
    const pbay_function_info info = {.struct_size = sizeof info,
                                     .name = pb_str_c(f->name),
                                     .sends = f->fields,
                                     .n_sends = f->n_fields,
                                     .answers = f->answers,
                                     .n_answers = f->n_answers,
                                     .max_rows = (uint32_t)pb_config_get_int(f->config, "max_rows"),
                                     .config = f->config};
    f->op = pb_op_bind(f->c, pb_str_c(o->name), &info, err);
    return f->op ? 0 : -1;
}

static void release(struct function *f)
{
    pb_op_unbind(f->op);
    for (int i = 0; i < 5; i++) kit_turn(f->k);
    pb_config_free(f->config);
}

/* Each function that can be called, one after the other. How many there were; *why is why another could not.
 */
static uint32_t each_function(struct kit *k, struct pb_connector *c, void (*run)(struct function *f),
                              struct pb_err *why)
{
    uint32_t n = 0;
    bool configured = false;
    for (size_t i = 0; k->ini && i < k->ini->n; i++) {
        const struct pb_ini_section *s = k->ini->sections[i];
        const struct pb_ini_entry *e = pb_ini_get(s, "operation");
        int op = e ? pb_plugin_operation(k->plugin, e->value) : -1;
        if (!pb_str_is(s->kind, "function") || op < 0) continue;
        char *name = pb_strndup(s->name.p, s->name.n);
        struct function f = {.k = k, .c = c, .name = name, .operation = (uint32_t)op};
        configured = true;
        if (configure(&f, s, why) || bind_function(&f, why))
            kit_fault("[function \"%s\"]: %s", name, why->msg);
        run(&f);
        release(&f);
        pb_free(name);
        n++;
    }
    for (uint32_t i = 0; !configured && i < k->plugin->functions.n_operations; i++) {
        struct function f = {.k = k, .c = c, .name = k->plugin->operations[i].name, .operation = i};
        if (configure(&f, NULL, why)) continue;
        if (bind_function(&f, why)) {
            pb_config_free(f.config);
            continue;
        }
        run(&f);
        release(&f);
        n++;
    }
    return n;
}

/* ------------------------------------------------------------------------------------------------ rows */

/* n rows; every third cell is null when holes. */
static struct pbay_builder *rows_for(const struct function *f, uint32_t n, bool holes)
{
    struct pbay_builder *b = pb_builder_new();
    for (uint32_t c = 0; c < f->n_fields; c++) pb_builder_column(b, f->fields[c].name, f->fields[c].kind);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < f->n_fields; c++) {
            char text[32];
            int len = snprintf(text, sizeof text, f->fields[c].kind == PBAY_JSON ? "{\"row\":%u}" : "%u", i);
            const pbay_str s = pb_str(text, (size_t)len);
            if (holes && (i + c) % 3 == 0)
                pb_put_null(b, c);
            else if (f->fields[c].kind == PBAY_NUM)
                pb_put_num(b, c, i);
            else if (f->fields[c].kind == PBAY_DUAL)
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
        snprintf(o->message, sizeof o->message, "%s", a->err->msg);
    } else if (a->batch) {
        o->rows = a->batch->n_rows;
        pb_builder_unref(a->out);
    }
}

static struct pb_op_context *context(int64_t deadline_ms)
{
    static const pbay_identity nobody = {.struct_size = sizeof nobody};
    const struct pb_op_context_info info = {.identity = &nobody,
                                            .deadline_ns = deadline_ms ? pb_mono_ns() + deadline_ms * PB_MS
                                                                       : PB_NO_DEADLINE};
    return pb_op_context_new(&info);
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
static void await_plugin(const struct function *f)
{
    int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS;
    while (pb_op_in_flight(f->op)) {
        kit_turn(f->k);
        if (pb_mono_ns() > end)
            kit_fault(
                "function %s: %u call(s) that were cancelled or late are still not completed after %lld ms: "
                "every "
                "call that `submit` or `open` accepted owes one `complete`, also after cancel and deadline",
                f->name, pb_op_in_flight(f->op), (long long)f->k->patience_ms);
    }
}

/* ------------------------------------------------------------------------------------------------ maps */

/* A refusal is an answer, if it says why. */
static bool submit(struct function *f, struct outcome *o, struct pbay_builder *b, int64_t deadline_ms,
                   struct pb_op_call **call)
{
    struct pb_err err = {0};
    struct pb_op_context *ctx = context(deadline_ms);
    const pbay_batch *batch = pb_builder_seal(b, &err);
    *o = (struct outcome){.f = f};
    int rc = pb_op_submit(f->op, ctx, 1, batch, b, 0, batch->n_rows, on_complete, o, call, &err);
    pb_op_context_unref(ctx);
    if (rc && !err.msg[0]) kit_fault("function %s: a batch was refused without a message", f->name);
    return rc == 0;
}

static void map_once(struct function *f, uint32_t n, bool holes)
{
    struct outcome o;
    struct pbay_builder *b = rows_for(f, n, holes);
    if (submit(f, &o, b, 0, NULL)) {
        await(f, &o);
        if (o.ok && o.rows != n)
            kit_fault("function %s: %u rows were sent and %u answered", f->name, n, o.rows);
        if (!o.ok && !o.message[0]) kit_fault("function %s: a call failed without a message", f->name);
    }
    pb_builder_unref(b);
    await_plugin(f);
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
    struct pb_op_context *ctx = context(0);
    int rc = pb_op_open(f->op, ctx, 1, &stream_fns, &s, &s.call, &err);
    pb_op_context_unref(ctx);
    if (rc && !err.msg[0]) kit_fault("function %s: a call was refused without a message", f->name);
    for (uint32_t i = 0; !rc && s.call && i < batches;) {
        struct pbay_builder *b = rows_for(f, 100, i % 2);
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
    await_plugin(f);
    kit_no_faults(f->k, f->c);
}

static bool is_map(const struct function *f)
{
    return pb_op_shape(f->op) == PBAY_SHAPE_MAP;
}

/* ------------------------------------------------------------------------------------------------ the checks
 */

static void over_functions(struct kit *k, void (*run)(struct function *f))
{
    struct pb_err why = {0};
    kit_open(k);
    if (!k->plugin->has_functions) kit_skip("it offers no functions");
    struct pb_connector *c = kit_started(k);
    if (!each_function(k, c, run, &why))
        kit_skip("no operation could be bound without options: %s (--config gives [function] sections)",
                 why.msg);
    kit_no_faults(k, c);
    kit_close(k, c);
}

static void call_it(struct function *f)
{
    static const uint32_t sizes[] = {1, 2, 64, 65, 1000};
    for (size_t i = 0; i < PB_COUNTOF(sizes); i++) {
        if (is_map(f)) {
            map_once(f, sizes[i], false);
            map_once(f, sizes[i], true);
        } else
            stream_once(f, sizes[i] > 64 ? 8 : 1, false);
    }
    if (!is_map(f)) stream_once(f, 0, false);
}

void check_calls(struct kit *k)
{
    over_functions(k, call_it);
}

static void cancel_it(struct function *f)
{
    for (int i = 0; i < 50; i++) {
        if (!is_map(f)) {
            stream_once(f, (uint32_t)i % 3, true);
            continue;
        }
        struct outcome o;
        struct pb_op_call *call = NULL;
        struct pbay_builder *b = rows_for(f, 10, false);
        if (submit(f, &o, b, 0, &call)) {
            for (int t = 0; t < i % 3 && !o.ends; t++) kit_turn(f->k);
            if (!o.ends) pb_op_cancel(call);
            await(f, &o);
        }
        pb_builder_unref(b);
        await_plugin(f);
    }
    kit_no_faults(f->k, f->c);
}

void check_cancel(struct kit *k)
{
    over_functions(k, cancel_it);
}

static void be_late(struct function *f)
{
    for (int i = 0; i < 5 && is_map(f); i++) {
        struct outcome o;
        struct pbay_builder *b = rows_for(f, 10, false);
        if (submit(f, &o, b, 1 + i, NULL)) await(f, &o);
        pb_builder_unref(b);
        await_plugin(f);
    }
    kit_no_faults(f->k, f->c);
}

void check_deadline(struct kit *k)
{
    over_functions(k, be_late);
}

static struct outcome outcomes[8];

static void close_on_it(struct function *f)
{
    struct pbay_builder *b = rows_for(f, 10, false);
    for (size_t i = 0; i < PB_COUNTOF(outcomes) && is_map(f); i++) submit(f, &outcomes[i], b, 0, NULL);
    pb_builder_unref(b);
}

/* The instance is stopped while calls run: they end, and only then it is destroyed. */
void check_close(struct kit *k)
{
    over_functions(k, close_on_it);
}
