/* SPDX-License-Identifier: MIT */
#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/time.h"

char *mdb_name(const char *prefix, pbay_str name, const char *suffix, const char *also)
{
    const size_t a = strlen(prefix), b = strlen(suffix);
    char *out = malloc(a + name.n + b + 1);
    if (!out) abort();
    memcpy(out, prefix, a + 1);
    for (size_t i = 0; i < name.n; i++) {
        const char c = name.p[i];
        const bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          c == '_' || (c && strchr(also, c));
        out[a + i] = good ? c : '_';
    }
    memcpy(out + a + name.n, suffix, b + 1);
    return out;
}

/* Where the name is in the index, or would be. */
static size_t place(const mdb_facts *f, pbay_str name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.n; i++) h = (h ^ (unsigned char)name.p[i]) * UINT64_C(0x100000001b3);
    for (size_t at = (size_t)(h ^ h >> 32);; at++) {
        at &= f->room - 1;
        if (!f->index[at]) return at;
        const pbay_str there = f->p[f->index[at] - 1].name;
        if (there.n == name.n && !memcmp(there.p, name.p, name.n)) return at;
    }
}

const mdb_fact *mdb_fact_named(const mdb_facts *f, pbay_str name)
{
    const uint32_t i = f->room ? f->index[place(f, name)] : 0;
    return i ? &f->p[i - 1] : NULL;
}

/* Room for one more, at most half full. */
static void grow(mdb_facts *f)
{
    if (2 * f->n < f->room) return;
    f->room = f->room ? 2 * f->room : 64;
    free(f->index);
    f->index = calloc(f->room, sizeof *f->index);
    f->p = realloc(f->p, f->room / 2 * sizeof *f->p);
    if (!f->index || !f->p) abort();
    for (size_t i = 0; i < f->n; i++) f->index[place(f, f->p[i].name)] = (uint32_t)i + 1;
}

/* Takes name. The first of a name counts; the others, different only in what became an underscore, are left
 * out. */
static void add_owned(mdb_facts *f, char *name, pbay_str value, bool number, bool own)
{
    const pbay_str n = {name, strlen(name)};
    grow(f);
    const size_t at = place(f, n);
    if ((!value.n && !own) || !n.n || f->index[at]) {
        free(name);
        return;
    }
    char *copy = malloc(value.n + 1);
    if (!copy) abort();
    if (value.n) memcpy(copy, value.p, value.n);
    copy[value.n] = 0;
    f->p[f->n++] = (mdb_fact){n, {copy, value.n}, number, own};
    f->index[at] = (uint32_t)f->n;
}

static void add(mdb_facts *f, const char *name, pbay_str value, bool number)
{
    add_owned(f, mdb_name("", (pbay_str){name, strlen(name)}, "", ""), value, number, false);
}

static void add_number(mdb_facts *f, const char *name, double v)
{
    char text[40];
    if (v < 0) return;
    snprintf(text, sizeof text, "%.15g", v);
    add(f, name, (pbay_str){text, strlen(text)}, true);
}

static void add_moment(mdb_facts *f, const char *name, int64_t ms)
{
    char text[PBAY_TIME_TEXT];
    if (ms <= 0) return;
    add(f, name, (pbay_str){text, pbay_time_format(ms, text)}, false);
}

static void channels(mdb_facts *f, const mdb_record *r)
{
    for (size_t i = 0; i < r->n_channels; i++) {
        const mdb_channel *c = &r->channels[i];
        add_owned(f, mdb_name("input_", c->name, "_uri", ""), c->uri, false, false);
        add_owned(f, mdb_name("input_", c->name, "_content_type", ""), c->content_type, false, false);
        if (c->compression.n != 4 || memcmp(c->compression.p, "None", 4))
            add_owned(f, mdb_name("input_", c->name, "_compression", ""), c->compression, false, false);
        add_owned(f, mdb_name("input_", c->name, "_mode", ""), c->input_mode, false, false);
    }
}

void mdb_facts_of(const mdb_record *r, bool metrics, mdb_facts *out)
{
    *out = (mdb_facts){.n = 0};
    add(out, MDB_ARN, r->arn, false);
    add(out, "sagemaker_training_job_name", r->name, false);
    add(out, "sagemaker_training_job_status", r->status, false);
    add(out, "sagemaker_secondary_status", r->secondary, false);
    add(out, "sagemaker_failure_reason", r->failure, false);
    add(out, "sagemaker_region", r->region, false);
    add(out, "sagemaker_account", r->account, false);
    add(out, "model_name", r->model_name, false);
    add(out, "model_type", r->model_type, false);
    add(out, "model_artifact", r->artifact, false);
    add(out, "project_user", r->user, false);
    add(out, "training_image", r->image, false);
    add(out, "algorithm_name", r->algorithm, false);
    add(out, "instance_type", r->instance_type, false);
    add_number(out, "instance_count", (double)r->instance_count);
    add_number(out, "volume_gb", (double)r->volume_gb);
    add_number(out, "training_seconds", r->training_seconds);
    add_number(out, "billable_seconds", r->billable_seconds);
    if (r->spot) add(out, "spot_training", (pbay_str){"true", 4}, false);
    add_moment(out, "created_at", r->created_ms);
    add_moment(out, "started_at", r->started_ms);
    add_moment(out, "ended_at", r->ended_ms);
    channels(out, r);
    for (size_t i = 0; metrics && i < r->n_metrics; i++)
        add_owned(out, mdb_name("metric_", r->metrics[i].name, "", ""), r->metrics[i].text,
                  r->metrics[i].finite, false);
    for (size_t i = 0; i < r->n_fields; i++)
        add_owned(out, mdb_name("", r->fields[i].name, "", ""), r->fields[i].value, false, true);
    for (size_t i = 0; i < r->n_tags; i++)
        add_owned(out, mdb_name("tag_", r->tags[i].name, "", ""), r->tags[i].value, false, false);
}

void mdb_facts_free(mdb_facts *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free((char *)f->p[i].name.p);
        free((char *)f->p[i].value.p);
    }
    free(f->p);
    free(f->index);
    *f = (mdb_facts){.n = 0};
}
