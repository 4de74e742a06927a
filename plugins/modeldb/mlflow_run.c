/* SPDX-License-Identifier: MIT */
#include "mlflow_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one log-batch: mlflow/utils/validation.py; and a request of at most 1,000,000 bytes, of which JSON may
 * make more. */
enum {
    PARAMS_MAX = 100,
    TAGS_MAX = 100,
    METRICS_MAX = 1000,
    TOTAL_MAX = 1000,
    BYTES_MAX = 300000,
    AGAIN_MAX = 4
};

enum step { GET_EXPERIMENT, CREATE_EXPERIMENT, DESCRIBE, SEARCH, CREATE_RUN, LOG, UPDATE, OVER };

struct plan {
    mlflow_wanted w;
    mdb_differs differs; /* only read */
    void *user;
    enum step step;
    int again;
    char *experiment, *run;
    bool describe, created, update, gone, several;
    json_t *params, *metrics, *tags; /* to be written; what was taken into a batch is not in them any more */
    int n_params, n_metrics, n_tags, n_kept;
    char fault[500];
    bool passes; /* the same again may help */
};

static bool is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

static pbay_str c_str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

static void tell(const struct plan *p, const char *what, const char *name, const char *wanted,
                 const char *stored)
{
    p->differs(p->user, what, c_str(name), c_str(wanted), c_str(stored));
}

static void fault(struct plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct plan *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->fault, sizeof p->fault, fmt, ap);
    va_end(ap);
    p->step = OVER;
}

/* An answer without what it must hold: the next one may have it. */
static void no_id(struct plan *p, const char *what)
{
    p->passes = true;
    fault(p, "%s", what);
}

/* --------------------------------------------------------------------------------------------------- asking
 */

/* As many of `from` as fit, taken out of it. */
static json_t *some(json_t *from, int max, int *total, size_t *bytes,
                    json_t *(*make)(const char *key, json_t *v))
{
    json_t *out = json_array(), *v;
    const char *key;
    void *safe;
    json_object_foreach_safe(from, safe, key, v)
    {
        const size_t n = strlen(key) + json_string_length(v) + 60;
        if ((int)json_array_size(out) == max || *total == TOTAL_MAX || (*total && *bytes + n > BYTES_MAX))
            break;
        json_array_append_new(out, make(key, v));
        json_object_del(from, key);
        *bytes += n;
        ++*total;
    }
    return out;
}

static json_t *pair(const char *key, json_t *v)
{
    return json_pack("{s:s, s:O}", "key", key, "value", v);
}

static json_t *metric(const char *key, json_t *v)
{
    json_t *m = json_pack("{s:s, s:i}", "key", key, "step", 0);
    json_object_update(m, v);
    return m;
}

static json_t *batch(struct plan *p)
{
    int total = 0;
    size_t bytes = 0;
    json_t *b = json_pack("{s:s}", "run_id", p->run);
    json_object_set_new(b, "params", some(p->params, PARAMS_MAX, &total, &bytes, pair));
    json_object_set_new(b, "tags", some(p->tags, TAGS_MAX, &total, &bytes, pair));
    json_object_set_new(b, "metrics", some(p->metrics, METRICS_MAX, &total, &bytes, metric));
    return b;
}

/* The ARN is all that it needs to be found by; the rest comes in batches. */
static json_t *new_run(const struct plan *p)
{
    json_t *b = json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "experiment_id", p->experiment, "run_name", p->w.name,
                          "tags", "key", MLFLOW_ARN, "value", p->w.arn);
    if (p->w.started_ms > 0) json_object_set_new(b, "start_time", json_integer(p->w.started_ms));
    if (*p->w.user) json_object_set_new(b, "user_id", json_string(p->w.user));
    return b;
}

static json_t *search(const struct plan *p)
{
    json_t *b = json_pack("{s:[s], s:s, s:i}", "experiment_ids", p->experiment, "run_view_type", "ALL",
                          "max_results", 10);
    /* Either kind of quote may stand around it; ARNs have none in them. */
    const char quote = strchr(p->w.arn, '\'') ? '"' : '\'';
    json_object_set_new(b, "filter", json_sprintf("tags.`" MLFLOW_ARN "` = %c%s%c", quote, p->w.arn, quote));
    return b;
}

static void post(rest_want *want, const char *call, json_t *body)
{
    want->method = "POST";
    want->call = call;
    want->body = body;
}

static bool plan_next(void *plan, rest_want *want)
{
    struct plan *p = plan;
    json_t *b;
    if (p->step == LOG && !json_object_size(p->params) && !json_object_size(p->metrics) &&
        !json_object_size(p->tags))
        p->step = p->update ? UPDATE : OVER;
    switch (p->step) {
    case GET_EXPERIMENT:
        want->method = "GET";
        want->call = "experiments/get-by-name";
        rest_query(&want->query, "experiment_name", c_str(p->w.experiment));
        return true;
    case CREATE_EXPERIMENT:
        b = json_pack("{s:s}", "name", p->w.experiment);
        if (*p->w.description)
            json_object_set_new(
                b, "tags",
                json_pack("[{s:s, s:s}]", "key", "mlflow.note.content", "value", p->w.description));
        post(want, "experiments/create", b);
        return true;
    case DESCRIBE:
        post(want, "experiments/set-experiment-tag",
             json_pack("{s:s, s:s, s:s}", "experiment_id", p->experiment, "key", "mlflow.note.content",
                       "value", p->w.description));
        return true;
    case SEARCH: post(want, "runs/search", search(p)); return true;
    case CREATE_RUN: post(want, "runs/create", new_run(p)); return true;
    case LOG: post(want, "runs/log-batch", batch(p)); return true;
    case UPDATE:
        b = json_pack("{s:s, s:s}", "run_id", p->run, "status", p->w.status);
        if (p->w.ended_ms > 0) json_object_set_new(b, "end_time", json_integer(p->w.ended_ms));
        post(want, "runs/update", b);
        return true;
    case OVER: break;
    }
    return false;
}

/* -------------------------------------------------------------------------------------------------- answers
 */

/* [{"key", "value", ...}] */
static const json_t *listed(const json_t *list, const char *key)
{
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) if (is(json_string_value(json_object_get(one, "key")), key)) return one;
    return NULL;
}

/* What is there and nobody wants; tags of others are theirs. */
static void tell_extras(const struct plan *p, const char *what, const json_t *stored, const json_t *wanted)
{
    const char *key;
    json_t *v;
    if (!p->differs) return;
    json_object_foreach((json_t *)stored, key, v)
    {
        char room[40];
        const json_t *value = json_object_get(v, "value");
        if (json_object_get(wanted, key)) continue;
        snprintf(room, sizeof room, "%.17g", json_number_value(value));
        tell(p, what, key, "", json_is_string(value) ? json_string_value(value) : room);
    }
}

static void compare_params(struct plan *p, const json_t *stored)
{
    const char *key;
    json_t *v;
    tell_extras(p, "parameter", stored, p->w.params);
    json_object_foreach(p->w.params, key, v)
    {
        const char *had = json_string_value(json_object_get(json_object_get(stored, key), "value"));
        if (is(had, json_string_value(v))) continue;
        if (p->differs) tell(p, "parameter", key, json_string_value(v), had ? had : "");
        if (!had) {
            json_object_set(p->params, key, v);
            continue;
        }
        /* Written once: the value of now stands beside it. */
        char name[300];
        snprintf(name, sizeof name, "sagemaker.now.%.230s", key);
        json_object_set(p->w.tags, name, v);
        p->n_kept++;
    }
}

static void compare_metrics(struct plan *p, const json_t *stored)
{
    const char *key;
    json_t *v;
    tell_extras(p, "metric", stored, p->w.metrics);
    json_object_foreach(p->w.metrics, key, v)
    {
        const json_t *had = json_object_get(json_object_get(stored, key), "value");
        const double wanted = json_real_value(json_object_get(v, "value"));
        if (json_is_number(had) && json_number_value(had) == wanted) continue;
        if (p->differs) {
            char a[40], b[40] = "";
            snprintf(a, sizeof a, "%.17g", wanted);
            if (json_is_number(had)) snprintf(b, sizeof b, "%.17g", json_number_value(had));
            tell(p, "metric", key, a, b);
        }
        json_object_set(p->metrics, key, v);
        /* The newest counts, so ours must be newer than the one that it replaces. */
        const int64_t t = rest_int(json_object_get(json_object_get(stored, key), "timestamp"));
        if (had && t >= json_integer_value(json_object_get(v, "timestamp")))
            json_object_set_new(v, "timestamp", json_integer(t + 1));
    }
}

static void compare_tags(struct plan *p, const json_t *stored)
{
    const char *key;
    json_t *v;
    json_object_foreach(p->w.tags, key, v)
    {
        const char *had = json_string_value(json_object_get(json_object_get(stored, key), "value"));
        if (is(had, json_string_value(v))) continue;
        if (p->differs) tell(p, "field", key, json_string_value(v), had ? had : "");
        json_object_set(p->tags, key, v);
    }
}

static void compare(struct plan *p, const json_t *run)
{
    const json_t *data = json_object_get(run, "data"), *info = json_object_get(run, "info");
    const char *status = json_string_value(json_object_get(info, "status"));
    const int64_t end = rest_int(json_object_get(info, "end_time"));
    json_t *stored = rest_by_key(json_object_get(data, "params"));
    compare_params(p, stored);
    json_decref(stored);
    stored = rest_by_key(json_object_get(data, "metrics"));
    compare_metrics(p, stored);
    json_decref(stored);
    stored = rest_by_key(json_object_get(data, "tags"));
    compare_tags(p, stored);
    json_decref(stored);
    p->update = !is(status, p->w.status) || (p->w.ended_ms > 0 && end != p->w.ended_ms);
    if (p->update && p->differs) tell(p, "status", "", p->w.status, status ? status : "");
    p->n_params = (int)json_object_size(p->params);
    p->n_metrics = (int)json_object_size(p->metrics);
    p->n_tags = (int)json_object_size(p->tags);
    p->step = p->differs ? OVER : LOG;
}

static void keep(char **to, const char *id)
{
    free(*to);
    *to = id && *id ? strdup(id) : NULL;
}

/* The run that somebody has not thrown away, if there is one; the first of several. */
static void found(struct plan *p, const json_t *runs)
{
    const json_t *one, *best = NULL;
    size_t i, active = 0;
    json_array_foreach(runs, i, one)
    {
        const json_t *info = json_object_get(one, "info");
        const bool deleted = is(json_string_value(json_object_get(info, "lifecycle_stage")), "deleted");
        active += !deleted;
        if (!best || (!deleted && active == 1)) best = one;
    }
    if (!best) {
        p->step = p->differs ? OVER : p->describe ? DESCRIBE : CREATE_RUN;
        if (p->differs) tell(p, "job", p->w.name, p->w.arn, "");
        return;
    }
    keep(&p->run, json_string_value(json_object_get(json_object_get(best, "info"), "run_id")));
    if (!p->run) {
        no_id(p, "runs/search answers a run without run_id");
    } else if (!active) {
        p->gone = true; /* deleted there, by a person: it stays deleted */
        if (p->differs) tell(p, "job", p->w.name, p->w.arn, "deleted");
        p->step = OVER;
    } else {
        if (active > 1 && p->differs) tell(p, "job", p->w.name, "1 run", "several runs");
        compare(p, best);
    }
}

static void not_there(struct plan *p)
{
    p->step = p->differs ? OVER : CREATE_EXPERIMENT;
    if (p->differs) tell(p, "job", p->w.name, p->w.arn, "");
}

static void read_experiment(struct plan *p, const json_t *e)
{
    const char *note = json_string_value(
        json_object_get(listed(json_object_get(e, "tags"), "mlflow.note.content"), "value"));
    keep(&p->experiment, json_string_value(json_object_get(e, "experiment_id")));
    p->describe = *p->w.description && !is(note, p->w.description);
    if (p->describe && p->differs) tell(p, "project", "description", p->w.description, note ? note : "");
    p->step = SEARCH;
    if (!p->experiment) {
        no_id(p, "experiments/get-by-name answers no experiment_id");
    } else if (is(json_string_value(json_object_get(e, "lifecycle_stage")), "deleted")) {
        if (p->differs)
            tell(p, "job", p->w.name, p->w.arn, "deleted"), p->step = OVER;
        else
            fault(
                p,
                "the experiment \"%.200s\" was deleted there; restore it (or purge it, then it is made anew)",
                p->w.experiment);
    }
}

static bool refused(struct plan *p, const rest_answer *a)
{
    if (p->step == GET_EXPERIMENT && a->status == 404 && is(a->code, "RESOURCE_DOES_NOT_EXIST")) {
        not_there(p);
        return true;
    }
    if (p->step == CREATE_EXPERIMENT && is(a->code, "RESOURCE_ALREADY_EXISTS") && ++p->again < AGAIN_MAX) {
        p->step = GET_EXPERIMENT; /* somebody was faster */
        return true;
    }
    return false;
}

static bool plan_answer(void *plan, const rest_answer *a)
{
    struct plan *p = plan;
    if (a->status >= 300) return refused(p, a);
    switch (p->step) {
    case GET_EXPERIMENT: read_experiment(p, json_object_get(a->body, "experiment")); break;
    case CREATE_EXPERIMENT:
        keep(&p->experiment, json_string_value(json_object_get(a->body, "experiment_id")));
        p->step = SEARCH; /* another worker may have been as fast */
        if (!p->experiment) no_id(p, "experiments/create answers no experiment_id");
        break;
    case DESCRIBE: p->step = CREATE_RUN; break;
    case SEARCH: found(p, json_object_get(a->body, "runs")); break;
    case CREATE_RUN: {
        const json_t *run = json_object_get(a->body, "run");
        keep(&p->run, json_string_value(json_object_get(json_object_get(run, "info"), "run_id")));
        p->created = true;
        if (p->run)
            compare(p, run);
        else
            no_id(p, "runs/create answers no run_id");
        break;
    }
    case LOG: break; /* the next batch */
    case UPDATE:
    case OVER: p->step = OVER; break;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------- life
 */

static const char *plan_end(void *plan, pbay_text *json, bool *passes)
{
    const struct plan *p = plan;
    *passes = p->passes;
    if (p->fault[0]) return p->fault;
    if (p->differs) return NULL;
    json_t *o = json_pack("{s:s, s:s*, s:s*, s:b, s:b, s:i, s:i, s:i, s:i}", "store", "mlflow",
                          "experiment_id", p->experiment, "run_id", p->run, "created", (int)p->created,
                          "deleted_there", (int)p->gone, "metrics", p->n_metrics, "params", p->n_params,
                          "tags", p->n_tags, "params_kept", p->n_kept);
    char *text = json_dumps(o, JSON_COMPACT);
    pbay_text_c(json, text);
    free(text);
    json_decref(o);
    return NULL;
}

static void plan_free(void *plan)
{
    struct plan *p = plan;
    json_decref(p->params);
    json_decref(p->metrics);
    json_decref(p->tags);
    free(p->experiment);
    free(p->run);
    mlflow_wanted_free(&p->w);
    free(p);
}

const rest_plan mlflow_plan = {plan_next, plan_answer, plan_end, plan_free};

void *mlflow_plan_new(mlflow_wanted *w, mdb_differs differs, void *user)
{
    struct plan *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->w = *w;
    p->differs = differs;
    p->user = user;
    p->params = json_object();
    p->metrics = json_object();
    p->tags = json_object();
    return p;
}
