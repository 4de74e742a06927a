/* SPDX-License-Identifier: MIT */
#include "mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The store takes values of 1 MiB. */
enum { MARK_MAX = 900 * 1024 };

/* Of the rule alone. */
static const char *const RULE[] = {"project", "user", "description", "model_name", "model_type", "fields"};
static const char DIGESTS[] = "digests";

enum { N_RULE = sizeof RULE / sizeof *RULE, N_PLACE = 3 };

static bool of_rule(const char *member)
{
    for (size_t i = 0; i < N_RULE; i++)
        if (strcmp(RULE[i], member) == 0) return true;
    return strcmp(member, DIGESTS) == 0;
}

void mark_key(const char *what, pbay_str arn, char out[MARK_KEY])
{
    snprintf(out, MARK_KEY, "%s/%.*s", what, arn.n < 400 ? (int)arn.n : 400, arn.n ? arn.p : "");
}

/* ------------------------------------------------------------------------------------------------ digests
 */

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < n; i++) h = (h ^ at[i]) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

#define FNV UINT64_C(0xcbf29ce484222325)

/* The same for what a script that only passes it on makes of it: members in another order, 1 as 1.0, {} as
 * []. */
static uint64_t digest(const json_t *v)
{
    uint64_t h = FNV;
    const char *name;
    json_t *one;
    size_t i;
    if (json_is_object(v)) {
        uint64_t sum = 0;
        json_object_foreach((json_t *)v, name, one)
        {
            const uint64_t d = digest(one);
            if (!json_is_null(one)) sum += mix(mix(FNV, name, strlen(name)), &d, sizeof d);
        }
        return json_object_size(v) ? mix(h, &sum, sizeof sum) : h;
    }
    if (json_is_array(v)) {
        json_array_foreach(v, i, one)
        {
            const uint64_t d = digest(one);
            h = mix(h, &d, sizeof d);
        }
        return h;
    }
    if (json_is_number(v)) {
        const double n = json_number_value(v);
        return mix(mix(h, "n", 1), &n, sizeof n);
    }
    if (json_is_string(v)) return mix(mix(h, "s", 1), json_string_value(v), json_string_length(v));
    return mix(h, json_is_true(v) ? "t" : json_is_false(v) ? "f" : "0", 1);
}

static json_t *digest_text(const json_t *v)
{
    return json_sprintf("%016" PRIx64, digest(v));
}

void mark_digests(json_t *job)
{
    json_t *all = json_object(), *v;
    const char *name;
    json_object_foreach(job, name, v) if (!of_rule(name)) json_object_set_new(all, name, digest_text(v));
    json_object_set_new(job, DIGESTS, all);
}

/* What a script has changed: {member: value}, null for what it took away. */
static json_t *changed_of(const json_t *job)
{
    json_t *out = json_object(), *v;
    const json_t *digests = json_object_get(job, DIGESTS);
    const char *name;
    if (!json_is_object(digests)) return out;
    json_object_foreach((json_t *)job, name, v)
    {
        json_t *now = digest_text(v);
        if (!of_rule(name) && !json_equal(now, json_object_get(digests, name))) json_object_set(out, name, v);
        json_decref(now);
    }
    json_object_foreach((json_t *)digests, name, v) if (!json_object_get(job, name))
        json_object_set_new(out, name, json_null());
    return out;
}

/* ------------------------------------------------------------------------------------------------ marks */

char *mark_of(const mdb_record *r)
{
    json_t *o = json_object(), *changed = changed_of(r->json);
    json_object_set_new(o, "modified", json_integer(r->modified_ms));
    json_object_set(o, "status", json_object_get(r->json, "status"));
    for (size_t i = 0; i < N_RULE; i++) {
        json_t *v = json_object_get(r->json, RULE[i]);
        if (v) json_object_set(o, RULE[i], v);
    }
    if (json_object_size(changed)) json_object_set(o, "changed", changed);
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    if (text && strlen(text) > MARK_MAX) { /* then `verify` tells of it as of differences */
        free(text);
        json_object_del(o, "changed");
        text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    }
    json_decref(changed);
    json_decref(o);
    if (!text) abort();
    return text;
}

static bool is_end(const char *status)
{
    return strcmp(status, "Completed") == 0 || strcmp(status, "Failed") == 0 ||
           strcmp(status, "Stopped") == 0;
}

static json_t *read_mark(pbay_str mark)
{
    return json_loadb(mark.n ? mark.p : "", mark.n, 0, NULL);
}

bool mark_is_later(pbay_str mark, const mdb_record *r)
{
    json_t *o = read_mark(mark);
    const char *status = json_string_value(json_object_get(o, "status"));
    json_int_t modified = json_integer_value(json_object_get(o, "modified"));
    bool later =
        (status && is_end(status) && !mdb_record_over(r)) || (r->modified_ms && modified > r->modified_ms);
    json_decref(o);
    return later;
}

json_t *mark_elsewhere(pbay_str mark, const mdb_record *r)
{
    json_t *o = read_mark(mark), *out = NULL;
    const json_t *project = json_object_get(o, RULE[0]);
    if (json_string_length(project) && !json_equal(project, json_object_get(r->json, RULE[0]))) {
        out = json_copy(r->json);
        for (size_t i = 0; i < N_PLACE; i++) {
            json_t *v = json_object_get(o, RULE[i]);
            if (v)
                json_object_set(out, RULE[i], v);
            else
                json_object_del(out, RULE[i]);
        }
    }
    json_decref(o);
    return out;
}

int mark_apply(pbay_str mark, json_t *job, pbay_text *changed)
{
    json_t *o = read_mark(mark), *v;
    const char *name;
    if (!json_is_object(o)) {
        json_decref(o);
        return -1;
    }
    for (size_t i = 0; i < N_RULE; i++)
        if ((v = json_object_get(o, RULE[i]))) json_object_set(job, RULE[i], v);
    json_object_foreach(json_object_get(o, "changed"), name, v)
    {
        json_object_set(job, name, v);
        pbay_text_printf(changed, "%s%.60s", changed->n ? ", " : "", name);
    }
    json_decref(o);
    return 0;
}
