/* SPDX-License-Identifier: MIT */
#include "mark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the rule alone. */
static const char *const RULE[] = {"project", "user", "description", "model_name", "model_type", "fields"};

void mark_key(const char *what, pbay_str arn, char out[MARK_KEY])
{
    snprintf(out, MARK_KEY, "%s/%.*s", what, arn.n < 400 ? (int)arn.n : 400, arn.n ? arn.p : "");
}

char *mark_of(const mdb_record *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "modified", json_integer(r->modified_ms));
    json_object_set(o, "status", json_object_get(r->json, "status"));
    for (size_t i = 0; i < sizeof RULE / sizeof *RULE; i++) {
        json_t *v = json_object_get(r->json, RULE[i]);
        if (v) json_object_set(o, RULE[i], v);
    }
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text) abort();
    return text;
}

static bool is_end(const char *status)
{
    return strcmp(status, "Completed") == 0 || strcmp(status, "Failed") == 0 ||
           strcmp(status, "Stopped") == 0;
}

bool mark_is_later(pbay_str mark, const mdb_record *r)
{
    json_t *o = json_loadb(mark.n ? mark.p : "", mark.n, 0, NULL);
    const char *status = json_string_value(json_object_get(o, "status"));
    json_int_t modified = json_integer_value(json_object_get(o, "modified"));
    bool later =
        (status && is_end(status) && !mdb_record_over(r)) || (r->modified_ms && modified > r->modified_ms);
    json_decref(o);
    return later;
}

int mark_apply(pbay_str mark, json_t *job)
{
    json_t *o = json_loadb(mark.n ? mark.p : "", mark.n, 0, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        return -1;
    }
    for (size_t i = 0; i < sizeof RULE / sizeof *RULE; i++) {
        json_t *v = json_object_get(o, RULE[i]);
        if (v) json_object_set(job, RULE[i], v);
    }
    json_decref(o);
    return 0;
}
