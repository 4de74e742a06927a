/* SPDX-License-Identifier: MIT */
/*
 * patchbay modeldb backfill: each job that has ended, oldest first, is collected by a durable job of the
 * gateway's, whose key is the job and its state: however often a backfill is stopped and begun again, a state
 * is collected once.
 *
 * How far it got is remembered in the store, so that the next one goes on there without a gap: never beyond a
 * page of which something failed, nor beyond a job that has not ended yet, nor when this one began later than
 * the last one got.
 *
 * ListTrainingJobs cuts a page first and filters then, so pages may be short or empty while there are more:
 * only NextToken says where the end is.
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListTrainingJobs.html
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errand.h"
#include "kit/time.h"
#include "record.h"

enum { AT_ONCE = 16, PAGE = 100, OVERLAP_MS = 5 * 60 * 1000, KEY = 65, NONCE = 17 };

static const char WATERMARK[] = "backfill/created";

struct job_name {
    char *name, *arn;
    int64_t created_ms, modified_ms;
};

struct backfill {
    struct errand e;
    bool dry;
    bool moves;        /* how far it gets is remembered */
    char again[NONCE]; /* of this run alone; empty: what was collected is not collected again */
    int64_t since_ms, until_ms;
    int64_t stored_ms;  /* what is remembered; 0: nothing */
    int64_t reached_ms; /* creation of the last job that was collected, with all before it */
    int64_t open_ms;    /* creation of the oldest that has not ended; 0: there is none */
    char *token;
    pbay_invoke list;
    struct job_name *jobs; /* of the page */
    size_t n_jobs, next_job, running, failed, collected;
    uint64_t seen, others;
};

struct collecting {
    struct backfill *b;
    char name[80];
};

static void next_page(struct backfill *b);
static void go_on(struct backfill *b);

static void forget_page(struct backfill *b)
{
    for (size_t i = 0; i < b->n_jobs; i++) {
        free(b->jobs[i].name);
        free(b->jobs[i].arn);
    }
    free(b->jobs);
    b->jobs = NULL;
    b->n_jobs = b->next_job = 0;
}

static void stop(struct errand *e)
{
    struct backfill *b = (struct backfill *)e;
    if (b->list) e->m->invoke->cancel(b->list);
}

static void release(struct errand *e)
{
    struct backfill *b = (struct backfill *)e;
    forget_page(b);
    free(b->token);
}

static void stopped(struct backfill *b)
{
    errand_say(&b->e, "Stopped after %zu; the next backfill goes on from there.\n", b->collected);
    errand_end_with(&b->e, PBAY_CANCELLED, "stopped");
}

/* ------------------------------------------------------------------------------------------------ the end */

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void finished(struct backfill *b)
{
    struct errand *e = &b->e;
    char text[PBAY_TIME_TEXT];
    if (b->dry) {
        errand_say(e, "%llu training job%s ha%s ended; nothing was collected (--dry-run).\n",
                   (unsigned long long)b->seen, plural(b->seen), b->seen == 1 ? "s" : "ve");
    } else {
        errand_say(e, "%zu training job%s %s collected", b->collected, plural(b->collected),
                   b->collected == 1 ? "was" : "were");
        if (b->failed) errand_say(e, ", %zu could not be", b->failed);
        errand_say(e, ".%s\n",
                   b->collected
                       ? " What is recorded of them your chain decides now; `patchbay runs` shows it."
                       : "");
    }
    if (b->others)
        errand_say(e, "%llu ha%s not ended and %s left out.\n", (unsigned long long)b->others,
                   b->others == 1 ? "s" : "ve", b->others == 1 ? "was" : "were");
    if (b->stored_ms) pbay_time_format(b->stored_ms, text);
    if (!b->dry && b->stored_ms)
        errand_say(e, "The next backfill without --since goes on at %s.\n", text);
    else if (!b->dry)
        errand_say(e, "The next one needs --since again: there was nothing to go on behind.\n");
    if (b->failed)
        errand_end_with(e, PBAY_UNKNOWN,
                        "%zu job%s could not be collected; the lines above say why. Run it again: what was "
                        "collected is not asked for twice",
                        b->failed, plural(b->failed));
    else
        errand_end_with(e, PBAY_OK, "%s", "");
}

static void on_watermark(void *user, const pbay_result *result)
{
    struct backfill *b = user;
    if (result->code != PBAY_OK)
        errand_end(&b->e, result);
    else if (b->e.cancelled)
        stopped(b);
    else if (b->token)
        next_page(b);
    else
        finished(b);
}

/* A page is through: remember how far, unless something of it is missing. */
static void page_over(struct backfill *b)
{
    struct modeldb *m = b->e.m;
    char text[32];
    for (size_t i = 0; i < b->n_jobs; i++)
        if (b->jobs[i].created_ms > b->reached_ms) b->reached_ms = b->jobs[i].created_ms;
    forget_page(b);
    const int64_t to = b->open_ms && b->open_ms < b->reached_ms ? b->open_ms : b->reached_ms;
    if (b->e.cancelled) {
        stopped(b);
    } else if (b->moves && to && to != b->stored_ms && !b->failed && !b->dry) {
        b->stored_ms = to;
        int n = snprintf(text, sizeof text, "%lld", (long long)to);
        m->kv->put(m->host, STR(WATERMARK), (pbay_str){text, (size_t)n}, NULL, 0, on_watermark, b);
    } else if (b->token) {
        next_page(b);
    } else {
        finished(b);
    }
}

/* ------------------------------------------------------------------------------------------------ collecting
 */

static void could_not(struct backfill *b, const char *name, pbay_str why)
{
    pbay_text t = {NULL, 0, 0};
    b->failed++;
    errand_quote(&t, why);
    errand_say(&b->e, "%s: %.*s\n", name, (int)t.n, t.p);
    pbay_text_free(&t);
}

static void on_collected(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct collecting *c = user;
    struct backfill *b = c->b;
    (void)call;
    (void)json;
    b->running--;
    if (result->code == PBAY_OK)
        b->collected++;
    else
        could_not(b, c->name, result->message);
    b->e.m->command->progress(b->e.run, b->collected + b->failed, 0, (pbay_str){c->name, strlen(c->name)});
    free(c);
    go_on(b);
}

static void hex(const uint8_t *in, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 2 * n; i++) out[i] = digits[i % 2 ? in[i / 2] & 15 : in[i / 2] >> 4];
    out[2 * n] = 0;
}

static void key_of(const struct backfill *b, const struct job_name *j, char out[KEY])
{
    char modified[48];
    uint8_t h[32];
    int n = snprintf(modified, sizeof modified, "/%lld/%s", (long long)j->modified_ms, b->again);
    const pbay_str parts[2] = {{j->arn, strlen(j->arn)}, {modified, (size_t)n}};
    b->e.m->crypto->hash(PBAY_HASH_SHA256, parts, 2, h);
    snprintf(out, KEY, "backfill-");
    hex(h, 20, out + 9);
}

static void collect_one(struct backfill *b, const struct job_name *j)
{
    static const pbay_invoke_events events = {.struct_size = sizeof events, .on_done = on_collected};
    char key[KEY], target[128];
    pbay_result why = PBAY_RESULT_OK;
    struct modeldb *m = b->e.m;
    struct collecting *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->b = b;
    snprintf(c->name, sizeof c->name, "%s", j->name);
    key_of(b, j, key);
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
        b->running++;
        return;
    }
    could_not(b, c->name, why.message);
    free(c);
}

static void go_on(struct backfill *b)
{
    while (b->running < AT_ONCE && b->next_job < b->n_jobs && !b->e.cancelled)
        collect_one(b, &b->jobs[b->next_job++]);
    if (!b->running && (b->next_job == b->n_jobs || b->e.cancelled)) page_over(b);
}

/* ------------------------------------------------------------------------------------------------ pages */

static bool over(const char *status)
{
    return !strcmp(status, "Completed") || !strcmp(status, "Failed") || !strcmp(status, "Stopped");
}

static bool take_job(struct backfill *b, const json_t *j)
{
    const char *name = json_string_value(json_object_get(j, "TrainingJobName"));
    const char *arn = json_string_value(json_object_get(j, "TrainingJobArn"));
    const char *status = json_string_value(json_object_get(j, "TrainingJobStatus"));
    const int64_t created = mdb_moment(json_object_get(j, "CreationTime"));
    if (!name || !arn || !status || created < 0) return false;
    if (!over(status)) {
        b->others++;
        if (!b->open_ms || created < b->open_ms) b->open_ms = created;
        return true;
    }
    b->seen++;
    if (b->dry) {
        errand_say(&b->e, "%s\n", name);
        return true;
    }
    b->jobs[b->n_jobs++] = (struct job_name){strdup(name), strdup(arn), created,
                                             mdb_moment(json_object_get(j, "LastModifiedTime"))};
    return true;
}

/* False: it is no page. One that cannot be read is not the last one. */
static bool take_page(struct backfill *b, const json_t *v)
{
    const json_t *list = json_object_get(v, "TrainingJobSummaries"), *next = json_object_get(v, "NextToken");
    const char *token = json_string_value(next);
    json_t *j;
    size_t i;
    if (!json_is_array(list) || (next && !json_is_null(next) && !token)) return false;
    if (token && b->token && !strcmp(token, b->token)) return false; /* the same page for ever */
    b->jobs = calloc(json_array_size(list) + 1, sizeof *b->jobs);
    if (!b->jobs) abort();
    json_array_foreach(list, i, j) if (!take_job(b, j)) return false;
    free(b->token);
    b->token = token && *token ? strdup(token) : NULL;
    return true;
}

static void on_list(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct backfill *b = user;
    (void)call;
    b->list = 0;
    if (b->e.cancelled) {
        stopped(b);
        return;
    }
    if (result->code != PBAY_OK) {
        errand_end(&b->e, result);
        return;
    }
    json_t *v = json_loadb(json.n ? json.p : "", json.n, 0, NULL);
    const bool good = take_page(b, v);
    json_decref(v);
    if (good)
        go_on(b);
    else
        errand_end_with(
            &b->e, PBAY_DATA_LOSS,
            "ListTrainingJobs answered something else than a page of jobs; run it again: what was "
            "collected is not asked for twice");
}

static void next_page(struct backfill *b)
{
    static const pbay_invoke_events events = {.struct_size = sizeof events, .on_done = on_list};
    struct modeldb *m = b->e.m;
    char target[128];
    pbay_result why = PBAY_RESULT_OK;
    json_t *args =
        json_pack("{s:s, s:s, s:i}", "SortBy", "CreationTime", "SortOrder", "Ascending", "MaxResults", PAGE);
    if (b->since_ms) json_object_set_new(args, "CreationTimeAfter", json_real((double)b->since_ms / 1000));
    if (b->until_ms) json_object_set_new(args, "CreationTimeBefore", json_real((double)b->until_ms / 1000));
    if (b->token) json_object_set_new(args, "NextToken", json_string(b->token));
    char *text = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    if (!text) abort();
    int n = snprintf(target, sizeof target, "%.*s.list_training_jobs",
                     FMT(m->host->get_str(m->config, "sagemaker")));
    const pbay_invoke_info info = {
        .struct_size = sizeof info, .kind = PBAY_INVOKE_ACTION, .target = {target, (size_t)n}};
    b->list = m->invoke->open(m->host, &info, (pbay_str){text, strlen(text)}, &events, b, &why);
    free(text);
    if (!b->list) errand_end(&b->e, &why);
}

/* ------------------------------------------------------------------------------------------------ beginning
 */

static void on_begin(void *user, const pbay_result *result, pbay_str value)
{
    struct backfill *b = user;
    if (b->e.cancelled) {
        stopped(b);
        return;
    }
    if (result->code == PBAY_OK && value.n < 30) {
        char text[32];
        snprintf(text, sizeof text, "%.*s", FMT(value));
        b->stored_ms = strtoll(text, NULL, 10);
    } else if (result->code != PBAY_OK && result->code != PBAY_NOT_FOUND) {
        errand_end(&b->e, result);
        return;
    }
    if (!b->since_ms && b->stored_ms > OVERLAP_MS) b->since_ms = b->stored_ms - OVERLAP_MS;
    b->moves = !b->stored_ms || b->since_ms <= b->stored_ms;
    if (!b->since_ms)
        errand_end_with(
            &b->e, PBAY_INVALID_ARGUMENT,
            "there was no backfill before this one: say --since (2026-01-31, 2026-01-31T08:00:00Z, or 30d)");
    else if (b->until_ms && b->until_ms <= b->since_ms)
        errand_end_with(
            &b->e, PBAY_INVALID_ARGUMENT, "--until is not later than %s: there can be no job between them",
            b->stored_ms && b->since_ms == b->stored_ms - OVERLAP_MS ? "where the last backfill stopped"
                                                                     : "--since");
    else
        next_page(b);
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

void backfill_begin(struct modeldb *m, pbay_command_run run, const pbay_config *arguments)
{
    const pbay_host *h = m->host;
    struct backfill *b = errand_new(m, run, sizeof *b, stop, release);
    pbay_str since = h->get_str(arguments, "since"), until = h->get_str(arguments, "until");
    b->dry = h->get_int(arguments, "dry_run") != 0;
    if (h->get_int(arguments, "again") != 0) {
        uint8_t nonce[(NONCE - 1) / 2];
        m->crypto->random(nonce, sizeof nonce);
        hex(nonce, sizeof nonce, b->again);
    }
    b->since_ms = since.n ? moment_of(m, since) : 0;
    b->until_ms = until.n ? moment_of(m, until) : 0;
    if (!h->get_str(m->config, "sagemaker").n)
        errand_end_with(&b->e, PBAY_FAILED_PRECONDITION,
                        "connector \"%.*s\" asks nobody for jobs: set sagemaker = NAME, a connector of "
                        "plugin sagemaker",
                        FMT(h->name(h)));
    else if (b->since_ms < 0 || b->until_ms < 0)
        errand_end_with(&b->e, PBAY_INVALID_ARGUMENT,
                        "--%s: \"%.*s\" is no moment: 2026-01-31, 2026-01-31T08:00:00Z, or 30d (ago)",
                        b->since_ms < 0 ? "since" : "until", FMT(b->since_ms < 0 ? since : until));
    else
        m->kv->get(h, STR(WATERMARK), on_begin, b);
}
