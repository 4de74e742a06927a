/* SPDX-License-Identifier: MIT */
/* A plugin that breaks one rule of the ABI: which one, FAULT_... says when it is compiled. Without one it is
 * sound. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_event.h>
#include <patchbay/host_timer.h>
#include <patchbay/secrets.h>

#ifdef FAULT_LIBRARY
#include <openssl/crypto.h>
#endif

struct faulty {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_timer_1 *timer;
    char *text;
    pbay_call last;
};

#ifdef FAULT_EXPORT
PBAY_EXPORT int helper_of_mine(void);
int helper_of_mine(void)
{
    return 1;
}
#endif

__attribute__((unused)) static void answer(struct faulty *f, pbay_call call, const pbay_batch *in)
{
    const pbay_result ok = PBAY_RESULT_OK;
    pbay_builder *out = f->batch->create(f->host);
    f->batch->add_column(out, (pbay_str){"answer", 6}, PBAY_STR);
    uint32_t n = in->n_rows;
#ifdef FAULT_ROWS
    if (n > 1) n--;
#endif
    for (uint32_t i = 0; i < n; i++) f->batch->text(out, 0, (pbay_str){"x", 1});
    f->call->complete(call, &ok, out);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct faulty *f = self;
    (void)bound, (void)why, (void)f, (void)call;
#if defined(FAULT_BLOCK)
    usleep(80000);
    answer(f, call, in);
#elif defined(FAULT_LOST)
    char *copy = malloc(in->n_rows);
    if (copy) answer(f, call, in); /* else nobody hears of it */
    free(copy);
#elif defined(FAULT_CRASH)
    *(volatile int *)0 = (int)in->n_rows;
#elif defined(FAULT_NEVER)
    (void)in;
#elif defined(FAULT_SILENT)
    if (in->n_rows) return PBAY_INTERNAL;
#elif defined(FAULT_NUMBER)
    if (f->host->get_num(f->config, "patience") <= 0) answer(f, call, in); /* it is a DURATION */
#elif defined(FAULT_NAME)
    if (!f->host->is_set(f->config, "patients")) answer(f, call, in);
#elif defined(FAULT_TWICE)
    answer(f, call, in);
    answer(f, call, in);
#elif defined(FAULT_CANCEL) || defined(FAULT_STOP)
    if (in->n_rows == 10)
        f->last = call; /* only `cancel` could end it */
    else
        answer(f, call, in);
#else
    answer(f, call, in);
#endif
    return PBAY_OK;
}

#ifdef FAULT_STOP
static void cancel(void *self, void *bound, pbay_call call)
{
    struct faulty *f = self;
    const pbay_result r = {.struct_size = sizeof r, .code = PBAY_CANCELLED, .message = {"gone", 4}};
    (void)bound;
    if (!f->timer) f->call->complete(call, &r, NULL); /* never: there is a timer */
}
#endif

#ifdef FAULT_PRESSURE
/* An aggregate that does not care whether anybody reads. */
static int32_t open_call(void *self, void *bound, pbay_call call, pbay_result *why)
{
    (void)self, (void)bound, (void)call, (void)why;
    return PBAY_OK;
}

static int32_t push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct faulty *f = self;
    (void)bound, (void)in, (void)why;
    pbay_builder *out = f->batch->create(f->host);
    f->batch->add_column(out, (pbay_str){"answer", 6}, PBAY_STR);
    f->batch->text(out, 0, (pbay_str){"x", 1});
    f->call->emit(call, out);
    return PBAY_OK;
}

static void end_call(void *self, void *bound, pbay_call call)
{
    struct faulty *f = self;
    const pbay_result ok = PBAY_RESULT_OK;
    (void)bound;
    f->call->complete(call, &ok, NULL);
}
#define SHAPE PBAY_SHAPE_AGGREGATE
#else
#define SHAPE PBAY_SHAPE_MAP
#endif

static const pbay_operation operations[] = {{"one", "Answers x.", SHAPE, 0, {NULL, 0, 0}}};
static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .submit = submit,
#ifdef FAULT_STOP
    .cancel = cancel,
#endif
#ifdef FAULT_PRESSURE
    .open = open_call,
    .push = push,
    .end = end_call,
#endif
};

/* ------------------------------------------------------------------------------------------------ other asks
 */

#if defined(FAULT_ATTEMPT) || defined(FAULT_ABORT) || defined(FAULT_BUSY) || defined(FAULT_TACIT)
#ifdef FAULT_ABORT
static void end_attempt(void *user)
{
    struct faulty *f = user;
    const pbay_action_1 *a = f->host->service(f->host, PBAY_SVC_ACTION);
    a->done(f->last, (pbay_str){NULL, 0});
}
#endif

static pbay_timer waiting;

static int32_t run_action(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                          pbay_result *why)
{
    struct faulty *f = self;
    (void)action, (void)info, (void)why;
    f->last = run;
#ifdef FAULT_BUSY
    usleep(80000);
    ((const pbay_action_1 *)f->host->service(f->host, PBAY_SVC_ACTION))->done(run, (pbay_str){NULL, 0});
#elif defined(FAULT_TACIT)
    return PBAY_UNAVAILABLE;
#endif
#ifdef FAULT_ABORT
    waiting = f->timer->start(f->host, 1, 0, end_attempt, f);
#endif
    return PBAY_OK;
}

/* What was cancelled is forgotten. */
static void cancel_action(void *self, uint32_t action, pbay_action_run run)
{
    struct faulty *f = self;
    (void)action, (void)run;
    f->timer->cancel(waiting);
}

static const pbay_action action_list[] = {{"act", "Acts.", PBAY_REPEAT_SAFE, 0, {NULL, 0, 0}}};
static const pbay_actions_1 actions = {.struct_size = sizeof actions,
                                       .n_actions = 1,
                                       .actions = action_list,
                                       .action_stride = sizeof(pbay_action),
                                       .run = run_action,
                                       .cancel = cancel_action};
#define OTHER_ID PBAY_EXT_ACTIONS
#define OTHER    actions
#elif defined(FAULT_POLL) || defined(FAULT_SLOW)
/* Answers twice, or takes its time. */
static void poll_source(void *self, uint32_t source, pbay_poll poll, pbay_str cursor)
{
#ifdef FAULT_SLOW
    usleep(80000);
#endif
    const struct faulty *f = self;
    const pbay_event_1 *e = f->host->service(f->host, PBAY_SVC_EVENT);
    const pbay_result ok = PBAY_RESULT_OK;
    (void)source;
    e->polled(poll, &ok, NULL, 0, cursor, 0);
#ifndef FAULT_SLOW
    e->polled(poll, &ok, NULL, 0, cursor, 0);
#endif
}

static const pbay_source sources[] = {{"things", "Things.", 1000, 0, 0}};
static const pbay_events_1 events = {sizeof events, 1, sources, sizeof(pbay_source), 0, poll_source, NULL};
#define OTHER_ID PBAY_EXT_EVENTS
#define OTHER    events
#elif defined(FAULT_COMMAND)
/* Says something and forgets to end. */
static void run_command(void *self, uint32_t command, pbay_command_run run, const pbay_config *arguments)
{
    const struct faulty *f = self;
    const pbay_command_1 *c = f->host->service(f->host, PBAY_SVC_COMMAND);
    (void)command, (void)arguments;
    c->print(run, (pbay_str){"hello", 5});
}

static const pbay_option command_options[] = {
    {"size", PBAY_OPT_SIZE, PBAY_OPTF_REQUIRED, NULL, "4k..1M", "how much"}};
static const pbay_command command_list[] = {
    {"say", "Says.", 0, 0, {command_options, 1, sizeof(pbay_option)}}};
static const pbay_commands_1 commands = {sizeof commands, 1,   command_list, sizeof(pbay_command), 0,
                                         run_command,     NULL};
#define OTHER_ID PBAY_EXT_COMMANDS
#define OTHER    commands
#elif defined(FAULT_SECRET)
/* Answers what it knows, and nothing else. */
static void resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
{
    const struct faulty *f = self;
    const pbay_resolve_1 *r = f->host->service(f->host, PBAY_SVC_RESOLVE);
    const pbay_result ok = PBAY_RESULT_OK;
    (void)scheme;
    if (rest.n == 7) r->resolved(question, &ok, rest, 1000);
}

static const char *const schemes[] = {"box"};
static const pbay_secrets_1 secrets = {sizeof secrets, 1, schemes, resolve};
#define OTHER_ID PBAY_EXT_SECRETS
#define OTHER    secrets
#elif defined(FAULT_HEALTH)
static uint32_t state(void *self, pbay_str *sentence)
{
    (void)self, (void)sentence;
    return PBAY_DEGRADED;
}

static const pbay_health_1 health = {sizeof health, 0, state};
#define OTHER_ID PBAY_EXT_HEALTH
#define OTHER    health
#endif

static const void *extension(const char *id)
{
#ifdef OTHER_ID
    if (!strcmp(id, OTHER_ID)) return &OTHER;
#endif
#ifdef FAULT_EXTENSION
    return strncmp(id, PBAY_EXT_FUNCTIONS, 14) == 0 ? &functions
                                                    : NULL; /* "pbay.functions" of any revision */
#else
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
#endif
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct faulty *f = calloc(1, sizeof *f);
    (void)config;
    if (!f) {
        why->message = (pbay_str){"no memory", 9};
        return PBAY_RESOURCE_EXHAUSTED;
    }
    f->host = host;
    f->config = config;
    f->batch = host->service(host, PBAY_SVC_BATCH);
    f->call = host->service(host, PBAY_SVC_CALL);
    f->timer = host->service(host, PBAY_SVC_TIMER);
#ifdef FAULT_LONGER
    if (host->struct_size != sizeof *host) {
        free(f);
        why->message = (pbay_str){"another host", 12};
        return PBAY_UNIMPLEMENTED;
    }
#endif
#ifdef FAULT_SERVICE
    f->batch->free(f->batch->create(host)); /* there may be none */
#endif
#ifdef FAULT_MUTE
    if (!f->batch) {
        free(f);
        return PBAY_UNIMPLEMENTED;
    }
#endif
#ifdef FAULT_UNSAID
    if (f->batch) {
        free(f);
        return PBAY_INVALID_ARGUMENT;
    }
#endif
#ifdef FAULT_DIE
    *(volatile int *)0 = 1;
#endif
#ifdef FAULT_HANG
    for (volatile int i = 0; i < 1; i = 0) {
    }
#endif
    f->text = malloc(100);
#ifdef FAULT_MEMORY
    f->text[0] = 0;
#else
#ifdef FAULT_EASY
    if (f->text && !f->call) {
        *self = f;
        return PBAY_OK; /* and what will it answer calls with? */
    }
#endif
    if (!f->text || !f->batch || !f->call) {
        free(f->text);
        free(f);
        why->message = (pbay_str){"no memory or no batches", 23};
        return PBAY_RESOURCE_EXHAUSTED;
    }
#endif
#ifdef FAULT_DESCRIPTOR
    if (open("/dev/null", O_RDONLY) < 0) return PBAY_INTERNAL;
#endif
#ifdef FAULT_LIBRARY
    f->text[0] = OpenSSL_version(0)[0];
#endif
    *self = f;
    return PBAY_OK;
}

static void destroy(void *self)
{
    struct faulty *f = self;
#ifndef FAULT_LEAK
    free(f->text);
#endif
    free(f);
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_option options[] = {
#ifdef FAULT_DEFAULT
        {"patience", PBAY_OPT_DURATION, 0, "soon", NULL, "how long"},
#elif defined(FAULT_DOC)
        {"patience", PBAY_OPT_DURATION, 0, "1s", NULL, ""},
#else
        {"patience", PBAY_OPT_DURATION, 0, "1s", NULL, "how long"},
#endif
    };
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = FAULTY_NAME,
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
#ifdef FAULT_SUMMARY
        .summary = "",
#else
        .summary = "Breaks one rule",
#endif
        .options = {options, 1, sizeof(pbay_option)},
    };
    static const pbay_entry entry[2] = {
        {PBAY_MAGIC, sizeof *entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0, &descriptor, create, NULL, NULL,
         destroy, extension},
        {PBAY_MAGIC, sizeof *entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0, &descriptor, create, NULL, NULL,
         destroy, extension},
    };
#ifdef FAULT_MOVING
    static int turn;
    return &entry[turn++ % 2];
#else
    return &entry[0];
#endif
}
