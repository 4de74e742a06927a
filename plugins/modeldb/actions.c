/* SPDX-License-Identifier: MIT */
/*
 * Two actions, with the operator's rule (scripts/chains) between them:
 *
 *   collect   a training job as SageMaker has it now, with its tags, as the JSON of record.h
 *   sync      such a JSON, with what the rule added, into the store behind this connector
 *
 * SageMaker is reached through the sagemaker connector's actions alone. An event is a hint: what it says of
 * the job is not looked at. sync is the place where order is kept: one write of a job at a time, whoever asks
 * for it in whatever worker, and none that is older than the last one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "mark.h"
#include "sink.h"

enum { LOCK_AGAIN_MS = 200, LOCK_SLACK_MS = 5000, NAME_SHOWN = 100 };

enum { A_COLLECT, A_SYNC };

static const pbay_option COLLECT_ARGUMENTS[] = {
    {"TrainingJobName", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "the job"},
};
static const pbay_option SYNC_ARGUMENTS[] = {
    {"job", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "what collect gave, with project, model_name and the like"},
};

static const pbay_action ACTIONS[] = {
    [A_COLLECT] = {"collect",
                   "A training job and its tags as SageMaker has them now.",
                   PBAY_REPEAT_SAFE,
                   PBAY_ACTF_PATIENT,
                   {COLLECT_ARGUMENTS, COUNT(COLLECT_ARGUMENTS), sizeof(pbay_option)}},
    [A_SYNC] = {"sync",
                "Write a training job into the store; once, however often it is asked for.",
                PBAY_REPEAT_SAFE,
                PBAY_ACTF_PATIENT,
                {SYNC_ARGUMENTS, COUNT(SYNC_ARGUMENTS), sizeof(pbay_option)}},
};

/* ------------------------------------------------------------------------------------------------ collect */

struct collect {
    struct modeldb *m;
    struct collect *next, **link;
    pbay_action_run run;
    struct description *asked;
    bool waited; /* for metrics, once */
};

static void collect_end(struct collect *c)
{
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    free(c);
}

static bool wants_patience(const struct collect *c, const json_t *job)
{
    const char *status = json_string_value(json_object_get(job, "status"));
    return !c->waited && status && strcmp(status, "Completed") == 0 &&
           !json_object_size(json_object_get(job, "metrics")) &&
           c->m->host->get_int(c->m->config, "metrics_wait") > 0;
}

static void on_described(void *user, const pbay_result *result, json_t *job)
{
    struct collect *c = user;
    struct modeldb *m = c->m;
    c->asked = NULL;
    if (result->code != PBAY_OK) {
        modeldb_count(m, MDB_COLLECT_FAILED);
        m->action->failed(c->run, result);
    } else if (wants_patience(c, job)) {
        /* The last metrics may come a moment after the end. */
        m->action->started(c->run, STR("metrics"), m->host->get_int(m->config, "metrics_wait"));
    } else {
        mark_digests(job);
        char *text = json_dumps(job, JSON_COMPACT);
        if (!text) abort();
        modeldb_count(m, MDB_COLLECTED);
        m->action->done(c->run, (pbay_str){text, strlen(text)});
        free(text);
    }
    collect_end(c);
}

static int32_t collect(struct modeldb *m, pbay_action_run run, const pbay_action_info *info, bool waited,
                       pbay_result *why)
{
    struct collect *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct collect){.m = m, .run = run, .waited = waited};
    c->link = &m->collects;
    c->next = m->collects;
    if (c->next) c->next->link = &c->next;
    m->collects = c;
    c->asked = describe_job(m, m->host->get_str(info->arguments, "TrainingJobName"), info->deadline,
                            on_described, c, why);
    if (c->asked) return PBAY_OK;
    collect_end(c);
    return why->code;
}

/* ------------------------------------------------------------------------------------------------ sync */

struct sync {
    struct modeldb *m;
    struct sync *next, **link;
    pbay_action_run run;
    mdb_record record;
    mdb_record there; /* the same where it was written before, in another project; no name: there is none */
    int64_t deadline;
    char owner[80];                      /* the action's key: the same in every attempt */
    char lock[MARK_KEY], mark[MARK_KEY]; /* keys in the store */
    pbay_timer again;
    mdb_task *task;
    pbay_text outcome; /* what the sink said */
    pbay_result end;
    char why[1024];
    bool locked, cancelled, gone, kept;
};

static void sync_free(struct sync *s)
{
    if (s->again) s->m->timer->cancel(s->again);
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    mdb_record_free(&s->record);
    mdb_record_free(&s->there);
    pbay_text_free(&s->outcome);
    free(s);
}

static void tell(void *user, const pbay_result *ignored)
{
    struct sync *s = user;
    (void)ignored;
    if (s->end.code != PBAY_OK) modeldb_count(s->m, MDB_FAILED);
    if (s->end.code == PBAY_OK)
        s->m->action->done(s->run, pbay_text_view(&s->outcome));
    else
        s->m->action->failed(s->run, &s->end);
    sync_free(s);
}

static void unlock(struct sync *s)
{
    pbay_str mine = {s->owner, strlen(s->owner)};
    if (s->locked)
        s->m->kv->put(s->m->host, (pbay_str){s->lock, strlen(s->lock)}, (pbay_str){NULL, 0}, &mine, 0, tell,
                      s);
    else
        tell(s, NULL);
}

static void end(struct sync *s, const pbay_result *result)
{
    s->end = *result;
    snprintf(s->why, sizeof s->why, "%.*s", FMT(result->message));
    s->end.message = (pbay_str){s->why, strlen(s->why)};
    s->end.vendor_code = (pbay_str){NULL, 0};
    unlock(s);
}

static void end_with(struct sync *s, int32_t code, const char *text)
{
    pbay_result r = PBAY_RESULT_OK;
    char why[sizeof s->why];
    int n =
        snprintf(why, sizeof why, "training job %.*s: %s",
                 s->record.name.n < NAME_SHOWN ? (int)s->record.name.n : NAME_SHOWN, s->record.name.p, text);
    r.code = code;
    r.message = (pbay_str){why, (size_t)n < sizeof why ? (size_t)n : sizeof why - 1};
    r.effect = PBAY_EFFECT_NONE;
    r.advice = PBAY_ADVICE_RETRY;
    end(s, &r);
}

/* {"written": true, "name", "arn", "project", "job_status", "store", "result": what the sink says}; "reason"
 * instead when it was not written, "asked_project" when it stays in another. */
static void set_outcome(struct sync *s, bool written, pbay_str said)
{
    const mdb_record *r = &s->record;
    pbay_text_clear(&s->outcome);
    pbay_text_c(&s->outcome, written ? "{\"written\":true,\"name\":" : "{\"written\":false,\"name\":");
    pbay_text_json(&s->outcome, r->name);
    pbay_text_c(&s->outcome, ",\"arn\":");
    pbay_text_json(&s->outcome, r->arn);
    pbay_text_c(&s->outcome, ",\"project\":");
    pbay_text_json(&s->outcome, r->project);
    pbay_text_c(&s->outcome, ",\"job_status\":");
    pbay_text_json(&s->outcome, r->status);
    pbay_text_printf(&s->outcome, ",\"store\":\"%s\"", s->m->sink->name);
    if (s->kept) { /* `there` is now what was asked for */
        pbay_text_c(&s->outcome, ",\"asked_project\":");
        pbay_text_json(&s->outcome, s->there.project);
    }
    if (said.n) {
        pbay_text_c(&s->outcome, written ? ",\"result\":" : ",\"reason\":");
        pbay_text_add(&s->outcome, said);
    }
    pbay_text_c(&s->outcome, "}");
}

static void on_event(void *user, const pbay_result *result, uint32_t n_new)
{
    struct sync *s = user;
    pbay_result ok = PBAY_RESULT_OK;
    (void)n_new;
    end(s, result->code == PBAY_OK ? &ok : result);
}

/* CONNECTOR.synced, for chains; one per state of the job. */
static void announce(struct sync *s)
{
    pbay_result ok = PBAY_RESULT_OK;
    if (!s->m->event) {
        end(s, &ok);
        return;
    }
    char key[MARK_KEY];
    pbay_text data = {0};
    int n = snprintf(key, sizeof key, "synced/%.*s/%.30s/%lld",
                     s->record.arn.n < 300 ? (int)s->record.arn.n : 300, s->record.arn.p, s->record.status.p,
                     (long long)s->record.modified_ms);
    pbay_str keys[1] = {{key, (size_t)n}}, whole = pbay_text_view(&s->outcome);
    pbay_text_c(&data, "{\"status\":\"ok\",");
    pbay_text_add(&data, (pbay_str){whole.p + 1, whole.n - 1});
    pbay_event e = {.struct_size = sizeof e,
                    .n_keys = 1,
                    .keys = keys,
                    .type = STR("synced"),
                    .subject = s->record.name,
                    .data = pbay_text_view(&data)};
    s->m->event->put(s->m->host, &e, 1, on_event, s);
    pbay_text_free(&data);
}

static void on_marked(void *user, const pbay_result *result)
{
    struct sync *s = user;
    if (result->code == PBAY_OK)
        announce(s);
    else
        end(s, result);
}

static void on_written(void *user, const pbay_result *result, pbay_str json)
{
    struct sync *s = user;
    s->task = NULL;
    if (result->code != PBAY_OK) {
        end(s, result);
        return;
    }
    set_outcome(s, true, json);
    modeldb_count(s->m, MDB_WRITTEN);
    char *mark = mark_of(&s->record);
    s->m->kv->put(s->m->host, (pbay_str){s->mark, strlen(s->mark)}, (pbay_str){mark, strlen(mark)}, NULL, 0,
                  on_marked, s);
    free(mark);
}

static void write_it(struct sync *s)
{
    s->task = s->m->sink->write(s->m->store, &s->record, s->deadline, on_written, s);
}

static void on_there(void *user, const char *what, pbay_str name, pbay_str wanted, pbay_str stored)
{
    struct sync *s = user;
    (void)name;
    (void)wanted;
    if (!strcmp(what, "job") && (!stored.n || (stored.n == 7 && !memcmp(stored.p, "deleted", 7))))
        s->gone = true;
}

static void on_looked(void *user, const pbay_result *result, pbay_str json)
{
    struct sync *s = user;
    (void)json;
    s->task = NULL;
    if (result->code != PBAY_OK) {
        end(s, result);
    } else if (s->cancelled) {
        end_with(s, PBAY_CANCELLED, "cancelled");
    } else {
        if (!s->gone) {
            mdb_record asked = s->record;
            s->record = s->there;
            s->there = asked;
            s->kept = true;
        }
        write_it(s);
    }
}

/* The rule says another project than when it was written. Stores cannot move a run, so where it still is it
 * stays; else there would be two of it. */
static bool look_there(struct sync *s, pbay_str mark)
{
    char why[MDB_WHY];
    json_t *json = s->m->seed ? NULL : mark_elsewhere(mark, &s->record);
    if (!json) return false;
    const int bad = mdb_record_read(json, &s->there, why);
    json_decref(json);
    if (bad) return false;
    s->there.trace = s->record.trace;
    s->task = s->m->sink->verify(s->m->store, &s->there, s->deadline, on_there, on_looked, s);
    return true;
}

static void on_mark(void *user, const pbay_result *result, pbay_str value)
{
    struct sync *s = user;
    pbay_result ok = PBAY_RESULT_OK;
    if (result->code != PBAY_OK && result->code != PBAY_NOT_FOUND) {
        end(s, result);
    } else if (result->code == PBAY_OK && mark_is_later(value, &s->record)) {
        modeldb_count(s->m, MDB_LATE);
        set_outcome(s, false, STR("\"a later state of the job has been written already\""));
        end(s, &ok);
    } else if (s->cancelled) {
        end_with(s, PBAY_CANCELLED, "cancelled");
    } else if (result->code != PBAY_OK || !look_there(s, value)) {
        write_it(s);
    }
}

static void locked(struct sync *s)
{
    s->locked = true;
    s->m->kv->get(s->m->host, (pbay_str){s->mark, strlen(s->mark)}, on_mark, s);
}

static void lock(void *user);
static void hold(struct sync *s, const pbay_str *expected);

static void on_lock_seen(void *user, const pbay_result *result, pbay_str value)
{
    struct sync *s = user;
    if (result->code == PBAY_OK && value.n == strlen(s->owner) && memcmp(value.p, s->owner, value.n) == 0) {
        hold(s, &value); /* of an attempt of this very job, which is over: ours, and for as long as this one
                            may take */
        return;
    }
    if (s->cancelled || s->m->timer->monotonic_ns() + INT64_C(2) * LOCK_AGAIN_MS * NS_PER_MS > s->deadline) {
        end_with(s, PBAY_UNAVAILABLE, "it is being written by somebody else");
        return;
    }
    s->again = s->m->timer->start(s->m->host, LOCK_AGAIN_MS, 0, lock, s);
}

static void on_locked(void *user, const pbay_result *result)
{
    struct sync *s = user;
    if (result->code == PBAY_OK)
        locked(s);
    else if (result->code == PBAY_ABORTED)
        s->m->kv->get(s->m->host, (pbay_str){s->lock, strlen(s->lock)}, on_lock_seen, s);
    else
        end(s, result);
}

/* Nobody writes this job beside us; the lock of one who died ends by itself. */
static void hold(struct sync *s, const pbay_str *expected)
{
    int64_t left = (s->deadline - s->m->timer->monotonic_ns()) / NS_PER_MS;
    s->m->kv->put(s->m->host, (pbay_str){s->lock, strlen(s->lock)}, (pbay_str){s->owner, strlen(s->owner)},
                  expected, (left > 0 ? left : 0) + LOCK_SLACK_MS, on_locked, s);
}

static void lock(void *user)
{
    struct sync *s = user;
    const pbay_str nobody = {"", 0};
    s->again = 0;
    hold(s, &nobody);
}

static int32_t sync(struct modeldb *m, pbay_action_run run, const pbay_action_info *info, pbay_result *why)
{
    char text[MDB_WHY];
    mdb_record record;
    pbay_str given = m->host->get_str(info->arguments, "job");
    json_t *json = json_loadb(given.n ? given.p : "", given.n, JSON_REJECT_DUPLICATES, NULL);
    int bad = json ? mdb_record_read(json, &record, text) : -1;
    if (!json)
        return modeldb_refuse(m, why, PBAY_INVALID_ARGUMENT, "job is not JSON; it is what collect gave");
    json_decref(json);
    /* The step function took an empty name, and so does its server. */
    if (!bad && !record.project.n && !(m->seed && record.project.p)) {
        snprintf(
            text, sizeof text,
            "training job %.*s: project is missing: the chain script says which (scripts/chains/modeldb.lua)",
            record.name.n < NAME_SHOWN ? (int)record.name.n : NAME_SHOWN, record.name.p);
        bad = -1;
    }
    if (bad) {
        mdb_record_free(&record);
        return modeldb_refuse(m, why, PBAY_INVALID_ARGUMENT, "%s", text);
    }
    struct sync *s = calloc(1, sizeof *s);
    if (!s) abort();
    *s = (struct sync){.m = m, .run = run, .record = record, .deadline = info->deadline};
    s->record.trace = info->traceparent; /* lives as long as the run */
    s->link = &m->syncs;
    s->next = m->syncs;
    if (s->next) s->next->link = &s->next;
    m->syncs = s;
    snprintf(s->owner, sizeof s->owner, "%.*s", FMT(info->key));
    mark_key("lock", record.arn, s->lock);
    mark_key("job", record.arn, s->mark);
    lock(s);
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ the table
 */

static int32_t run(void *self, uint32_t action, pbay_action_run run_, const pbay_action_info *info,
                   pbay_result *why)
{
    struct modeldb *m = self;
    return action == A_COLLECT ? collect(m, run_, info, false, why) : sync(m, run_, info, why);
}

static int32_t poll(void *self, uint32_t action, pbay_action_run run_, const pbay_action_info *info,
                    pbay_result *why)
{
    (void)action; /* only collect says `started` */
    return collect(self, run_, info, true, why);
}

static void cancel(void *self, uint32_t action, pbay_action_run run_)
{
    struct modeldb *m = self;
    (void)action;
    for (struct sync *s = m->syncs; s; s = s->next) {
        if (s->run != run_) continue;
        s->cancelled = true;
        if (s->task) m->sink->cancel(s->task);
    }
    for (struct collect *c = m->collects; c; c = c->next)
        if (c->run == run_ && c->asked) describe_cancel(c->asked);
}

void modeldb_stop_actions(struct modeldb *m)
{
    for (struct collect *c = m->collects; c; c = c->next)
        if (c->asked) describe_cancel(c->asked);
    for (struct sync *s = m->syncs; s; s = s->next) {
        s->cancelled = true;
        if (s->task) m->sink->cancel(s->task);
    }
}

const pbay_actions_1 modeldb_actions = {
    .struct_size = sizeof modeldb_actions,
    .n_actions = COUNT(ACTIONS),
    .actions = ACTIONS,
    .action_stride = sizeof(pbay_action),
    .run = run,
    .poll = poll,
    .cancel = cancel,
};
