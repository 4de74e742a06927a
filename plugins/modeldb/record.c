/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/time.h"

enum { NUMBER = 32 };

static pbay_str text_of(const json_t *v)
{
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static pbay_str member(const json_t *o, const char *name)
{
    return text_of(json_object_get(o, name));
}

static int fail(char why[MDB_WHY], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(char why[MDB_WHY], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, MDB_WHY, fmt, ap);
    va_end(ap);
    return -1;
}

/* ------------------------------------------------------------------------------------------------ moments */

int64_t mdb_moment(const json_t *v)
{
    double n = 0;
    if (json_is_string(v)) {
        const char *s = json_string_value(v);
        char *end;
        n = strtod(s, &end);
        if (end == s || *end) return pbay_time_rfc3339(text_of(v));
    } else if (json_is_number(v)) {
        n = json_number_value(v);
    }
    if (!(n > 0) || n > 1e15) return -1;
    /* Seconds of the year 5138 are the milliseconds of 1973: no job is older. */
    return (int64_t)(n < 1e11 ? n * 1000 + 0.5 : n);
}

static void put_moment(json_t *to, const char *name, const json_t *from)
{
    char text[PBAY_TIME_TEXT];
    int64_t ms = mdb_moment(from);
    if (ms < 0) return;
    pbay_time_format(ms, text);
    json_object_set_new(to, name, json_string(text));
}

/* ------------------------------------------------------------------------------------------------ from
 * SageMaker */

static void put(json_t *to, const char *name, const json_t *v)
{
    if (v && !json_is_null(v)) json_object_set(to, name, (json_t *)v);
}

static void put_text(json_t *to, const char *name, pbay_str s)
{
    if (s.n) json_object_set_new(to, name, json_stringn(s.p, s.n));
}

/* arn:aws:sagemaker:REGION:ACCOUNT:training-job/NAME */
static pbay_str arn_part(pbay_str arn, int wanted)
{
    const char *p = arn.p, *end = p + arn.n;
    for (int i = 0; p < end; i++) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *stop = colon ? colon : end;
        if (i == wanted) return (pbay_str){p, (size_t)(stop - p)};
        p = colon ? colon + 1 : end;
    }
    return (pbay_str){NULL, 0};
}

static void put_parameters(json_t *to, const json_t *from, const mdb_reading *how)
{
    const char *name;
    json_t *v, *out = json_object();
    json_object_foreach((json_t *)from, name, v)
    {
        if (!how->internal && strncmp(name, "sagemaker_", 10) == 0) continue;
        json_t *inner = NULL;
        pbay_str s = text_of(v);
        if (how->unquote && s.n > 1 && s.p[0] == '"') inner = json_loadb(s.p, s.n, JSON_DECODE_ANY, NULL);
        if (json_is_string(inner))
            json_object_set(out, name, inner);
        else if (json_is_string(v))
            json_object_set(out, name, v);
        json_decref(inner);
    }
    json_object_set_new(to, "hyperparameters", out);
}

/* The last one of a name counts. */
static void put_metrics(json_t *to, const json_t *from)
{
    json_t *values = json_object(), *times = json_object(), *m;
    size_t i;
    json_array_foreach(from, i, m)
    {
        const char *name = json_string_value(json_object_get(m, "MetricName"));
        const json_t *v = json_object_get(m, "Value");
        if (!name || !(json_is_number(v) || json_is_string(v))) continue;
        json_object_set(values, name, (json_t *)v);
        put_moment(times, name, json_object_get(m, "Timestamp"));
    }
    json_object_set_new(to, "metrics", values);
    json_object_set_new(to, "metric_times", times);
}

static json_t *channel(const json_t *c)
{
    const json_t *source = json_object_get(c, "DataSource");
    const json_t *s3 = json_object_get(source, "S3DataSource"),
                 *fs = json_object_get(source, "FileSystemDataSource");
    json_t *out = json_object();
    put(out, "name", json_object_get(c, "ChannelName"));
    put(out, "uri", json_object_get(s3, "S3Uri"));
    put(out, "data_type", json_object_get(s3, "S3DataType"));
    if (json_is_object(fs)) {
        const char *id = json_string_value(json_object_get(fs, "FileSystemId"));
        const char *path = json_string_value(json_object_get(fs, "DirectoryPath"));
        json_object_set_new(out, "uri", json_sprintf("%s:%s", id ? id : "", path ? path : ""));
        put(out, "data_type", json_object_get(fs, "FileSystemType"));
    }
    put(out, "content_type", json_object_get(c, "ContentType"));
    put(out, "compression", json_object_get(c, "CompressionType"));
    put(out, "wrapper", json_object_get(c, "RecordWrapperType"));
    put(out, "input_mode", json_object_get(c, "InputMode"));
    return out;
}

static void put_channels(json_t *to, const json_t *from)
{
    json_t *out = json_array(), *c;
    size_t i;
    json_array_foreach(from, i, c) json_array_append_new(out, channel(c));
    json_object_set_new(to, "channels", out);
}

static void put_tags(json_t *to, const json_t *tags)
{
    json_t *out = json_object(), *t;
    size_t i;
    const char *key;
    json_array_foreach(tags, i, t)
    {
        key = json_string_value(json_object_get(t, "Key"));
        if (key) json_object_set(out, key, json_object_get(t, "Value"));
    }
    if (json_is_object(tags)) json_object_update(out, (json_t *)tags);
    json_object_set_new(to, "tags", out);
}

/* Groups of a mixed cluster: their types, and how many there are in all. */
static void put_resources(json_t *to, const json_t *r)
{
    json_t *groups = json_object_get(r, "InstanceGroups"), *g;
    put(to, "instance_type", json_object_get(r, "InstanceType"));
    put(to, "instance_count", json_object_get(r, "InstanceCount"));
    put(to, "volume_gb", json_object_get(r, "VolumeSizeInGB"));
    json_int_t n = 0;
    json_t *types = json_string("");
    size_t i;
    json_array_foreach(groups, i, g)
    {
        const char *type = json_string_value(json_object_get(g, "InstanceType"));
        n += json_integer_value(json_object_get(g, "InstanceCount"));
        json_t *longer = json_sprintf("%s%s%s", json_string_value(types), i ? "," : "", type ? type : "");
        json_decref(types);
        types = longer;
    }
    if (json_array_size(groups)) {
        json_object_set(to, "instance_type", types);
        json_object_set_new(to, "instance_count", json_integer(n));
    }
    json_decref(types);
}

json_t *mdb_record_of_job(const json_t *job, const json_t *tags, const mdb_reading *how, char why[MDB_WHY])
{
    pbay_str arn = member(job, "TrainingJobArn"), name = member(job, "TrainingJobName");
    if (!json_is_object(job) || !arn.n || !name.n) {
        fail(why, "training job %.*s: what describes it is no object with TrainingJobName and TrainingJobArn",
             name.n < 100 ? (int)name.n : 100, name.n ? name.p : "?");
        return NULL;
    }
    if (!member(job, "TrainingJobStatus").n) {
        fail(why, "training job %.*s: what describes it has no TrainingJobStatus",
             name.n < 100 ? (int)name.n : 100, name.p);
        return NULL;
    }
    json_t *out = json_object();
    const json_t *algorithm = json_object_get(job, "AlgorithmSpecification");
    put_text(out, "arn", arn);
    put_text(out, "name", name);
    put_text(out, "region", arn_part(arn, 3));
    put_text(out, "account", arn_part(arn, 4));
    put(out, "status", json_object_get(job, "TrainingJobStatus"));
    put(out, "secondary_status", json_object_get(job, "SecondaryStatus"));
    put(out, "failure_reason", json_object_get(job, "FailureReason"));
    put(out, "artifact", json_object_get(json_object_get(job, "ModelArtifacts"), "S3ModelArtifacts"));
    put(out, "image", json_object_get(algorithm, "TrainingImage"));
    put(out, "algorithm", json_object_get(algorithm, "AlgorithmName"));
    put(out, "training_seconds", json_object_get(job, "TrainingTimeInSeconds"));
    put(out, "billable_seconds", json_object_get(job, "BillableTimeInSeconds"));
    put(out, "spot", json_object_get(job, "EnableManagedSpotTraining"));
    put_resources(out, json_object_get(job, "ResourceConfig"));
    put_moment(out, "created", json_object_get(job, "CreationTime"));
    put_moment(out, "started", json_object_get(job, "TrainingStartTime"));
    put_moment(out, "ended", json_object_get(job, "TrainingEndTime"));
    put_moment(out, "modified", json_object_get(job, "LastModifiedTime"));
    put_parameters(out, json_object_get(job, "HyperParameters"), how);
    put_metrics(out, json_object_get(job, "FinalMetricDataList"));
    put_channels(out, json_object_get(job, "InputDataConfig"));
    put_tags(out, tags);
    return out;
}

/* ------------------------------------------------------------------------------------------------ reading */

struct reading {
    mdb_record *r;
    char *at; /* in r->memory */
    char *why;
};

static int wrong(const struct reading *x, const char *name, const char *what)
{
    pbay_str job = x->r->name;
    return fail(x->why, "training job %.*s: %s %s", job.n < 100 ? (int)job.n : 100, job.n ? job.p : "?", name,
                what);
}

static int read_text(struct reading *x, const char *name, pbay_str *out)
{
    const json_t *v = json_object_get(x->r->json, name);
    if (v && !json_is_string(v) && !json_is_null(v)) return wrong(x, name, "is no text");
    *out = text_of(v);
    return 0;
}

static int read_number(struct reading *x, const char *name, double *out)
{
    const json_t *v = json_object_get(x->r->json, name);
    *out = -1;
    if (!v || json_is_null(v)) return 0;
    if (!json_is_number(v)) return wrong(x, name, "is no number");
    *out = json_number_value(v);
    return 0;
}

static int read_moment(struct reading *x, const char *name, int64_t *out)
{
    const json_t *v = json_object_get(x->r->json, name);
    *out = 0;
    if (!v || json_is_null(v)) return 0;
    int64_t ms = mdb_moment(v);
    if (ms < 0) return wrong(x, name, "is no moment (2026-01-31T08:00:00Z)");
    *out = ms;
    return 0;
}

/* An object; Lua writes an empty one as an empty list, too. NULL: there is none. */
static int read_object(struct reading *x, const char *name, json_t **out, size_t *n)
{
    json_t *v = json_object_get(x->r->json, name);
    *out = NULL;
    *n = 0;
    if (!v || json_is_null(v) || (json_is_array(v) && !json_array_size(v))) return 0;
    if (!json_is_object(v)) return wrong(x, name, "is no table of names and values");
    if (json_object_size(v) > MDB_ITEMS_MAX) return wrong(x, name, "has more than 2000 members");
    *out = v;
    *n = json_object_size(v);
    return 0;
}

static void *array(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    if (!p) abort();
    return p;
}

/* A text, number or boolean as text. p NULL: it is none of these. */
static pbay_str scalar(struct reading *x, const json_t *v)
{
    if (json_is_string(v)) return (pbay_str){json_string_value(v), json_string_length(v)};
    if (json_is_boolean(v)) return json_is_true(v) ? (pbay_str){"true", 4} : (pbay_str){"false", 5};
    int n = -1;
    if (json_is_integer(v)) n = snprintf(x->at, NUMBER, "%lld", (long long)json_integer_value(v));
    if (json_is_real(v)) /* The shortest that reads back as the same. */
        for (int digits = 15; digits <= 17; digits++) {
            n = snprintf(x->at, NUMBER, "%.*g", digits, json_real_value(v));
            if (strtod(x->at, NULL) == json_real_value(v)) break;
        }
    if (n < 0) return (pbay_str){NULL, 0};
    pbay_str s = {x->at, (size_t)n};
    x->at += NUMBER;
    return s;
}

/* By name, so that what is made of them does not depend on an order that JSON does not promise: of two names
 * that a store's keys cannot tell apart the same one gets the key every time. */
static int by_name(const void *a, const void *b)
{
    const pbay_str *x = a, *y = b; /* both structs begin with it */
    const size_t n = x->n < y->n ? x->n : y->n;
    const int c = n ? memcmp(x->p, y->p, n) : 0;
    return c ? c : x->n < y->n ? -1 : x->n > y->n;
}

static int read_pairs(struct reading *x, const char *what, mdb_pair **out, size_t *n)
{
    json_t *o, *v;
    const char *name;
    size_t all;
    if (read_object(x, what, &o, &all)) return -1;
    *out = array(all, sizeof **out);
    json_object_foreach(o, name, v)
    {
        pbay_str s = scalar(x, v);
        if (json_is_null(v)) continue;
        if (!s.p) return wrong(x, what, "holds something that is neither text nor number nor boolean");
        (*out)[(*n)++] = (mdb_pair){{name, strlen(name)}, s};
    }
    qsort(*out, *n, sizeof **out, by_name);
    return 0;
}

static bool odd_number(pbay_str s)
{
    static const char *const ODD[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < 3; i++)
        if (s.n == strlen(ODD[i]) && memcmp(s.p, ODD[i], s.n) == 0) return true;
    return false;
}

static int read_metric(struct reading *x, const char *name, const json_t *v, const json_t *times)
{
    mdb_metric *m = &x->r->metrics[x->r->n_metrics];
    int64_t ms = mdb_moment(json_object_get(times, name));
    *m = (mdb_metric){.name = {name, strlen(name)}, .time_ms = ms < 0 ? 0 : ms, .text = scalar(x, v)};
    if (json_is_number(v)) {
        m->value = json_number_value(v);
        m->finite = true;
    } else if (json_is_string(v) && !odd_number(m->text)) {
        char *end;
        m->value = strtod(m->text.p, &end);
        if (!m->text.n || end != m->text.p + m->text.n || !isfinite(m->value))
            return wrong(x, "metrics", "holds something that is no number");
        m->finite = true;
    } else if (!json_is_string(v)) {
        return wrong(x, "metrics", "holds something that is no number");
    }
    x->r->n_metrics++;
    return 0;
}

static int read_metrics(struct reading *x)
{
    json_t *o, *v, *times = json_object_get(x->r->json, "metric_times");
    const char *name;
    size_t all;
    if (read_object(x, "metrics", &o, &all)) return -1;
    x->r->metrics = array(all, sizeof *x->r->metrics);
    json_object_foreach(o, name, v) if (read_metric(x, name, v, times)) return -1;
    qsort(x->r->metrics, x->r->n_metrics, sizeof *x->r->metrics, by_name);
    return 0;
}

static int read_channels(struct reading *x)
{
    json_t *list = json_object_get(x->r->json, "channels"), *c;
    size_t i;
    if (list && !json_is_array(list) && !(json_is_object(list) && !json_object_size(list)))
        return wrong(x, "channels", "is no list");
    if (json_array_size(list) > MDB_ITEMS_MAX) return wrong(x, "channels", "has more than 2000 members");
    x->r->channels = array(json_array_size(list), sizeof *x->r->channels);
    json_array_foreach(list, i, c)
    {
        mdb_channel one = {member(c, "name"),        member(c, "uri"),     member(c, "content_type"),
                           member(c, "compression"), member(c, "wrapper"), member(c, "input_mode"),
                           member(c, "data_type")};
        if (!one.name.n) return wrong(x, "channels", "holds one without a name");
        x->r->channels[x->r->n_channels++] = one;
    }
    return 0;
}

static size_t numbers_in(const json_t *o)
{
    return json_is_object(o) ? json_object_size(o) : 0;
}

static int read_facts(struct reading *x)
{
    mdb_record *r = x->r;
    const struct {
        const char *name;
        pbay_str *to;
    } TEXTS[] = {{"arn", &r->arn},
                 {"region", &r->region},
                 {"account", &r->account},
                 {"status", &r->status},
                 {"secondary_status", &r->secondary},
                 {"failure_reason", &r->failure},
                 {"artifact", &r->artifact},
                 {"image", &r->image},
                 {"algorithm", &r->algorithm},
                 {"instance_type", &r->instance_type},
                 {"project", &r->project},
                 {"user", &r->user},
                 {"description", &r->description},
                 {"model_name", &r->model_name},
                 {"model_type", &r->model_type}};
    double count, volume;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        if (read_text(x, TEXTS[i].name, TEXTS[i].to)) return -1;
    if (!r->arn.n) return wrong(x, "arn", "is missing");
    if (!r->status.n) return wrong(x, "status", "is missing");
    if (read_number(x, "instance_count", &count) || read_number(x, "volume_gb", &volume) ||
        read_number(x, "training_seconds", &r->training_seconds) ||
        read_number(x, "billable_seconds", &r->billable_seconds))
        return -1;
    r->instance_count = count < 0 || count > 1e9 ? -1 : (int64_t)count;
    r->volume_gb = volume < 0 || volume > 1e9 ? -1 : (int64_t)volume;
    r->spot = json_is_true(json_object_get(r->json, "spot"));
    return read_moment(x, "created", &r->created_ms) || read_moment(x, "started", &r->started_ms) ||
                   read_moment(x, "ended", &r->ended_ms) || read_moment(x, "modified", &r->modified_ms)
               ? -1
               : 0;
}

int mdb_record_read(json_t *json, mdb_record *out, char why[MDB_WHY])
{
    *out = (mdb_record){.json = json_incref(json)};
    struct reading x = {.r = out, .why = why};
    out->name = member(json, "name");
    if (!json_is_object(json)) return fail(why, "a training job is an object; this is something else");
    if (!out->name.n) return wrong(&x, "name", "is missing");
    static const char *const TABLES[] = {"hyperparameters", "tags", "fields", "metrics"};
    size_t numbers = 0;
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++)
        numbers += numbers_in(json_object_get(json, TABLES[i]));
    out->memory = x.at = array(numbers, NUMBER);
    if (read_facts(&x) || read_pairs(&x, "hyperparameters", &out->parameters, &out->n_parameters) ||
        read_pairs(&x, "tags", &out->tags, &out->n_tags) ||
        read_pairs(&x, "fields", &out->fields, &out->n_fields) || read_metrics(&x) || read_channels(&x))
        return -1;
    return 0;
}

void mdb_record_free(mdb_record *r)
{
    free(r->parameters);
    free(r->metrics);
    free(r->channels);
    free(r->tags);
    free(r->fields);
    free(r->memory);
    json_decref(r->json);
    *r = (mdb_record){0};
}

bool mdb_record_over(const mdb_record *r)
{
    static const char *const ENDS[] = {"Completed", "Failed", "Stopped"};
    for (size_t i = 0; i < 3; i++)
        if (r->status.n == strlen(ENDS[i]) && memcmp(r->status.p, ENDS[i], r->status.n) == 0) return true;
    return false;
}
