/* SPDX-License-Identifier: MIT */
/*
 * What a ModelDB 2 or an MLflow server may answer to the calls of a sync. First byte: bit 0 which, bit 1 only
 * to compare; then lines of a status and JSON. A plan asks, reads, and comes to an end; what it wants to send
 * is JSON.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/modeldb/mlflow_run.h"
#include "../../plugins/modeldb/v2_run.h"

static void must(int good)
{
    if (!good) abort();
}

static void differs(void *user, const char *what, pbay_str name, pbay_str wanted, pbay_str stored)
{
    (void)user;
    must(*what && (name.p || !name.n) && (wanted.p || !wanted.n) && (stored.p || !stored.n));
}

static const char RECORD[] = "{\"arn\": \"arn:a\", \"name\": \"j\", \"region\": \"r\", \"account\": \"1\", "
                             "\"status\": \"Completed\", \"project\": "
                             "\"P\", \"description\": \"d\", \"user\": \"u\", \"hyperparameters\": {\"eta\": "
                             "\"0.1\", \"o\": \"x\"}, \"metrics\": "
                             "{\"a:b\": 0.5, \"c\": 1}, \"channels\": [{\"name\": \"train\", \"uri\": "
                             "\"s3://b\"}], \"tags\": {\"k\": \"v\"}}";

static void *begin(uint8_t how, const rest_plan **ops)
{
    char why[MDB_WHY];
    mdb_record r;
    json_t *json = json_loads(RECORD, 0, NULL);
    must(!mdb_record_read(json, &r, why));
    json_decref(json);
    const mdb_differs d = how & 2 ? differs : NULL;
    v2_wanted v2;
    mlflow_wanted ml;
    void *plan;
    if (how & 1) {
        mlflow_map(&r, (pbay_str){"", 0}, 6000, &ml);
        *ops = &mlflow_plan;
        plan = mlflow_plan_new(&ml, d, NULL);
    } else {
        /* Borrowed for the plan's life: of constants here. */
        r.project = (pbay_str){"P", 1};
        r.description = (pbay_str){"d", 1};
        r.arn = (pbay_str){"arn:a", 5};
        v2_map(&r, (pbay_str){"e", 1}, (pbay_str){"w", 1}, &v2);
        *ops = &v2_plan;
        plan = v2_plan_new(&v2, d, NULL);
    }
    mdb_record_free(&r);
    return plan;
}

/* The next line of a status and JSON. False: there are no more. */
static int answer(const uint8_t **at, size_t *left, int *status, json_t **body)
{
    while (*left) {
        const uint8_t *end = memchr(*at, '\n', *left);
        const size_t n = end ? (size_t)(end - *at) : *left;
        const uint8_t *line = *at;
        *left -= end ? n + 1 : n;
        *at += end ? n + 1 : n;
        if (n < 4) continue;
        *status = 100 * (line[0] % 6) + 10 * (line[1] % 10) + line[2] % 10;
        *body = json_loadb((const char *)line + 3, n - 3, 0, NULL);
        if (json_is_object(*body)) return 1;
        json_decref(*body);
        *body = NULL;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n) return 0;
    const uint8_t *at = data + 1;
    size_t left = n - 1;
    const rest_plan *ops;
    void *plan = begin(data[0], &ops);
    int over = 0, status = 0;
    while (!over) {
        rest_want want = {.method = NULL};
        json_t *body = NULL;
        over = !ops->next(plan, &want);
        if (!over) {
            must(want.method && want.call && (want.body != NULL) == (strcmp(want.method, "GET") != 0));
            char *text = want.body ? json_dumps(want.body, 0) : NULL;
            must(!want.body || text);
            free(text);
            if (answer(&at, &left, &status, &body)) {
                const json_t *code = json_object_get(body, data[0] & 1 ? "error_code" : "code");
                char number[24] = "";
                if (json_is_integer(code))
                    snprintf(number, sizeof number, "%d", (int)json_integer_value(code));
                const rest_answer a = {status, body, json_is_string(code) ? json_string_value(code) : number,
                                       "m"};
                over = !ops->answer(plan, &a);
            } else {
                over = 1;
            }
        } else {
            pbay_text json = {NULL, 0, 0};
            bool passes = false;
            const char *why = ops->end(plan, &json, &passes);
            if (why) must(*why != 0);
            must(why || !passes);
            if (json.n) {
                json_t *o = json_loadb(json.p, json.n, 0, NULL);
                must(json_is_object(o));
                json_decref(o);
            }
            pbay_text_free(&json);
        }
        pbay_text_free(&want.query);
        json_decref(want.body);
        json_decref(body);
    }
    ops->free(plan);
    return 0;
}
