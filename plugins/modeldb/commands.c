/* SPDX-License-Identifier: MIT */
/*
 *   patchbay modeldb backfill    have the gateway collect every training job since some moment; what becomes
 * of each is the rule's to say, as for jobs that end now patchbay modeldb verify JOB  what the store holds of
 * a job, against what SageMaker says of it
 *
 * ListTrainingJobs cuts a page first and filters then, so pages may be short or empty while there are more:
 * only NextToken says where the end is.
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListTrainingJobs.html
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "kit/time.h"
#include "mark.h"
#include "sink.h"

enum {
    AT_ONCE = 16,
    PAGE = 100,
    OVERLAP_MS = 5 * 60 * 1000,
    ASK_MS = 10 * 60 * 1000,
    KEY = 65,
    SENTENCE = 600
};

enum { C_BACKFILL, C_VERIFY };

static const char WATERMARK[] = "backfill/created";

struct job_name {
    char *name, *arn;
    int64_t created_ms, modified_ms;
};

struct errand {
    struct modeldb *m;
    struct errand *next, **link;
    pbay_command_run run;
    bool cancelled;
    char why[SENTENCE];

    /* backfill */
    int64_t since_ms, until_ms,
        created_ms; /* created_ms: of the last job that was collected, with all before it */
    bool dry, again, listed;
    char *token;
    pbay_invoke list;
    struct job_name *jobs; /* of the page */
    size_t n_jobs, next_job, running, failed, collected, running_on;
    uint64_t seen, others;

    /* verify */
    char *name;
    struct description *asked;
    json_t *job;
    mdb_record record;
    mdb_task *task;
    size_t differences;
    bool again_differs;
};

/* ------------------------------------------------------------------------------------------------ the end */

static void forget_page(struct errand *e)
{
    for (size_t i = 0; i < e->n_jobs; i++) {
        free(e->jobs[i].name);
        free(e->jobs[i].arn);
    }
    free(e->jobs);
    e->jobs = NULL;
    e->n_jobs = e->next_job = 0;
}

static void end(struct errand *e, const pbay_result *result)
{
    e->m->command->done(e->run, result);
    *e->link = e->next;
    if (e->next) e->next->link = e->link;
    forget_page(e);
    free(e->token);
    free(e->name);
    json_decref(e->job);
    mdb_record_free(&e->record);
    free(e);
}

static void end_with(struct errand *e, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void end_with(struct errand *e, int32_t code, const char *fmt, ...)
{
    pbay_result r = PBAY_RESULT_OK;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->why, sizeof e->why, fmt, ap);
    va_end(ap);
    r.code = code;
    r.message = (pbay_str){e->why, strlen(e->why)};
    end(e, &r);
}

static void say(struct errand *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct errand *e, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    e->m->command->print(e->run, (pbay_str){text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1});
}

/* ------------------------------------------------------------------------------------------------ backfill
 */

static void next_page(struct errand *e);
static void go_on(struct errand *e);

static void finished(struct errand *e)
{
    char text[PBAY_TIME_TEXT] = "the beginning";
    if (e->created_ms) pbay_time_format(e->created_ms, text);
    if (e->dry) {
        say(e, "%llu training jobs have ended; nothing was collected (--dry-run).\n",
            (unsigned long long)e->seen);
    } else {
        say(e, "%zu training jobs were collected", e->collected);
        if (e->failed) say(e, ", %zu could not be", e->failed);
        say(e, ". The next backfill without --since goes on at %s.\n", text);
    }
    if (e->others) say(e, "%llu have not ended and were left out.\n", (unsigned long long)e->others);
    if (e->failed)
        end_with(e, PBAY_UNKNOWN,
                 "%zu jobs could not be collected; the lines above say why. Run it again: what was "
                 "collected is not asked for twice",
                 e->failed);
    else
        end_with(e, PBAY_OK, "%s", "");
}

static void on_watermark(void *user, const pbay_result *result)
{
    struct errand *e = user;
    e->running_on = 0;
    if (result->code != PBAY_OK)
        end(e, result);
    else if (e->token)
        next_page(e);
    else
        finished(e);
}

/* A page is through: remember how far, unless something of it is missing. */
static void page_over(struct errand *e)
{
    char text[32];
    int64_t newest = 0;
    for (size_t i = 0; i < e->n_jobs; i++)
        if (e->jobs[i].created_ms > newest) newest = e->jobs[i].created_ms;
    forget_page(e);
    if (e->cancelled) {
        end_with(e, PBAY_CANCELLED, "stopped; the next backfill goes on from there");
        return;
    }
    if (newest > e->created_ms && !e->failed && !e->dry) {
        e->created_ms = newest;
        int n = snprintf(text, sizeof text, "%lld", (long long)newest);
        e->running_on = 1;
        e->m->kv->put(e->m->host, (pbay_str){WATERMARK, strlen(WATERMARK)}, (pbay_str){text, (size_t)n}, NULL,
                      0, on_watermark, e);
    } else if (e->token) {
        next_page(e);
    } else {
        finished(e);
    }
}

struct collecting {
    struct errand *e;
    char name[80];
};

static void on_collected(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct collecting *c = user;
    struct errand *e = c->e;
    (void)call;
    (void)json;
    e->running--;
    if (result->code == PBAY_OK) {
        e->collected++;
    } else {
        e->failed++;
        say(e, "%s: %.*s\n", c->name, FMT(result->message));
    }
    e->m->command->progress(e->run, e->collected + e->failed, 0, (pbay_str){c->name, strlen(c->name)});
    free(c);
    go_on(e);
}

/* The same state of the same job is collected once, however often the backfill runs. */
static void key_of(const struct errand *e, const struct job_name *j, char out[KEY])
{
    static const char digits[] = "0123456789abcdef";
    char modified[48];
    uint8_t h[32];
    int n = snprintf(modified, sizeof modified, "/%lld/%llu", (long long)j->modified_ms,
                     e->again ? (unsigned long long)e->run : 0ull);
    const pbay_str parts[2] = {{j->arn, strlen(j->arn)}, {modified, (size_t)n}};
    e->m->crypto->hash(PBAY_HASH_SHA256, parts, 2, h);
    memcpy(out, "backfill-", 9);
    for (size_t i = 0; i < 40; i++) out[9 + i] = digits[i % 2 ? h[i / 2] & 15 : h[i / 2] >> 4];
    out[49] = 0;
}

static void collect_one(struct errand *e, const struct job_name *j)
{
    static const pbay_invoke_events events = {.struct_size = sizeof events, .on_done = on_collected};
    char key[KEY], target[128];
    pbay_result why = PBAY_RESULT_OK;
    struct modeldb *m = e->m;
    struct collecting *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->e = e;
    snprintf(c->name, sizeof c->name, "%s", j->name);
    key_of(e, j, key);
    int n = snprintf(target, sizeof target, "%.*s.collect", FMT(m->host->name(m->host)));
    json_t *args = json_pack("{s:s}", "TrainingJobName", j->name);
    char *text = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    if (!text) abort();
    const pbay_invoke_info info = {.struct_size = sizeof info,
                                   .kind = PBAY_INVOKE_ACTION,
                                   .target = {target, (size_t)n},
                                   .key = {key, strlen(key)}};
    pbay_invoke call = m->invoke->open(m->host, &info, (pbay_str){text, strlen(text)}, &events, c, &why);
    free(text);
    if (call) {
        e->running++;
        return;
    }
    e->failed++;
    say(e, "%s: %.*s\n", c->name, FMT(why.message));
    free(c);
}

static void go_on(struct errand *e)
{
    while (e->running < AT_ONCE && e->next_job < e->n_jobs && !e->cancelled)
        collect_one(e, &e->jobs[e->next_job++]);
    if (!e->running && (e->next_job == e->n_jobs || e->cancelled)) page_over(e);
}

static int over(const char *status)
{
    return status &&
           (!strcmp(status, "Completed") || !strcmp(status, "Failed") || !strcmp(status, "Stopped"));
}

static void take_page(struct errand *e, const json_t *v)
{
    const json_t *list = json_object_get(v, "TrainingJobSummaries"), *next = json_object_get(v, "NextToken");
    json_t *j;
    size_t i;
    e->jobs = calloc(json_array_size(list) + 1, sizeof *e->jobs);
    if (!e->jobs) abort();
    json_array_foreach(list, i, j)
    {
        const char *name = json_string_value(json_object_get(j, "TrainingJobName"));
        const char *arn = json_string_value(json_object_get(j, "TrainingJobArn"));
        if (!name || !arn) continue;
        if (!over(json_string_value(json_object_get(j, "TrainingJobStatus")))) {
            e->others++;
            continue;
        }
        e->seen++;
        if (e->dry) {
            say(e, "%s\n", name);
            continue;
        }
        e->jobs[e->n_jobs++] =
            (struct job_name){strdup(name), strdup(arn), mdb_moment(json_object_get(j, "CreationTime")),
                              mdb_moment(json_object_get(j, "LastModifiedTime"))};
    }
    free(e->token);
    e->token = json_is_string(next) && json_string_length(next) ? strdup(json_string_value(next)) : NULL;
}

static void on_list(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct errand *e = user;
    (void)call;
    e->list = 0;
    if (result->code != PBAY_OK) {
        end(e, result);
        return;
    }
    json_t *v = json_loadb(json.n ? json.p : "", json.n, 0, NULL);
    take_page(e, v);
    json_decref(v);
    go_on(e);
}

static void next_page(struct errand *e)
{
    static const pbay_invoke_events events = {.struct_size = sizeof events, .on_done = on_list};
    struct modeldb *m = e->m;
    char target[128];
    pbay_result why = PBAY_RESULT_OK;
    json_t *args =
        json_pack("{s:s, s:s, s:i}", "SortBy", "CreationTime", "SortOrder", "Ascending", "MaxResults", PAGE);
    if (e->since_ms) json_object_set_new(args, "CreationTimeAfter", json_real((double)e->since_ms / 1000));
    if (e->until_ms) json_object_set_new(args, "CreationTimeBefore", json_real((double)e->until_ms / 1000));
    if (e->token) json_object_set_new(args, "NextToken", json_string(e->token));
    char *text = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    if (!text) abort();
    int n = snprintf(target, sizeof target, "%.*s.list_training_jobs",
                     FMT(m->host->get_str(m->config, "sagemaker")));
    const pbay_invoke_info info = {
        .struct_size = sizeof info, .kind = PBAY_INVOKE_ACTION, .target = {target, (size_t)n}};
    e->list = m->invoke->open(m->host, &info, (pbay_str){text, strlen(text)}, &events, e, &why);
    free(text);
    if (!e->list) end(e, &why);
}

static void on_begin(void *user, const pbay_result *result, pbay_str value)
{
    struct errand *e = user;
    if (result->code == PBAY_OK && value.n < 30) {
        char text[32];
        snprintf(text, sizeof text, "%.*s", FMT(value));
        e->created_ms = strtoll(text, NULL, 10);
        e->since_ms = e->created_ms > OVERLAP_MS ? e->created_ms - OVERLAP_MS : 0;
    } else if (result->code != PBAY_OK && result->code != PBAY_NOT_FOUND) {
        end(e, result);
        return;
    }
    if (!e->since_ms)
        end_with(
            e, PBAY_INVALID_ARGUMENT,
            "there was no backfill before this one: say --since (2026-01-31, 2026-01-31T08:00:00Z, or 30d)");
    else
        next_page(e);
}

/* "2026-01-31", RFC 3339, or "30d" ago. -1: none of these. */
static int64_t moment_of(const struct modeldb *m, pbay_str s)
{
    char text[64];
    if (s.n == 10 && memchr(s.p, '-', s.n)) {
        snprintf(text, sizeof text, "%.*sT00:00:00Z", FMT(s));
        return pbay_time_rfc3339((pbay_str){text, strlen(text)});
    }
    if (s.n > 1 && s.n < 8) {
        char *unit;
        snprintf(text, sizeof text, "%.*s", FMT(s));
        long n = strtol(text, &unit, 10);
        int64_t ms = !strcmp(unit, "d")   ? 86400000
                     : !strcmp(unit, "h") ? 3600000
                     : !strcmp(unit, "m") ? 60000
                                          : 0;
        if (unit != text && n > 0 && ms) return m->timer->now_ms() - n * ms;
    }
    return pbay_time_rfc3339(s);
}

static void backfill(struct errand *e, const pbay_config *args)
{
    const pbay_host *h = e->m->host;
    pbay_str since = h->get_str(args, "since"), until = h->get_str(args, "until");
    e->dry = h->get_int(args, "dry_run") != 0;
    e->again = h->get_int(args, "again") != 0;
    e->since_ms = since.n ? moment_of(e->m, since) : 0;
    e->until_ms = until.n ? moment_of(e->m, until) : 0;
    if (!h->get_str(e->m->config, "sagemaker").n)
        end_with(e, PBAY_FAILED_PRECONDITION,
                 "connector \"%.*s\" asks nobody for jobs: set sagemaker = NAME, a connector of "
                 "plugin sagemaker",
                 FMT(h->name(h)));
    else if (e->since_ms < 0 || e->until_ms < 0)
        end_with(e, PBAY_INVALID_ARGUMENT,
                 "--%s: \"%.*s\" is no moment: 2026-01-31, 2026-01-31T08:00:00Z, or 30d (ago)",
                 e->since_ms < 0 ? "since" : "until", FMT(e->since_ms < 0 ? since : until));
    else if (!since.n)
        e->m->kv->get(h, (pbay_str){WATERMARK, strlen(WATERMARK)}, on_begin, e);
    else
        next_page(e);
}

/* ------------------------------------------------------------------------------------------------ verify */

static void on_difference(void *user, const char *what, pbay_str name, pbay_str wanted, pbay_str stored)
{
    struct errand *e = user;
    e->differences++;
    say(e, "%s%s%.*s: ", what, name.n ? " " : "", FMT(name));
    if (!stored.n)
        say(e, "is not in the store; SageMaker has %.*s\n", FMT(wanted));
    else if (!wanted.n)
        say(e, "SageMaker has none; the store has %.*s\n", FMT(stored));
    else
        say(e, "SageMaker has %.*s, the store %.*s\n", FMT(wanted), FMT(stored));
}

static void on_verified(void *user, const pbay_result *result, pbay_str json)
{
    struct errand *e = user;
    (void)json;
    e->task = NULL;
    if (result->code != PBAY_OK)
        end(e, result);
    else if (e->differences)
        end_with(e, PBAY_FAILED_PRECONDITION, "training job %.100s: %zu differences", e->name,
                 e->differences);
    else {
        say(e, "%s: as SageMaker has it.\n", e->name);
        end_with(e, PBAY_OK, "%s", "");
    }
}

static void on_mark(void *user, const pbay_result *result, pbay_str value)
{
    struct errand *e = user;
    char why[MDB_WHY];
    if (result->code == PBAY_NOT_FOUND) {
        end_with(e, PBAY_NOT_FOUND, "training job %.100s was not written through this connector", e->name);
    } else if (result->code != PBAY_OK) {
        end(e, result);
    } else if (mark_apply(value, e->job) || mdb_record_read(e->job, &e->record, why)) {
        end_with(e, PBAY_DATA_LOSS, "training job %.100s: what is remembered of it cannot be read", e->name);
    } else {
        int64_t deadline = e->m->timer->monotonic_ns() + ASK_MS * NS_PER_MS;
        e->task = e->m->sink->verify(e->m->store, &e->record, deadline, on_difference, on_verified, e);
    }
}

static void on_described(void *user, const pbay_result *result, json_t *job)
{
    struct errand *e = user;
    char key[MARK_KEY];
    e->asked = NULL;
    if (result->code != PBAY_OK) {
        end(e, result);
        return;
    }
    e->job = json_incref(job);
    const json_t *arn = json_object_get(job, "arn");
    mark_key("job", (pbay_str){json_string_value(arn), json_string_length(arn)}, key);
    e->m->kv->get(e->m->host, (pbay_str){key, strlen(key)}, on_mark, e);
}

static void verify(struct errand *e, const pbay_config *args)
{
    pbay_result why = PBAY_RESULT_OK;
    pbay_str name = e->m->host->get_str(args, "job");
    e->name = malloc(name.n + 1);
    if (!e->name) abort();
    memcpy(e->name, name.p, name.n);
    e->name[name.n] = 0;
    e->asked =
        describe_job(e->m, name, e->m->timer->monotonic_ns() + ASK_MS * NS_PER_MS, on_described, e, &why);
    if (!e->asked) end(e, &why);
}

/* ------------------------------------------------------------------------------------------------ the table
 */

static void run(void *self, uint32_t command, pbay_command_run run_, const pbay_config *arguments)
{
    struct modeldb *m = self;
    struct errand *e = calloc(1, sizeof *e);
    if (!e) abort();
    e->m = m;
    e->run = run_;
    e->link = &m->errands;
    e->next = m->errands;
    if (e->next) e->next->link = &e->next;
    m->errands = e;
    if (command == C_BACKFILL)
        backfill(e, arguments);
    else
        verify(e, arguments);
}

static void stop_errand(struct errand *e)
{
    e->cancelled = true;
    if (e->list) e->m->invoke->cancel(e->list);
    if (e->asked) describe_cancel(e->asked);
    if (e->task) e->m->sink->cancel(e->task);
}

static void cancel(void *self, uint32_t command, pbay_command_run run_)
{
    struct modeldb *m = self;
    (void)command;
    for (struct errand *e = m->errands; e; e = e->next)
        if (e->run == run_) stop_errand(e);
}

void modeldb_stop_commands(struct modeldb *m)
{
    for (struct errand *e = m->errands; e; e = e->next) stop_errand(e);
}

static const pbay_option BACKFILL_ARGUMENTS[] = {
    {"since", PBAY_OPT_STR, 0, NULL, NULL,
     "jobs that were created later: 2026-01-31, 2026-01-31T08:00:00Z, or 30d ago. Where the last backfill "
     "stopped, unless "
     "given."},
    {"until", PBAY_OPT_STR, 0, NULL, NULL, "and earlier than this."},
    {"dry_run", PBAY_OPT_BOOL, 0, "no", NULL, "Say which jobs there are, and do nothing."},
    {"again", PBAY_OPT_BOOL, 0, "no", NULL, "Collect also what an earlier backfill has collected."},
};
static const pbay_option VERIFY_ARGUMENTS[] = {
    {"job", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The training job's name."},
};
static const pbay_command COMMANDS[] = {
    [C_BACKFILL] = {"backfill",
                    "Have the gateway collect every training job that has ended since some moment.",
                    PBAY_COMMAND_STARTED | PBAY_COMMAND_STORE,
                    0,
                    {BACKFILL_ARGUMENTS, COUNT(BACKFILL_ARGUMENTS), sizeof(pbay_option)}},
    [C_VERIFY] = {"verify",
                  "What the stores hold of a training job, against what SageMaker says of it.",
                  PBAY_COMMAND_STARTED | PBAY_COMMAND_STORE | PBAY_COMMAND_EACH,
                  0,
                  {VERIFY_ARGUMENTS, COUNT(VERIFY_ARGUMENTS), sizeof(pbay_option)}},
};

const pbay_commands_1 modeldb_commands = {
    .struct_size = sizeof modeldb_commands,
    .n_commands = COUNT(COMMANDS),
    .commands = COMMANDS,
    .command_stride = sizeof(pbay_command),
    .run = run,
    .cancel = cancel,
};
