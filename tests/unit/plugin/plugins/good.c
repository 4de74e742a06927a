/* SPDX-License-Identifier: MIT */
/*
 * A plugin that keeps the rules, and operations that break one each when asked for: what the tests of the
 * host's side call. State is per instance; what a test wants to know afterwards is in the metrics and in the
 * answers.
 */
#include <string.h>
#include <stdlib.h>

#include <patchbay/commands.h>
#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_timer.h>
#include <patchbay/host_work.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>
#include <stdio.h>

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

enum op {
    ECHO,
    LATER,
    NEVER,
    REFUSE,
    FAIL,
    TWICE,
    NO_ROWS,
    CROOKED,
    BLOCKING,
    WHO,
    SUM,
    TABLE,
    UNDESCRIBED,
    STALL,
    KV
};

struct good {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_timer_1 *timer;
    const pbay_work_1 *work;
    const pbay_kv_1 *kv;
    const pbay_metric_1 *metric;
    pbay_request request;
    const pbay_command_1 *command;
    pbay_command_run run; /* the one that counts */
    pbay_timer counting;
    pbay_resolve asked; /* never answered, until somebody asks for said:release */
    uint64_t count;
};

struct bound {
    enum op op;
};

/* One call that ends later. */
struct later {
    struct good *g;
    pbay_call call;
    const pbay_batch *in;
    double sum;
    uint32_t rows, emitted, slot;
    int wait, ended;
};

static pbay_builder *echo(struct good *g, const pbay_batch *in)
{
    pbay_builder *b = g->batch->create(g->host);
    for (uint32_t c = 0; c < in->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(in, c);
        g->batch->add_column(b, col->name, col->kind);
    }
    for (uint32_t c = 0; c < in->n_cols; c++) g->batch->copy(b, c, pbay_batch_col(in, c), 0, in->n_rows);
    return b;
}

static void complete(struct good *g, pbay_call call, int32_t code, const char *message, pbay_builder *out)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message.p = message;
    r.message.n = strlen(message);
    g->call->complete(call, &r, out);
}

static void finish_later(void *user)
{
    struct later *l = user;
    complete(l->g, l->call, PBAY_OK, "", echo(l->g, l->in));
    free(l);
}

static void in_thread(void *user, uint32_t slot)
{
    struct later *l = user;
    l->slot = slot + 1;
}

static void after_thread(void *user, int cancelled)
{
    struct later *l = user;
    if (cancelled || !l->slot) {
        complete(l->g, l->call, PBAY_UNAVAILABLE, "the pool is closing", NULL);
        free(l);
        return;
    }
    finish_later(l);
}

static struct later *later_new(struct good *g, pbay_call call, const pbay_batch *in)
{
    struct later *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->g = g;
    l->call = call;
    l->in = in;
    return l;
}

static void kv_found(void *user, const pbay_result *result, pbay_str value)
{
    struct later *l = user;
    if (result->code == PBAY_OK && value.n == 5 && !memcmp(value.p, "value", 5)) {
        finish_later(l);
        return;
    }
    complete(l->g, l->call, result->code ? result->code : PBAY_INTERNAL, "kv", NULL);
    free(l);
}

static void kv_stored(void *user, const pbay_result *result)
{
    struct later *l = user;
    if (result->code == PBAY_OK) {
        l->g->kv->get(l->g->host, STR("key"), kv_found, l);
        return;
    }
    complete(l->g, l->call, result->code, "kv", NULL);
    free(l);
}

static pbay_builder *who(struct good *g, pbay_call call, const pbay_batch *in)
{
    const pbay_identity *id = g->call->identity(call);
    const pbay_str cells[] = {id->user, id->app, g->call->function(call), g->call->traceparent(call)};
    pbay_builder *b = g->batch->create(g->host);
    const uint32_t n = sizeof cells / sizeof *cells;
    for (uint32_t c = 0; c < n; c++) g->batch->add_column(b, STR("c"), PBAY_STR);
    for (uint32_t i = 0; i < n * in->n_rows; i++) g->batch->text(b, i % n, cells[i % n]);
    g->call->no_store(call);
    return b;
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct good *g = self;
    pbay_builder *b;
    switch (((struct bound *)bound)->op) {
    case LATER: g->timer->start(g->host, 1, 0, finish_later, later_new(g, call, in)); break;
    case NEVER: g->request = call; break;
    case REFUSE:
        why->code = PBAY_RESOURCE_EXHAUSTED;
        why->advice = PBAY_ADVICE_SLOW;
        why->message = STR("not today");
        return PBAY_RESOURCE_EXHAUSTED;
    case FAIL: complete(g, call, PBAY_NOT_FOUND, "no such endpoint", NULL); break;
    case TWICE:
        complete(g, call, PBAY_OK, "", echo(g, in));
        complete(g, call, PBAY_OK, "", echo(g, in));
        break;
    case NO_ROWS: complete(g, call, PBAY_OK, "", NULL); break;
    case CROOKED:
        b = echo(g, in);
        g->batch->null(b, 0);
        complete(g, call, PBAY_OK, "", b);
        break;
    case BLOCKING:
        if (g->work->submit(g->host, in_thread, after_thread, later_new(g, call, in))) abort();
        break;
    case WHO: complete(g, call, PBAY_OK, "", who(g, call, in)); break;
    case KV:
        if (!g->kv) {
            complete(g, call, PBAY_UNIMPLEMENTED, "no kv", NULL);
            break;
        }
        g->kv->put(g->host, STR("key"), STR("value"), NULL, 0, kv_stored, later_new(g, call, in));
        break;
    default: complete(g, call, PBAY_OK, "", echo(g, in)); break;
    }
    return PBAY_OK;
}

static struct later *streams; /* the one stream a test has open */

static int32_t open_stream(void *self, void *bound, pbay_call call, pbay_result *why)
{
    struct good *g = self;
    (void)why;
    streams = later_new(g, call, NULL);
    if (((struct bound *)bound)->op == TABLE) {
        const pbay_field f = {STR("n"), PBAY_NUM, 0};
        g->call->describe(call, STR("numbers"), &f, 1);
    }
    return PBAY_OK;
}

static void make_ready(void *user)
{
    struct later *l = user;
    l->wait = 2;
    l->g->call->ready(l->call);
}

static int32_t push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct good *g = self;
    struct later *l = streams;
    (void)bound;
    if (call != l->call) abort();
    const pbay_column *col = pbay_batch_col(in, 0);
    if (in->n_rows == 13) {
        why->message = STR("thirteen rows are one too many");
        free(l);
        return PBAY_OUT_OF_RANGE;
    }
    if (in->n_rows == 7 && l->wait != 2) {
        l->wait = 1;
        g->timer->start(g->host, 1, 0, make_ready, l);
        return PBAY_LATER;
    }
    for (uint32_t i = 0; i < in->n_rows; i++) l->sum += col->num[i];
    l->rows += in->n_rows;
    return PBAY_OK;
}

/* A table: `sum` batches of 64 Ki numbers each, as the caller makes room. */
static void emit_table(struct later *l)
{
    struct good *g = l->g;
    while (l->emitted < (uint32_t)l->sum) {
        pbay_builder *b = g->batch->create(g->host);
        g->batch->add_column(b, STR("n"), PBAY_NUM);
        double *n = g->batch->nums(b, 0, 65536);
        for (uint32_t i = 0; i < 65536; i++) n[i] = l->emitted * 65536.0 + i;
        l->emitted++;
        if (g->call->emit(l->call, b) == PBAY_LATER) return;
    }
    complete(g, l->call, PBAY_OK, "", NULL);
    free(l);
}

static void end(void *self, void *bound, pbay_call call)
{
    struct good *g = self;
    struct later *l = streams;
    enum op op = ((struct bound *)bound)->op;
    l->ended = 1;
    if (op == STALL) return;
    if (op == TABLE) {
        emit_table(l);
        return;
    }
    pbay_builder *b = g->batch->create(g->host);
    g->batch->add_column(b, STR("sum"), PBAY_NUM);
    g->batch->num(b, 0, l->sum);
    if (op == SUM) {
        complete(g, call, PBAY_OK, "", b);
    } else {
        g->call->emit(call, b); /* a table that was not described */
        complete(g, call, PBAY_OK, "", NULL);
    }
    free(l);
}

static void writable(void *self, void *bound, pbay_call call)
{
    (void)self;
    (void)bound;
    (void)call;
    emit_table(streams);
}

static void cancel(void *self, void *bound, pbay_call call)
{
    struct good *g = self;
    enum op op = ((struct bound *)bound)->op;
    if (op == NEVER && g->config && g->host->get_int(g->config, "obedient"))
        complete(g, call, PBAY_CANCELLED, "", NULL);
    if (op == STALL || op == TABLE) {
        complete(g, call, PBAY_CANCELLED, "", NULL);
        free(streams);
    }
}

static const pbay_option echo_options[] = {
    {"suffix", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL, "What nobody reads."},
};
#define OP(name, shape, flags)                                                                               \
    {                                                                                                        \
        name, "For tests.", shape, flags,                                                                    \
        {                                                                                                    \
            NULL, 0, 0                                                                                       \
        }                                                                                                    \
    }
static const pbay_operation operations[] = {
    {"echo", "The rows themselves.", PBAY_SHAPE_MAP, 0, {echo_options, 1, sizeof(pbay_option)}},
    OP("later", PBAY_SHAPE_MAP, 0),
    OP("never", PBAY_SHAPE_MAP, 0),
    OP("refuse", PBAY_SHAPE_MAP, 0),
    OP("fail", PBAY_SHAPE_MAP, 0),
    OP("twice", PBAY_SHAPE_MAP, 0),
    OP("no_rows", PBAY_SHAPE_MAP, 0),
    OP("crooked", PBAY_SHAPE_MAP, 0),
    OP("blocking", PBAY_SHAPE_MAP, 0),
    OP("who", PBAY_SHAPE_MAP, 0),
    OP("sum", PBAY_SHAPE_AGGREGATE, 0),
    OP("table", PBAY_SHAPE_TABLE, PBAY_OPF_EFFECTS),
    OP("undescribed", PBAY_SHAPE_TABLE, 0),
    OP("stall", PBAY_SHAPE_AGGREGATE, 0),
    OP("kv", PBAY_SHAPE_MAP, 0),
};

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    (void)self;
    if (info->name.n == 6 && !memcmp(info->name.p, "unfair", 6)) {
        why->message = STR("no such name");
        return PBAY_INVALID_ARGUMENT;
    }
    struct bound *b = calloc(1, sizeof *b);
    if (!b) abort();
    b->op = (enum op)info->operation;
    *bound = b;
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    free(bound);
}

static pbay_str lane(void *self, void *bound)
{
    (void)self;
    return ((struct bound *)bound)->op == ECHO ? STR("fast lane") : (pbay_str){NULL, 0};
}

static const pbay_functions_1 functions = {
    .struct_size = sizeof(pbay_functions_1),
    .n_operations = sizeof operations / sizeof *operations,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .bind = bind,
    .unbind = unbind,
    .lane = lane,
    .submit = submit,
    .open = open_stream,
    .push = push,
    .end = end,
    .writable = writable,
    .cancel = cancel,
};

/* The hook tries a service that it may not have yet, then does as it must. */
static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct good *g = self;
    const pbay_request_1 *rq = g->host->service(g->host, PBAY_SVC_REQUEST);
    (void)route;
    pbay_timer early = g->timer->start(g->host, 1000, 0, finish_later, NULL);
    g->timer->cancel(early);
    int32_t accepted = rq->accept(request, STR("the test"));
    pbay_timer proven = g->timer->start(g->host, 1000, 0, finish_later, NULL);
    g->timer->cancel(proven);
    rq->respond(request, early ? 500 : proven && accepted == PBAY_OK ? 200 : 403, NULL, 0, info->body);
}

static const pbay_route routes[] = {
    {"POST", "/hook", "A webhook.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 1 << 20},
};
static const pbay_routes_1 route_table = {
    .struct_size = sizeof(pbay_routes_1),
    .n_routes = 1,
    .routes = routes,
    .route_stride = sizeof(pbay_route),
    .handle = handle,
};

static uint32_t health(void *self, pbay_str *sentence)
{
    (void)self;
    *sentence = STR("the other side is slow");
    return PBAY_DEGRADED;
}
static const pbay_health_1 health_table = {sizeof(pbay_health_1), 0, health};

static void end_run(struct good *g, pbay_command_run run, int32_t code, const char *message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message.p = message;
    r.message.n = strlen(message);
    g->command->done(run, &r);
}

static void count(void *user)
{
    struct good *g = user;
    g->command->progress(g->run, ++g->count, 3, STR("counting"));
    if (g->count < 3) return;
    g->timer->cancel(g->counting);
    g->command->print(g->run, STR("three\n"));
    end_run(g, g->run, PBAY_OK, "");
}

static void run_command(void *self, uint32_t command, pbay_command_run run, const pbay_config *arguments)
{
    struct good *g = self;
    switch (command) {
    case 0:
        for (int64_t i = 0; i < g->host->get_int(arguments, "times"); i++) {
            g->command->print(run, g->host->get_int(arguments, "loud") ? STR("HELLO ") : STR("hello "));
            g->command->print(run, g->host->get_str(arguments, "full_name"));
            g->command->print(run, STR("\n"));
        }
        end_run(g, run, PBAY_OK, "");
        break;
    case 1:
        g->run = run;
        g->count = 0;
        if (!g->host->get_int(arguments, "stuck")) g->counting = g->timer->start(g->host, 1, 1, count, g);
        break;
    case 3:
        end_run(g, run, PBAY_OK, "");
        g->metric->slot(g->host, PBAY_METRIC_COUNTER, "asked", "", "What the house has to answer.");
        if (!g->host->get_str(arguments, "full_name").n) abort(); /* it is there until we return */
        break;
    default:
        end_run(g, run, PBAY_NOT_FOUND, g->host->check_only(g->host) ? "not started" : "started");
        end_run(g, run, PBAY_OK, "");
        break;
    }
}

static void cancel_command(void *self, uint32_t command, pbay_command_run run)
{
    struct good *g = self;
    (void)command;
    g->timer->cancel(g->counting);
    end_run(g, run, PBAY_CANCELLED, "stopped at your wish");
}

static const pbay_option greet_arguments[] = {
    {"full_name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Whom."},
    {"times", PBAY_OPT_INT, 0, "1", "1..5", "How often."},
    {"loud", PBAY_OPT_BOOL, 0, "no", NULL, "In capitals."},
};
static const pbay_option count_arguments[] = {
    {"stuck", PBAY_OPT_BOOL, 0, NULL, NULL, "Do not begin."},
};
static const pbay_command commands[] = {
    {"greet", "Say hello.", 0, 0, {greet_arguments, 3, sizeof(pbay_option)}},
    {"count up", "Count to three.", PBAY_COMMAND_STARTED, 0, {count_arguments, 1, sizeof(pbay_option)}},
    {"count", "Ends twice.", 0, 0, {NULL, 0, 0}},
    {"early", "Ends before it returns.", 0, 0, {greet_arguments, 3, sizeof(pbay_option)}},
};
static const pbay_commands_1 command_table = {
    .struct_size = sizeof(pbay_commands_1),
    .n_commands = 4,
    .commands = commands,
    .command_stride = sizeof(pbay_command),
    .run = run_command,
    .cancel = cancel_command,
};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    if (config && host->is_set(config, "refuse")) {
        why->message = host->get_str(config, "refuse");
        return PBAY_FAILED_PRECONDITION;
    }
    struct good *g = calloc(1, sizeof *g);
    if (!g) abort();
    g->host = host;
    g->config = config;
    g->batch = host->service(host, PBAY_SVC_BATCH);
    g->call = host->service(host, PBAY_SVC_CALL);
    g->timer = host->service(host, PBAY_SVC_TIMER);
    g->work = host->service(host, PBAY_SVC_WORK);
    g->command = host->service(host, PBAY_SVC_COMMAND);
    g->kv = host->service(host, PBAY_SVC_KV);
    g->metric = host->service(host, PBAY_SVC_METRIC);
    if (g->metric)
        g->metric->add(host, g->metric->slot(host, PBAY_METRIC_COUNTER, "created", "", "Instances made."), 1);
    *self = g;
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ secrets */

/* said:X is X; later:X comes on a later turn, and with a number behind it each time; never: no answer; bad:
 * no text. */
static const char *const schemes[] = {"said", "later", "never", "bad", "gone"};

struct asked {
    struct good *good;
    pbay_resolve question;
    char text[64];
};

static void answer_later(void *user)
{
    static int n;
    struct asked *a = user;
    const pbay_resolve_1 *svc = a->good->host->service(a->good->host, PBAY_SVC_RESOLVE);
    const pbay_result ok = PBAY_RESULT_OK;
    char text[96];
    int len = snprintf(text, sizeof text, "%s%d", a->text, ++n);
    svc->resolved(a->question, &ok, (pbay_str){text, (size_t)len}, 1);
    free(a);
}

static void resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
{
    struct good *g = self;
    const pbay_resolve_1 *svc = g->host->service(g->host, PBAY_SVC_RESOLVE);
    pbay_result r = PBAY_RESULT_OK;
    if (scheme == 1) {
        struct asked *a = calloc(1, sizeof *a);
        if (!a) abort();
        a->good = g;
        a->question = question;
        snprintf(a->text, sizeof a->text, "%.*s", (int)rest.n, rest.p);
        g->timer->start(g->host, 1, 0, answer_later, a);
        return;
    }
    if (scheme == 2) {
        g->asked = question;
        return;
    }
    if (scheme == 4) {
        r.code = PBAY_NOT_FOUND;
        r.message = (pbay_str){"nobody has it", 13};
    }
    svc->resolved(question, &r, scheme == 3 ? (pbay_str){"\xff", 1} : rest, 0);
    if (g->asked && rest.n == 7 && memcmp(rest.p, "release", 7) == 0) svc->resolved(g->asked, &r, rest, 0);
    if (scheme == 0) svc->resolved(question, &r, rest, 0); /* once too often: counted, and nothing else */
}

static const pbay_secrets_1 secret_table = {sizeof secret_table, 5, schemes, resolve};

static int32_t start(void *self, pbay_result *why)
{
    struct good *g = self;
    (void)why;
    const pbay_log_1 *log = g->host->service(g->host, PBAY_SVC_LOG);
    const pbay_header field = {STR("one two"), STR("x\ny")};
    log->write(g->host, PBAY_LOG_DEBUG, STR("started"), &field, 1);
    return PBAY_OK;
}

static void destroy(void *self)
{
    free(self);
}

static const void *extension(const char *id)
{
    if (!strcmp(id, PBAY_EXT_FUNCTIONS)) return &functions;
    if (!strcmp(id, PBAY_EXT_ROUTES)) return &route_table;
    if (!strcmp(id, PBAY_EXT_HEALTH)) return &health_table;
    if (!strcmp(id, PBAY_EXT_COMMANDS)) return &command_table;
    if (!strcmp(id, PBAY_EXT_SECRETS)) return &secret_table;
    return NULL;
}

static const pbay_option options[] = {
    {"obedient", PBAY_OPT_BOOL, 0, "yes", NULL, "Complete a call that is cancelled."},
    {"refuse", PBAY_OPT_STR, 0, NULL, NULL, "Refuse to be created, with these words."},
};

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        sizeof descriptor,
        0,
        "good",
        "1.0.0",
        "Patchbay",
        "MIT",
        "Keeps the rules.",
        NULL,
        {options, sizeof options / sizeof *options, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         start,
                                     NULL,       destroy,      extension};
    return &entry;
}
