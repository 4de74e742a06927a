/* SPDX-License-Identifier: MIT */
/* pbay.host.invoke/1 after a script: the host's own service, with functions behind it that answer what the
 * test says. */
#include <patchbay/host_invoke.h>
#include <string.h>

#include "base/mem.h"
#include "mockhost/mock.h"
#include "plugin/invoke.h"
#include "plugin/services.h"

/* A function, operation or action that the plugin may call. */
struct pbay_mock_target {
    struct pbay_mock_target *next;
    char *name;
    struct pb_mock_fields params, returns;
    struct pb_buf answer; /* rows, or the JSON of an action */
    struct pb_err failure;
    bool silent; /* there is no answer */
    int64_t after_ms;
    /* the last that came */
    uint32_t seen;
    struct pb_buf rows; /* or arguments */
    struct pb_mock_headers options;
};

struct pb_invocation {
    struct pb_mock_later step; /* first */
    struct pbay_mock_target *target;
    const struct pb_invoke_sink *sink;
    void *user;
    uint32_t kind;
    struct pb_err why; /* code not OK: cancelled */
};

/* ------------------------------------------------------------------------------------------------ the script
 */

pbay_mock_target *pbay_mock_target_new(pbay_mock *m, const char *name, const char *params,
                                       const char *returns)
{
    struct pbay_mock_target *t = pb_zalloc(sizeof *t), **end = &m->targets;
    while (*end) end = &(*end)->next;
    *end = t;
    t->name = pb_strdup(name);
    t->silent = true;
    pb_mock_fields_parse(&t->params, params);
    pb_mock_fields_parse(&t->returns, returns);
    return t;
}

void pbay_mock_target_answer(pbay_mock_target *t, const char *rows)
{
    t->silent = false;
    t->answer.n = 0;
    pb_buf_c(&t->answer, rows);
    pb_err_clear(&t->failure);
}

void pbay_mock_target_fail(pbay_mock_target *t, int32_t code, uint32_t effect, const char *message)
{
    t->silent = false;
    pb_fail(&t->failure, code, "%s", message);
    t->failure.effect = effect;
}

void pbay_mock_target_after(pbay_mock_target *t, int64_t ms)
{
    t->after_ms = ms;
}

uint32_t pbay_mock_target_seen(pbay_mock_target *t)
{
    return t->seen;
}

const char *pbay_mock_target_rows(pbay_mock_target *t)
{
    struct pb_buf *b = pb_mock_text();
    const bool json = t->rows.n && *t->rows.p == '{';
    if (!json) pb_buf_ch(b, '[');
    pb_buf_str(b, pb_buf_view(&t->rows));
    if (!json) pb_buf_ch(b, ']');
    return pb_mock_said(b);
}

const char *pbay_mock_target_option(pbay_mock_target *t, const char *name)
{
    return pb_mock_headers_get(&t->options, name);
}

void pb_mock_targets_free(struct pbay_mock *m)
{
    while (m->targets) {
        struct pbay_mock_target *t = m->targets;
        m->targets = t->next;
        pb_mock_fields_free(&t->params);
        pb_mock_fields_free(&t->returns);
        pb_mock_headers_free(&t->options);
        pb_buf_free(&t->answer);
        pb_buf_free(&t->rows);
        pb_free(t->name);
        pb_free(t);
    }
}

static struct pbay_mock_target *find(pbay_str name)
{
    for (struct pbay_mock_target *t = pb_mock->targets; t; t = t->next)
        if (pb_str_is(name, t->name)) return t;
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ answers */

static void done(struct pb_invocation *i, const struct pb_err *err)
{
    static const struct pb_err fine;
    const struct pbay_mock_target *t = i->target;
    const struct pb_invoke_end end = {.json = i->kind == PBAY_INVOKE_ACTION && !err ? pb_buf_view(&t->answer)
                                                                                    : pb_str(NULL, 0)};
    pb_mock_later_cancel(&i->step);
    i->why.code = PBAY_CANCELLED; /* the plugin may end what it was invoked for, which would cancel it */
    i->sink->done(i->user, err ? err : &fine, &end);
    pb_free(i);
}

static void answer(struct pb_mock_later *l)
{
    struct pb_invocation *i = (struct pb_invocation *)(void *)l;
    const struct pbay_mock_target *t = i->target;
    if (i->why.code || t->failure.code) {
        const struct pb_err err = i->why.code ? i->why : t->failure;
        done(i, &err);
        return;
    }
    if (i->kind != PBAY_INVOKE_ACTION) {
        struct pb_err err;
        struct pbay_builder *b =
            pb_mock_rows_read(t->name, t->returns.list, t->returns.n, pb_buf_view(&t->answer));
        const pbay_batch *rows = b ? pb_builder_seal(b, &err) : NULL;
        i->sink->describe(i->user, t->returns.list, t->returns.n);
        if (rows && rows->n_rows) i->sink->rows(i->user, rows, false);
        pb_builder_unref(b);
    }
    if (i->why.code)
        pb_mock_later(&i->step, 0, answer); /* it was cancelled meanwhile */
    else
        done(i, NULL);
}

static void whole(struct pb_invocation *i)
{
    if (!i->target->silent) pb_mock_later(&i->step, i->target->after_ms, answer);
}

/* ------------------------------------------------------------------------------------------------ the table
 */

static int32_t describe(void *user, pbay_str function, pbay_invoke_function *out)
{
    const struct pbay_mock_target *t = find(function);
    (void)user;
    if (!t) return PBAY_NOT_FOUND;
    out->shape = PBAY_SHAPE_MAP;
    out->params = t->params.list;
    out->n_params = t->params.n;
    out->returns = t->returns.list;
    out->n_returns = t->returns.n;
    return PBAY_OK;
}

static struct pb_invocation *open_target(void *user, const struct pb_invoke_request *r,
                                         const struct pb_invoke_sink *sink, void *sink_user,
                                         struct pb_err *err)
{
    struct pbay_mock_target *t = find(r->target);
    (void)user;
    if (!t) {
        pb_mock_fault("\"%.*s\" was invoked, and the test has no such target", PB_FMT(r->target));
        pb_fail(err, PBAY_NOT_FOUND, "there is no \"%.*s\"", PB_FMT(r->target));
        return NULL;
    }
    struct pb_invocation *i = pb_zalloc(sizeof *i);
    i->target = t;
    i->sink = sink;
    i->user = sink_user;
    i->kind = r->kind;
    t->seen++;
    t->rows.n = 0;
    pb_mock_headers_copy(&t->options, r->options, r->n_options);
    if (r->kind == PBAY_INVOKE_ACTION) {
        pb_buf_str(&t->rows, r->json);
        whole(i);
    }
    return i;
}

static int32_t push(struct pb_invocation *i, const pbay_batch *in)
{
    if (i->why.code) return PBAY_CANCELLED;
    if (i->target->params.n && in->n_cols != i->target->params.n) {
        pb_mock_fault("%s was invoked with %u columns; it takes %u", i->target->name, in->n_cols,
                      i->target->params.n);
        return PBAY_CANCELLED;
    }
    pb_mock_rows_write(&i->target->rows, in);
    return PBAY_OK;
}

static void end(struct pb_invocation *i)
{
    if (i->kind != PBAY_INVOKE_ACTION) whole(i);
}

static void credit(struct pb_invocation *i, uint32_t rows)
{
    (void)i, (void)rows; /* an answer is one batch, and is delivered whole */
}

static void cancel(struct pb_invocation *i, const char *why)
{
    if (i->why.code) return;
    pb_fail(&i->why, PBAY_CANCELLED, "%s", why ? why : "cancelled");
    pb_mock_later(&i->step, 0, answer);
}

static pbay_str nth(void *user, uint32_t n)
{
    (void)user;
    for (struct pbay_mock_target *t = pb_mock->targets; t; t = t->next)
        if (!strchr(t->name, '.') && !n--) return pb_str_c(t->name);
    return pb_str(NULL, 0);
}

const struct pb_invoker pb_mock_invoker = {NULL, describe, open_target, push, end, credit, cancel, nth};

/* ------------------------------------------------------------------------------------------------ the
 * service */

#define ON_LOOP(function) pb_mock_on_loop(PBAY_SVC_INVOKE, function)

static pbay_invoke svc_open(const pbay_host *host, const pbay_invoke_info *info, pbay_str json,
                            const pbay_invoke_events *events, void *user, pbay_result *why)
{
    return ON_LOOP("open") ? pb_service_invoke.open(host, info, json, events, user, why) : 0;
}

static int32_t svc_push(pbay_invoke call, const pbay_batch *in)
{
    return ON_LOOP("push") ? pb_service_invoke.push(call, in) : PBAY_INTERNAL;
}

static void svc_end(pbay_invoke call)
{
    if (ON_LOOP("end")) pb_service_invoke.end(call);
}

static void svc_cancel(pbay_invoke call)
{
    if (ON_LOOP("cancel")) pb_service_invoke.cancel(call);
}

const pbay_invoke_1 *pb_mock_invoke_service(void)
{
    static pbay_invoke_1 table;
    table = pb_service_invoke;
    table.open = svc_open;
    table.push = svc_push;
    table.end = svc_end;
    table.cancel = svc_cancel;
    return &table;
}
