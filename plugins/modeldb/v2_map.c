/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "kit/time.h"
#include "v2_run.h"

enum { TAG_MAX = 40, NAME_MAX_V2 = 256, DIGITS = 15 };
#define KEYS "/-"

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? with no more digits than a double keeps. */
static bool numeric(pbay_str s)
{
    size_t i = 0, digits = 0, from;
    if (i < s.n && s.p[i] == '-') i++;
    from = i;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++, digits++;
    if (i == from || (s.p[from] == '0' && i > from + 1)) return false;
    if (i < s.n && s.p[i] == '.') {
        for (from = ++i; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; digits++) i++;
        if (i == from) return false;
    }
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-')) i++;
        for (from = i; i < s.n && s.p[i] >= '0' && s.p[i] <= '9';) i++;
        if (i == from) return false;
    }
    return i == s.n && digits <= DIGITS && s.n < 64;
}

/* s is numeric(), so of at most 63 bytes. */
static double number_of(pbay_str s)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", FMT(s));
    return strtod(text, NULL);
}

json_t *v2_number_or_text(pbay_str s)
{
    if (!numeric(s)) return rest_text(s);
    const double v = number_of(s);
    if (!isfinite(v)) return rest_text(s);
    return v == floor(v) && fabs(v) < 1e15 ? json_integer((json_int_t)v) : json_real(v);
}

bool v2_same(const json_t *wanted, const json_t *stored)
{
    if (!wanted || !stored) return false;
    if (json_is_number(wanted) && json_is_number(stored))
        return json_number_value(wanted) == json_number_value(stored);
    if (json_is_string(wanted) && json_is_number(stored)) {
        const pbay_str s = {json_string_value(wanted), json_string_length(wanted)};
        return numeric(s) && number_of(s) == json_number_value(stored);
    }
    if (json_is_number(wanted) && json_is_string(stored)) {
        const pbay_str s = {json_string_value(stored), json_string_length(stored)};
        return numeric(s) && number_of(s) == json_number_value(wanted);
    }
    return json_equal(wanted, stored);
}

/* An object that is being filled, and how often each key would have been taken. */
struct table {
    json_t *to, *taken;
};

/* Under a key that is free: what differs only in characters that a key cannot have gets a number. */
static void put(const struct table *t, json_t *attributes, const char *prefix, pbay_str name, json_t *value)
{
    json_t *to = t->to;
    char *key = mdb_name(prefix, name, "", KEYS);
    if (!*key || json_object_get(to, key)) {
        char *first = key;
        json_int_t n = json_integer_value(json_object_get(t->taken, first));
        if (!n) n = 1;
        for (key = NULL; !key || json_object_get(to, key);) {
            char suffix[24];
            free(key);
            snprintf(suffix, sizeof suffix, "_%lld", (long long)++n);
            key = mdb_name(prefix, name, suffix, KEYS);
        }
        json_object_set_new(t->taken, first, json_integer(n));
        free(first);
    }
    if (attributes && (strlen(key) != name.n || memcmp(key, name.p, name.n))) {
        char *original = mdb_name("name_of_", (pbay_str){key, strlen(key)}, "", KEYS);
        json_object_set_new(attributes, original, rest_text(name));
        free(original);
    }
    json_object_set_new(to, key, value);
    free(key);
}

static void tag(json_t *tags, const char *prefix, pbay_str value)
{
    const size_t n = strlen(prefix) + value.n;
    if (!value.n || n > TAG_MAX) return; /* it is an attribute as well */
    char text[TAG_MAX + 1];
    snprintf(text, sizeof text, "%s%.*s", prefix, FMT(value));
    for (size_t i = 0; i < json_array_size(tags); i++)
        if (!strcmp(json_string_value(json_array_get(tags, i)), text)) return;
    json_t *v = rest_text((pbay_str){text, n});
    json_array_append_new(tags, v);
}

static void artifacts(json_t *to, const mdb_record *r)
{
    const struct table t = {to, json_object()};
    if (r->artifact.n)
        json_object_set_new(
            to, "model", json_pack("{s:o, s:s}", "path", rest_text(r->artifact), "artifact_type", "MODEL"));
    for (size_t i = 0; i < r->n_channels; i++)
        if (r->channels[i].uri.n)
            put(&t, NULL, "input_", r->channels[i].name,
                json_pack("{s:o, s:s}", "path", rest_text(r->channels[i].uri), "artifact_type", "DATA"));
    json_decref(t.taken);
}

/* At most NAME_MAX_V2 bytes, and no half characters; with a record the account is added, which makes it
 * unique. */
static char *named(pbay_str name, const mdb_record *r)
{
    char where[120] = "", *out = malloc(NAME_MAX_V2 + 1);
    if (!out) abort();
    if (r)
        snprintf(where, sizeof where, " (%.*s/%.*s)", (int)(r->region.n < 40 ? r->region.n : 40),
                 r->region.n ? r->region.p : "", (int)(r->account.n < 40 ? r->account.n : 40),
                 r->account.n ? r->account.p : "");
    size_t room = NAME_MAX_V2 - strlen(where);
    if (name.n < room) room = name.n;
    while (room && room < name.n && (name.p[room] & 0xc0) == 0x80) room--;
    snprintf(out, NAME_MAX_V2 + 1, "%.*s%s", (int)room, name.p, where);
    return out;
}

void v2_map(const mdb_record *r, pbay_str experiment, pbay_str workspace, v2_wanted *w)
{
    mdb_facts facts;
    *w = (v2_wanted){.project = r->project,
                     .description = r->description,
                     .experiment = experiment,
                     .workspace = workspace,
                     .arn = r->arn,
                     .started_ms = r->started_ms > 0 ? r->started_ms : r->created_ms,
                     .ended_ms = r->ended_ms,
                     .metrics = json_object(),
                     .hyperparameters = json_object(),
                     .attributes = json_object(),
                     .artifacts = json_object(),
                     .tags = json_array()};
    w->name = named(r->name, NULL);
    w->other_name = named(r->name, r);
    mdb_facts_of(r, false, &facts);
    for (size_t i = 0; i < facts.n; i++)
        json_object_setn_new(w->attributes, facts.p[i].name.p, facts.p[i].name.n,
                             facts.p[i].number ? v2_number_or_text(facts.p[i].value)
                                               : rest_text(facts.p[i].value));
    mdb_facts_free(&facts);
    const struct table parameters = {w->hyperparameters, json_object()},
                       metrics = {w->metrics, json_object()}, attributes = {w->attributes, json_object()};
    for (size_t i = 0; i < r->n_parameters; i++)
        put(&parameters, w->attributes, "", r->parameters[i].name, v2_number_or_text(r->parameters[i].value));
    for (size_t i = 0; i < r->n_metrics; i++) {
        const mdb_metric *m = &r->metrics[i];
        char moment[PBAY_TIME_TEXT];
        if (m->finite)
            put(&metrics, w->attributes, "", m->name, json_real(m->value));
        else /* JSON has no word for it */
            put(&attributes, NULL, "metric_", m->name, rest_text(m->text));
        if (m->time_ms > 0)
            put(&attributes, NULL, "time_of_", m->name,
                rest_text((pbay_str){moment, pbay_time_format(m->time_ms, moment)}));
    }
    json_decref(parameters.taken);
    json_decref(metrics.taken);
    json_decref(attributes.taken);
    artifacts(w->artifacts, r);
    tag(w->tags, "", STR("sagemaker"));
    tag(w->tags, "status:", r->status);
    tag(w->tags, "", r->model_type);
    for (size_t i = 0; i < r->n_tags; i++) {
        char prefix[TAG_MAX + 2];
        if (r->tags[i].name.n >= TAG_MAX) continue;
        snprintf(prefix, sizeof prefix, "%.*s=", FMT(r->tags[i].name));
        tag(w->tags, prefix, r->tags[i].value);
    }
}

void v2_wanted_free(v2_wanted *w)
{
    free(w->name);
    free(w->other_name);
    json_decref(w->metrics);
    json_decref(w->hyperparameters);
    json_decref(w->attributes);
    json_decref(w->artifacts);
    json_decref(w->tags);
    *w = (v2_wanted){.name = NULL};
}
