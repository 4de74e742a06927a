/* SPDX-License-Identifier: MIT */
#include "plugin/action_function.h"

#include <math.h>
#include <string.h>

#include <patchbay/functions.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "data/batch.h"
#include "data/config.h"
#include "data/json_object.h"
#include "data/json_scan.h"
#include "plugin/action.h"
#include "plugin/actions.h"
#include "plugin/operation_priv.h"

enum { MEMBERS_MAX = 4096, WAIT_DONE = 0 };

struct bound {
    struct pb_connector *connector; /* its own */
    pbay_str target, function;
    int64_t wait;
    struct pb_arena mem;
};

struct row {
    struct pb_job_watch watch;
    struct rows *all;
    struct pb_job_put put;
    int32_t code; /* not OK: the row failed, with message */
    pbay_str message;
    bool job;           /* put is one */
    bool known, waited; /* waited: its end is not known yet */
    char id[PB_ID_SIZE];
    enum pb_job_state state;
    struct pb_buf result;
};

/* One batch. */
struct rows {
    struct bound *b;
    pbay_call call;
    struct rows *next, *prev;
    struct pb_arena mem;
    struct pb_store_op op;
    struct row *list;
    uint32_t n, waiting;
    bool busy, given_up; /* busy: the store has it */
};

struct self {
    struct pb_connector *connector;
    struct rows calls; /* list head */
};

/* ------------------------------------------------------------------------ arguments of a row */

static void put_member(struct pb_buf *out, pbay_str name, pbay_str value)
{
    pb_buf_ch(out, out->n > 1 ? ',' : ' ');
    pb_buf_json(out, name);
    pb_buf_ch(out, ':');
    pb_buf_str(out, value);
}

static pbay_str cell_json(const pbay_column *col, uint32_t i, struct pb_arena *mem)
{
    if (col->kind == PBAY_JSON) return pbay_cell_text(col, i);
    if (col->kind == PBAY_NUM) {
        char text[PB_F64_MAX];
        if (!isfinite(col->num[i])) return PB_STR("null");
        size_t n = pb_format_f64(col->num[i], text);
        return pb_arena_str(mem, pb_str(text, n));
    }
    struct pb_buf b = {0};
    pb_buf_json(&b, pbay_cell_text(col, i));
    pbay_str s = pb_arena_str(mem, pb_buf_view(&b));
    pb_buf_free(&b);
    return s;
}

static pbay_str cell_plain(const pbay_column *col, uint32_t i, struct pb_arena *mem)
{
    if (col->kind == PBAY_NUM) return cell_json(col, i, mem);
    if (col->kind != PBAY_JSON) return pbay_cell_text(col, i);
    struct pb_buf scratch = {0};
    pbay_str s = pb_arena_str(mem, pb_json_text(pbay_cell_text(col, i), &scratch));
    pb_buf_free(&scratch);
    return s;
}

/* The members of an object in a cell. */
static int put_object(struct pb_buf *out, const pbay_column *col, uint32_t i, struct pb_arena *mem,
                      struct pb_err *err)
{
    struct pb_json_object o;
    pbay_str text = cell_plain(col, i, mem);
    if (pb_json_object(text, MEMBERS_MAX, PB_JSON_DEPTH, mem, &o, err)) return pb_fail_in(err, "args");
    for (size_t k = 0; k < o.n; k++) put_member(out, o.members[k].name, o.members[k].value);
    return 0;
}

static int read_row(struct rows *r, const pbay_batch *in, uint32_t i, pbay_str call_key, uint64_t number,
                    struct pb_err *err)
{
    struct row *row = &r->list[i];
    struct pb_buf args = {0};
    pbay_str key = {NULL, 0};
    int rc = 0;
    pb_buf_ch(&args, '{');
    for (uint32_t c = 0; c < in->n_cols && rc == 0; c++) {
        const pbay_column *col = pbay_batch_col(in, c);
        if (pbay_cell_null(col, i)) continue;
        if (pb_str_is(col->name, "key"))
            key = cell_plain(col, i, &r->mem);
        else if (pb_str_is(col->name, "args"))
            rc = put_object(&args, col, i, &r->mem, err);
        else
            put_member(&args, col->name, cell_json(col, i, &r->mem));
    }
    pb_buf_ch(&args, '}');
    pbay_str json = pb_arena_str(&r->mem, pb_buf_view(&args));
    pb_buf_free(&args);
    if (rc == 0) rc = pb_actions_job(r->b->connector->env->actions, r->b->target, json, &row->put, err);
    if (rc) return -1;
    /* One function's keys are not another's. */
    if (key.n)
        key = pb_str_c(pb_arena_printf(&r->mem, "%.*s/%.*s", PB_FMT(r->b->function), PB_FMT(key)));
    else if (call_key.n)
        key = pb_str_c(pb_arena_printf(&r->mem, "%.*s/%.*s/%llu", PB_FMT(r->b->function), PB_FMT(call_key),
                                       (unsigned long long)number));
    if (key.n > PB_STORE_KEY_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "a key of %zu bytes; expected at most %d with the function's name", key.n,
                       PB_STORE_KEY_MAX);
    row->put.key = key;
    row->put.function = r->b->function;
    row->job = true;
    return 0;
}

/* ------------------------------------------------------------------------ the end */

static void free_rows(struct rows *r)
{
    r->next->prev = r->prev;
    r->prev->next = r->next;
    for (uint32_t i = 0; i < r->n; i++) pb_buf_free(&r->list[i].result);
    pb_free(r->list);
    pb_arena_free(&r->mem);
    pb_free(r);
}

static void complete(struct rows *r, const struct pb_err *err)
{
    struct pb_op_call *call = pb_op_call_of(r->call, "complete");
    if (err) {
        pbay_result why = pb_err_result(err);
        if (call) pb_op_call_complete(call, &why, NULL);
        free_rows(r);
        return;
    }
    struct pbay_builder *out = pb_builder_get();
    const pbay_result ok = PBAY_RESULT_OK;
    pb_builder_column(out, PB_STR(""), PBAY_JSON);
    for (uint32_t i = 0; i < r->n; i++) {
        struct row *row = &r->list[i];
        pbay_str result = pb_buf_view(&row->result);
        if (row->code == PBAY_OK)
            pb_put_text(out, 0, result.p, result.n);
        else {
            pb_put_null(out, 0);
            pb_builder_row_error(out, i, row->code, row->message);
        }
    }
    if (call)
        pb_op_call_complete(call, &ok, out);
    else
        pb_builder_unref(out);
    free_rows(r);
}

static void give_up(struct rows *r)
{
    struct pb_err err = {0};
    pb_fail(&err, PBAY_CANCELLED, "nobody waits for these actions any more; they go on");
    err.effect = PBAY_EFFECT_MAYBE;
    complete(r, &err);
}

static void fail_row(struct rows *r, struct row *row, int32_t code, pbay_str message)
{
    row->code = code > PBAY_OK && code <= PBAY_UNAUTHENTICATED ? code : PBAY_UNKNOWN;
    row->message = pb_arena_str(&r->mem, message);
}

/* [store thread] */
static int read_results(struct pb_store *s, void *user, struct pb_err *err)
{
    struct rows *r = user;
    for (uint32_t i = 0; i < r->n; i++) {
        struct row *row = &r->list[i];
        if (row->code != PBAY_OK || row->state != PB_JOB_DONE) continue;
        row->result.n = 0;
        if (pb_store_job_result(s, pb_str_c(row->id), &row->result, err) == 0) continue;
        if (err->code != PBAY_NOT_FOUND) return -1;
        pb_buf_c(&row->result, "null"); /* expired */
    }
    return 0;
}

static void results_read(void *user, const struct pb_err *err)
{
    struct rows *r = user;
    r->busy = false;
    if (r->given_up)
        give_up(r);
    else
        complete(r, err);
}

static void all_ended(struct rows *r)
{
    r->busy = true;
    r->op = (struct pb_store_op){.run = read_results, .done = results_read, .user = r, .reads = true};
    pb_store_post(pb_durable_store(r->b->connector->env->durable), &r->op);
}

static void row_ended(void *user, const struct pb_job *job, const struct pb_err *err)
{
    struct row *row = user;
    struct rows *r = row->all;
    row->waited = false;
    if (err)
        fail_row(r, row, err->code, pb_str_c(err->msg));
    else if (job->state == PB_JOB_CANCELLED)
        fail_row(r, row, PBAY_CANCELLED, PB_STR("the action was cancelled"));
    else if (job->state == PB_JOB_PARKED)
        fail_row(r, row, PBAY_UNKNOWN,
                 job->error.n ? job->error : PB_STR("nobody can tell whether it was done"));
    else if (job->state != PB_JOB_DONE)
        fail_row(r, row, job->code, job->error);
    row->state = job ? job->state : PB_JOB_DEAD;
    if (--r->waiting == 0) all_ended(r);
}

/* ------------------------------------------------------------------------ the beginning */

/* [store thread] */
static int put_rows(struct pb_store *s, void *user, struct pb_err *err)
{
    struct rows *r = user;
    for (uint32_t i = 0; i < r->n; i++) {
        struct row *row = &r->list[i];
        if (row->job && pb_store_job_put(s, &row->put, row->id, &row->known, err) != 0) return -1;
    }
    return 0;
}

static void rows_put(void *user, const struct pb_err *err)
{
    struct rows *r = user;
    r->busy = false;
    if (err || r->given_up) {
        if (err)
            complete(r, err);
        else
            give_up(r);
        return;
    }
    if (r->b->wait != WAIT_DONE) {
        for (uint32_t i = 0; i < r->n; i++) {
            struct row *row = &r->list[i];
            if (row->code == PBAY_OK)
                pb_buf_printf(&row->result, "{\"job\":\"%s\",\"known\":%s}", row->id,
                              row->known ? "true" : "false");
        }
        complete(r, NULL);
        return;
    }
    for (uint32_t i = 0; i < r->n; i++) r->waiting += r->list[i].job;
    if (!r->waiting) {
        complete(r, NULL);
        return;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        struct row *row = &r->list[i];
        if (!row->job) continue;
        row->waited = true;
        row->watch = (struct pb_job_watch){.ended = row_ended, .user = row};
        memcpy(row->watch.id, row->id, sizeof row->id);
        pb_durable_watch(r->b->connector->env->durable, &row->watch);
    }
}

/* `patchbay explain`: what would be stored, row by row. */
static int32_t explain(struct rows *r, pbay_result *why)
{
    const struct pb_plugin_env *env = r->b->connector->env;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct row *row = &r->list[i];
        const pbay_header headers[] = {{PB_STR("queue"), row->put.queue}, {PB_STR("key"), row->put.key}};
        if (row->job)
            env->explain(env->explain_user, row->put.connector, PB_STR("ACTION"), row->put.action, headers,
                         row->put.key.n ? 2 : 1, row->put.args);
        else
            env->explain(env->explain_user, r->b->target, PB_STR("REFUSED"), row->message, NULL, 0,
                         PB_STR(""));
    }
    free_rows(r);
    why->message = PB_STR("it is only explained");
    return PBAY_CANCELLED;
}

static int32_t submit(void *self, void *bound, pbay_call handle, const pbay_batch *in, pbay_result *why)
{
    struct self *me = self;
    struct bound *b = bound;
    struct pb_op_call *call = pb_op_call_of(handle, "submit");
    struct pb_err err = {0};
    if (!b->connector->env->durable && !b->connector->env->explain) {
        why->message = PB_STR("there is no store here");
        return PBAY_UNAVAILABLE;
    }
    struct rows *r = pb_zalloc(sizeof *r);
    r->b = b;
    r->call = handle;
    r->n = in->n_rows;
    r->list = pb_zalloc(r->n * sizeof *r->list);
    r->next = &me->calls;
    r->prev = me->calls.prev;
    r->prev->next = r->next->prev = r;
    uint64_t first = call->ctx->next_row;
    call->ctx->next_row += r->n;
    for (uint32_t i = 0; i < r->n; i++) {
        struct row *row = &r->list[i];
        row->all = r;
        if (read_row(r, in, i, call->ctx->key, first + i, &err))
            fail_row(r, row, err.code, pb_str_c(err.msg));
    }
    if (b->connector->env->explain) return explain(r, why);
    r->busy = true;
    r->op = (struct pb_store_op){.run = put_rows, .done = rows_put, .user = r};
    pb_store_post(pb_durable_store(b->connector->env->durable), &r->op);
    return PBAY_OK;
}

static void cancel(void *self, void *bound, pbay_call handle)
{
    struct self *me = self;
    (void)bound;
    for (struct rows *r = me->calls.next; r != &me->calls; r = r->next) {
        if (r->call != handle) continue;
        r->given_up = true;
        if (r->busy) return;
        for (uint32_t i = 0; i < r->n; i++)
            if (r->list[i].waited) pb_durable_unwatch(r->b->connector->env->durable, &r->list[i].watch);
        give_up(r);
        return;
    }
}

/* ------------------------------------------------------------------------ binding, life */

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct self *me = self;
    struct pb_actions *actions = me->connector->env->actions;
    static _Thread_local struct pb_err err;
    pbay_str target = pb_config_get_str(info->config, "action");
    if (pb_actions_known(actions, target, &err)) {
        *why = pb_err_result(&err);
        return err.code;
    }
    for (uint32_t i = 0; i < info->n_sends; i++)
        if (!pb_actions_takes(actions, target, info->sends[i].name, &err)) {
            *why = pb_err_result(&err);
            return err.code;
        }
    struct bound *b = pb_zalloc(sizeof *b);
    b->connector = me->connector;
    b->target = pb_arena_str(&b->mem, target);
    b->function = pb_arena_str(&b->mem, info->name);
    b->wait = pb_config_get_int(info->config, "wait");
    *bound = b;
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    struct bound *b = bound;
    (void)self;
    pb_arena_free(&b->mem);
    pb_free(b);
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct self *me = pb_zalloc(sizeof *me);
    (void)config;
    (void)why;
    me->connector = pb_connector_of(host);
    me->calls.next = me->calls.prev = &me->calls;
    *self = me;
    return PBAY_OK;
}

static void destroy(void *self)
{
    pb_free(self);
}

static const pbay_option run_options[] = {
    {"action", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "CONNECTOR.ACTION that each row is one of."},
    {"wait", PBAY_OPT_ENUM, 0, "done", "done|stored",
     "done: a row's answer is what the action answered; stored: its job, as soon as that is on disk."},
};
static const pbay_operation operations[] = {
    {.name = PB_ACTION_OPERATION,
     .doc = "Each row is one action of a connector, as a durable job.",
     .shape = PBAY_SHAPE_MAP,
     .flags = PBAY_OPF_EFFECTS,
     .options = {run_options, PB_COUNTOF(run_options), sizeof *run_options}}};
static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                           .n_operations = PB_COUNTOF(operations),
                                           .operations = operations,
                                           .operation_stride = sizeof *operations,
                                           .bind = bind,
                                           .unbind = unbind,
                                           .submit = submit,
                                           .cancel = cancel};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) ? NULL : &functions;
}

const pbay_entry *pb_action_function_entry(void)
{
    static const pbay_descriptor descriptor = {.struct_size = sizeof descriptor,
                                               .name = PB_ACTION_PLUGIN,
                                               .version = PB_VERSION,
                                               .vendor = "Patchbay",
                                               .license = "MIT",
                                               .summary = "Functions whose rows are actions of connectors.",
                                               .options = {NULL, 0, sizeof(pbay_option)}};
    static const pbay_entry entry = {.magic = PBAY_MAGIC,
                                     .struct_size = sizeof entry,
                                     .abi_major = PBAY_ABI_MAJOR,
                                     .abi_minor = PBAY_ABI_MINOR,
                                     .descriptor = &descriptor,
                                     .create = create,
                                     .destroy = destroy,
                                     .extension = extension};
    return &entry;
}
