/* SPDX-License-Identifier: MIT */
/* patchbay modeldb verify JOB: describe it, put in what the rule and the script had made of it, compare. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "errand.h"
#include "mark.h"
#include "sink.h"

enum { ASK_MS = 10 * 60 * 1000 };

struct verify {
    struct errand e;
    char *name;
    struct description *asked;
    json_t *job;
    mdb_record record;
    mdb_task *task;
    size_t differences;
};

static void stop(struct errand *e)
{
    struct verify *v = (struct verify *)e;
    if (v->asked) describe_cancel(v->asked);
    if (v->task) e->m->sink->cancel(v->task);
}

static void release(struct errand *e)
{
    struct verify *v = (struct verify *)e;
    free(v->name);
    json_decref(v->job);
    mdb_record_free(&v->record);
}

static void on_difference(void *user, const char *what, pbay_str name, pbay_str wanted, pbay_str stored)
{
    struct verify *v = user;
    pbay_text t = {NULL, 0, 0};
    v->differences++;
    pbay_text_c(&t, what);
    if (name.n) pbay_text_c(&t, " ");
    if (name.n) errand_quote(&t, name);
    if (!wanted.n) {
        pbay_text_c(&t, ": SageMaker has none; the store has ");
        errand_quote(&t, stored);
    } else {
        pbay_text_c(&t, stored.n ? ": SageMaker has " : ": is not in the store; SageMaker has ");
        errand_quote(&t, wanted);
        if (stored.n) pbay_text_c(&t, ", the store ");
        if (stored.n) errand_quote(&t, stored);
    }
    errand_say(&v->e, "%.*s\n", (int)t.n, t.p);
    pbay_text_free(&t);
}

static pbay_str where(const struct verify *v)
{
    return v->e.m->host->name(v->e.m->host);
}

static void on_verified(void *user, const pbay_result *result, pbay_str json)
{
    struct verify *v = user;
    (void)json;
    v->task = NULL;
    if (result->code != PBAY_OK) {
        errand_end(&v->e, result);
    } else if (v->differences) {
        errand_end_with(&v->e, PBAY_FAILED_PRECONDITION, "training job %.100s: %zu difference%s in \"%.*s\"",
                        v->name, v->differences, v->differences == 1 ? "" : "s", FMT(where(v)));
    } else {
        errand_say(&v->e, "%s: as SageMaker has it.\n", v->name);
        errand_end_with(&v->e, PBAY_OK, "%s", "");
    }
}

static void on_mark(void *user, const pbay_result *result, pbay_str value)
{
    struct verify *v = user;
    struct modeldb *m = v->e.m;
    char why[MDB_WHY];
    pbay_text changed = {NULL, 0, 0};
    if (v->e.cancelled) {
        errand_end_with(&v->e, PBAY_CANCELLED, "stopped");
    } else if (result->code == PBAY_NOT_FOUND) {
        errand_end_with(&v->e, PBAY_NOT_FOUND,
                        "training job %.100s was not written through connector \"%.*s\"", v->name,
                        FMT(where(v)));
    } else if (result->code != PBAY_OK) {
        errand_end(&v->e, result);
    } else if (mark_apply(value, v->job, &changed) || mdb_record_read(v->job, &v->record, why)) {
        errand_end_with(&v->e, PBAY_DATA_LOSS, "training job %.100s: what is remembered of it cannot be read",
                        v->name);
    } else {
        if (changed.n)
            errand_say(&v->e, "%s: compared as the script had changed it (%.*s)\n", v->name, (int)changed.n,
                       changed.p);
        int64_t deadline = m->timer->monotonic_ns() + ASK_MS * NS_PER_MS;
        v->task = m->sink->verify(m->store, &v->record, deadline, on_difference, on_verified, v);
    }
    pbay_text_free(&changed);
}

static void on_described(void *user, const pbay_result *result, json_t *job)
{
    struct verify *v = user;
    struct modeldb *m = v->e.m;
    char key[MARK_KEY];
    v->asked = NULL;
    if (result->code != PBAY_OK) {
        errand_end(&v->e, result);
        return;
    }
    v->job = json_incref(job);
    const json_t *arn = json_object_get(job, "arn");
    mark_key("job", (pbay_str){json_string_value(arn), json_string_length(arn)}, key);
    m->kv->get(m->host, (pbay_str){key, strlen(key)}, on_mark, v);
}

void verify_begin(struct modeldb *m, pbay_command_run run, const pbay_config *arguments)
{
    struct verify *v = errand_new(m, run, sizeof *v, stop, release);
    pbay_result why = PBAY_RESULT_OK;
    pbay_str name = m->host->get_str(arguments, "job");
    v->name = malloc(name.n + 1);
    if (!v->name) abort();
    memcpy(v->name, name.p, name.n);
    v->name[name.n] = 0;
    v->asked = describe_job(m, name, m->timer->monotonic_ns() + ASK_MS * NS_PER_MS, on_described, v, &why);
    if (!v->asked) errand_end(&v->e, &why);
}
