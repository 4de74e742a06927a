/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "mlflow_run.h"

enum { KEY_MAX = 250, TAG_MAX = 5000 };
#define KEYS "/. -"

/* MLflow takes no key that os.path.normpath would change. */
static bool like_a_path(const char *key)
{
    const size_t n = strlen(key);
    if (key[0] == '/' || (n && key[n - 1] == '/') || strstr(key, "//")) return true;
    for (const char *at = key; at;) {
        const char *slash = strchr(at, '/');
        const size_t part = slash ? (size_t)(slash - at) : strlen(at);
        if ((part == 1 && at[0] == '.') || (part == 2 && at[0] == '.' && at[1] == '.')) return true;
        at = slash ? slash + 1 : NULL;
    }
    return false;
}

static char *key_of(const char *prefix, pbay_str name, const char *suffix)
{
    const size_t around = strlen(prefix) + strlen(suffix);
    if (around + name.n > KEY_MAX) name.n = around < KEY_MAX ? KEY_MAX - around : 0;
    char *key = mdb_name(prefix, name, suffix, KEYS);
    if (!like_a_path(key)) return key;
    free(key);
    return mdb_name(prefix, name, suffix, " -");
}

/* At most max bytes, and not within a character. */
static json_t *cut(pbay_str s, size_t max)
{
    if (s.n > max) {
        while (max && (s.p[max] & 0xc0) == 0x80) max--;
        s.n = max;
    }
    return rest_text(s);
}

static void put_tag(json_t *tags, const char *prefix, pbay_str name, pbay_str value)
{
    char *key = key_of(prefix, name, "");
    json_object_set_new(tags, key, cut(value, TAG_MAX));
    free(key);
}

/* Under a key that is free; the name itself into a tag when the key is another. taken: an object for this
 * `to`, how often each key would have been taken. Returns the key; free. */
static char *put(json_t *to, json_t *taken, json_t *tags, pbay_str name, json_t *value)
{
    char *key = key_of("", name, "");
    if (!*key || json_object_get(to, key)) {
        char *first = key;
        json_int_t n = json_integer_value(json_object_get(taken, first));
        if (!n) n = 1;
        for (key = NULL; !key || json_object_get(to, key);) {
            char suffix[24];
            free(key);
            snprintf(suffix, sizeof suffix, "_%lld", (long long)++n);
            key = key_of("", name, suffix);
        }
        json_object_set_new(taken, first, json_integer(n));
        free(first);
    }
    if (strlen(key) != name.n || memcmp(key, name.p, name.n))
        put_tag(tags, "sagemaker.name_of.", (pbay_str){key, strlen(key)}, name);
    json_object_set_new(to, key, value);
    return key;
}

static const char *status_of(pbay_str s)
{
    static const char *const map[][2] = {
        {"Completed", "FINISHED"}, {"Failed", "FAILED"}, {"Stopped", "KILLED"}};
    for (size_t i = 0; i < COUNT(map); i++)
        if (s.n == strlen(map[i][0]) && !memcmp(s.p, map[i][0], s.n)) return map[i][1];
    return "RUNNING"; /* InProgress, Stopping, Deleting, and what may come */
}

static char *text(pbay_str s)
{
    char *p = malloc(s.n + 1);
    if (!p) abort();
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

static void put_metrics(const mdb_record *r, mlflow_wanted *w)
{
    json_t *taken = json_object();
    for (size_t i = 0; i < r->n_metrics; i++) {
        const mdb_metric *m = &r->metrics[i];
        const int64_t at = m->time_ms > 0 ? m->time_ms : r->ended_ms > 0 ? r->ended_ms : r->modified_ms;
        if (!m->finite) /* JSON has no word for it */
            put_tag(w->tags, "sagemaker.metric.", m->name, m->text);
        else
            free(put(w->metrics, taken, w->tags, m->name,
                     json_pack("{s:f, s:I}", "value", m->value, "timestamp", (json_int_t)at)));
    }
    json_decref(taken);
}

void mlflow_map(const mdb_record *r, pbay_str experiment, size_t param_max, mlflow_wanted *w)
{
    mdb_facts facts;
    *w = (mlflow_wanted){.experiment = text(experiment.n ? experiment : r->project),
                         .description = text(r->description),
                         .name = text(r->name),
                         .user = text(r->user),
                         .arn = text(r->arn),
                         .status = status_of(r->status),
                         .started_ms = r->started_ms > 0 ? r->started_ms : r->created_ms,
                         .ended_ms = mdb_record_over(r) ? r->ended_ms : 0,
                         .params = json_object(),
                         .metrics = json_object(),
                         .tags = json_object()};
    mdb_facts_of(r, false, &facts);
    for (size_t i = 0; i < facts.n; i++) {
        const mdb_fact *f = &facts.p[i];
        const bool named = f->name.n > 10 && !memcmp(f->name.p, "sagemaker_", 10);
        const pbay_str name = named ? (pbay_str){f->name.p + 10, f->name.n - 10} : f->name;
        put_tag(w->tags, f->own ? "" : "sagemaker.", name, f->value);
    }
    mdb_facts_free(&facts);
    if (r->user.n) put_tag(w->tags, "mlflow.user", STR(""), r->user);
    json_t *taken = json_object();
    for (size_t i = 0; i < r->n_parameters; i++) {
        char *key =
            put(w->params, taken, w->tags, r->parameters[i].name, cut(r->parameters[i].value, param_max));
        if (r->parameters[i].value.n > param_max)
            put_tag(w->tags, "sagemaker.cut.", (pbay_str){key, strlen(key)}, r->parameters[i].value);
        free(key);
    }
    json_decref(taken);
    put_metrics(r, w);
}

void mlflow_wanted_free(mlflow_wanted *w)
{
    free(w->experiment);
    free(w->description);
    free(w->name);
    free(w->user);
    free(w->arn);
    json_decref(w->params);
    json_decref(w->metrics);
    json_decref(w->tags);
    *w = (mlflow_wanted){.name = NULL};
}
