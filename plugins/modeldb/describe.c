/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET = 128, NAME_SHOWN = 100 };

struct description {
    struct modeldb *m;
    described done;
    void *user;
    char *name;
    int64_t deadline;
    pbay_invoke call;
    json_t *job; /* as DescribeTrainingJob has it */
    char why[1024];
};

static void end(struct description *d, const pbay_result *result, json_t *job)
{
    d->done(d->user, result, job);
    json_decref(d->job);
    free(d->name);
    free(d);
}

static void fail(struct description *d, const pbay_result *because, const char *what, pbay_str detail)
{
    pbay_result r = *because;
    snprintf(d->why, sizeof d->why, "training job %.*s: %s%.*s", NAME_SHOWN, d->name, what, FMT(detail));
    r.message = (pbay_str){d->why, strlen(d->why)};
    end(d, &r, NULL);
}

static void nonsense(struct description *d, const char *what)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = PBAY_DATA_LOSS;
    r.effect = PBAY_EFFECT_NONE;
    r.advice = PBAY_ADVICE_RETRY;
    fail(d, &r, what, (pbay_str){NULL, 0});
}

static pbay_invoke ask(struct description *d, const char *action, const char *member, const char *value,
                       int all, const pbay_invoke_events *events, pbay_result *why)
{
    char target[TARGET];
    struct modeldb *m = d->m;
    json_t *args =
        all ? json_pack("{s:s, s:b}", member, value, "AllPages", 1) : json_pack("{s:s}", member, value);
    char *text = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    if (!text) abort();
    int n = snprintf(target, sizeof target, "%.*s.%s", FMT(m->host->get_str(m->config, "sagemaker")), action);
    const pbay_invoke_info info = {.struct_size = sizeof info,
                                   .kind = PBAY_INVOKE_ACTION,
                                   .target = {target, (size_t)n},
                                   .deadline = d->deadline};
    pbay_invoke call = m->invoke->open(m->host, &info, (pbay_str){text, strlen(text)}, events, d, why);
    free(text);
    return call;
}

static void on_tags(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct description *d = user;
    const mdb_reading how = {.unquote = d->m->host->get_int(d->m->config, "unquote") != 0,
                             .internal = d->m->host->get_int(d->m->config, "internal") != 0};
    char why[MDB_WHY];
    (void)call;
    d->call = 0;
    if (result->code != PBAY_OK) {
        fail(d, result, "its tags: ", result->message);
        return;
    }
    json_t *answer = json_loadb(json.n ? json.p : "", json.n, 0, NULL);
    const json_t *tags = json_object_get(answer, "Tags");
    if (!json_is_array(tags)) { /* which is not the same as none: the rule decides by them */
        json_decref(answer);
        nonsense(d, "ListTags answered no object with Tags");
        return;
    }
    json_t *job = mdb_record_of_job(d->job, tags, &how, why);
    if (job) {
        pbay_result ok = PBAY_RESULT_OK;
        end(d, &ok, job);
    } else {
        pbay_result r = PBAY_RESULT_OK;
        r.code = PBAY_DATA_LOSS;
        r.effect = PBAY_EFFECT_NONE;
        r.message = (pbay_str){why, strlen(why)};
        end(d, &r, NULL);
    }
    json_decref(job);
    json_decref(answer);
}

static void on_job(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    static const pbay_invoke_events events = {.struct_size = sizeof events, .on_done = on_tags};
    struct description *d = user;
    pbay_result why = PBAY_RESULT_OK;
    (void)call;
    d->call = 0;
    if (result->code != PBAY_OK) {
        fail(d, result, "", result->message);
        return;
    }
    d->job = json_loadb(json.n ? json.p : "", json.n, 0, NULL);
    const char *arn = json_string_value(json_object_get(d->job, "TrainingJobArn"));
    if (!arn) {
        nonsense(d, "DescribeTrainingJob answered no object with TrainingJobArn");
        return;
    }
    d->call = ask(d, "list_tags", "ResourceArn", arn, 1, &events, &why);
    if (!d->call) fail(d, &why, "its tags: ", why.message);
}

struct description *describe_job(struct modeldb *m, pbay_str name, int64_t deadline, described done,
                                 void *user, pbay_result *why)
{
    static const pbay_invoke_events events = {.struct_size = sizeof events, .on_done = on_job};
    if (!m->host->get_str(m->config, "sagemaker").n) {
        modeldb_refuse(m, why, PBAY_FAILED_PRECONDITION,
                       "connector \"%.*s\" asks nobody for jobs: set sagemaker = NAME, a connector of plugin "
                       "sagemaker",
                       FMT(m->host->name(m->host)));
        return NULL;
    }
    struct description *d = calloc(1, sizeof *d);
    if (!d || !(d->name = malloc(name.n + 1))) abort();
    memcpy(d->name, name.p, name.n);
    d->name[name.n] = 0;
    d->m = m;
    d->done = done;
    d->user = user;
    d->deadline = deadline;
    d->call = ask(d, "describe_training_job", "TrainingJobName", d->name, 0, &events, why);
    if (d->call) return d;
    free(d->name);
    free(d);
    return NULL;
}

void describe_cancel(struct description *d)
{
    if (d->call) d->m->invoke->cancel(d->call);
}
