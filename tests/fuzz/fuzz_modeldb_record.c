/* SPDX-License-Identifier: MIT */
/*
 * What SageMaker says of a training job, and what a script makes of it, whatever it is: refused with a
 * sentence, or a record that every store can be told. First byte: 0: DescribeTrainingJob's answer, else the
 * record itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/modeldb/facts.h"
#include "../../plugins/modeldb/mlflow_run.h"
#include "../../plugins/modeldb/v2_run.h"

static void must(int good)
{
    if (!good) abort();
}

static void keys(const json_t *object, const char *good, size_t max)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)object, key, v)
    {
        must(*key && strlen(key) <= max && strspn(key, good) == strlen(key));
        must(json_is_string(v) || json_is_number(v) || json_is_object(v));
    }
}

#define WORD "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

static void stores(const mdb_record *r)
{
    mdb_facts f;
    v2_wanted v2;
    mlflow_wanted ml;
    mdb_facts_of(r, true, &f);
    for (size_t i = 0; i < f.n; i++) {
        must(f.p[i].name.n && strspn(f.p[i].name.p, WORD) == f.p[i].name.n);
        must(mdb_fact_named(&f, f.p[i].name) == &f.p[i]);
    }
    mdb_facts_free(&f);
    v2_map(r, (pbay_str){"e", 1}, (pbay_str){"", 0}, &v2);
    must(strlen(v2.name) <= 256 && strlen(v2.other_name) <= 256);
    keys(v2.metrics, WORD "/-", SIZE_MAX);
    keys(v2.hyperparameters, WORD "/-", SIZE_MAX);
    keys(v2.attributes, WORD "/-", SIZE_MAX);
    for (size_t i = 0; i < json_array_size(v2.tags); i++) {
        const size_t n = json_string_length(json_array_get(v2.tags, i));
        must(n >= 1 && n <= 40);
    }
    v2_wanted_free(&v2);
    mlflow_map(r, (pbay_str){"", 0}, 500, &ml);
    keys(ml.metrics, WORD "/. -", 250);
    keys(ml.params, WORD "/. -", 250);
    keys(ml.tags, WORD "/. -", 250);
    const char *key;
    json_t *v;
    json_object_foreach(ml.params, key, v) must(json_string_length(v) <= 500 && key[0] != '/');
    mlflow_wanted_free(&ml);
}

static void read(json_t *json)
{
    char why[MDB_WHY] = "";
    mdb_record r;
    const int rc = mdb_record_read(json, &r, why);
    must((rc != 0) == (why[0] != 0));
    if (!rc) stores(&r);
    mdb_record_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n) return 0;
    json_t *json = json_loadb((const char *)data + 1, n - 1, JSON_DECODE_ANY, NULL);
    if (!json) return 0;
    if (data[0]) {
        read(json);
    } else {
        const mdb_reading how = {.unquote = n & 1, .internal = n & 2};
        char why[MDB_WHY] = "";
        json_t *record = mdb_record_of_job(json, json_object_get(json, "Tags"), &how, why);
        must((record == NULL) == (why[0] != 0));
        if (record) read(record);
        json_decref(record);
    }
    json_decref(json);
    return 0;
}
