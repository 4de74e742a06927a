/* SPDX-License-Identifier: MIT */
#include "hyper.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "data/json_object.h"
#include "topn.h"

enum kind { WHOLE, SEED, NUMBER, TEXT };

struct known {
    const char *name;
    enum kind kind;
    size_t at, at2; /* at2: lr_all and reg_all set four */
    double min, max;
    const char *variable; /* of the environment, when the hyperparameter is not there */
};

#define PARAM(member) offsetof(struct rec_hyper, params.member)
#define TEXT_OF(n, m, v)                                                                                     \
    {                                                                                                        \
        n, TEXT, offsetof(struct rec_hyper, m), 0, 0, 0, v                                                   \
    }

static const struct known all[] = {
    {"n_factors", WHOLE, PARAM(n_factors), 0, 1, 4096, NULL},
    {"n_epochs", WHOLE, PARAM(n_epochs), 0, 1, 10000, NULL},
    {"folds", WHOLE, PARAM(folds), 0, 0, REC_FOLDS_MAX, NULL},
    {"top_n", WHOLE, PARAM(top_n), 0, 1, REC_TOP_MAX, NULL},
    {"seed", SEED, PARAM(seed), 0, 0, 0, NULL},
    {"init_std_dev", NUMBER, PARAM(init_std_dev), 0, 0, 10, NULL},
    {"rating_min", NUMBER, PARAM(rating_min), 0, -1e6, 1e6, NULL},
    {"rating_max", NUMBER, PARAM(rating_max), 0, -1e6, 1e6, NULL},
    {"lr_all", NUMBER, PARAM(rates.lr_bu), 4, 0, 10, NULL},
    {"reg_all", NUMBER, PARAM(rates.reg_bu), 4, 0, 100, NULL},
    {"lr_bu", NUMBER, PARAM(rates.lr_bu), 0, 0, 10, NULL},
    {"lr_bi", NUMBER, PARAM(rates.lr_bi), 0, 0, 10, NULL},
    {"lr_pu", NUMBER, PARAM(rates.lr_pu), 0, 0, 10, NULL},
    {"lr_qi", NUMBER, PARAM(rates.lr_qi), 0, 0, 10, NULL},
    {"reg_bu", NUMBER, PARAM(rates.reg_bu), 0, 0, 100, NULL},
    {"reg_bi", NUMBER, PARAM(rates.reg_bi), 0, 0, 100, NULL},
    {"reg_pu", NUMBER, PARAM(rates.reg_pu), 0, 0, 100, NULL},
    {"reg_qi", NUMBER, PARAM(rates.reg_qi), 0, 0, 100, NULL},
    TEXT_OF("input_table_name", input_table, NULL),
    TEXT_OF("output_table_name", output_table, NULL),
    TEXT_OF("output_mode", output_mode, NULL),
    TEXT_OF("region", region, NULL),
    TEXT_OF("account", account, "SNOWFLAKE_ACCOUNT"),
    TEXT_OF("user", user, "SNOWFLAKE_USER"),
    TEXT_OF("warehouse", warehouse, "SNOWFLAKE_WAREHOUSE"),
    TEXT_OF("database", database, "SNOWFLAKE_DATABASE"),
    TEXT_OF("schema", schema, "SNOWFLAKE_SCHEMA"),
    TEXT_OF("role", role, "SNOWFLAKE_ROLE"),
    TEXT_OF("secret_parameter", secret_parameter, "SNOWFLAKE_SECRET_PARAMETER"),
    TEXT_OF("private_key_file", private_key_file, "SNOWFLAKE_PRIVATE_KEY_FILE"),
    TEXT_OF("token_file", token_file, "SNOWFLAKE_TOKEN_FILE"),
    TEXT_OF("token_type", token_type, "SNOWFLAKE_TOKEN_TYPE"),
    TEXT_OF("snowflake_url", snowflake_url, "SNOWFLAKE_URL"),
};

static int bad(const struct known *k, pbay_str value, struct pb_err *err)
{
    int n = (int)(value.n < 80 ? value.n : 80);
    if (k->kind == SEED)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "hyperparameter seed is \"%.*s\"; expected a whole number from 0 on", n, value.p);
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "hyperparameter %s is \"%.*s\"; expected a%s number from %g to %g", k->name, n, value.p,
                   k->kind == WHOLE ? " whole" : "", k->min, k->max);
}

static int set(struct rec_hyper *h, const struct known *k, pbay_str value, struct pb_err *err)
{
    void *at = (char *)h + k->at;
    double v = 0;
    if (k->kind == TEXT) {
        pb_free(*(char **)at);
        *(char **)at = value.n ? pb_strndup(value.p, value.n) : NULL;
        return 0;
    }
    if (k->kind == SEED) return pb_parse_u64(value, at) ? 0 : bad(k, value, err);
    if (!pb_parse_f64(value, &v) || !(v >= k->min && v <= k->max)) return bad(k, value, err);
    if (k->kind == WHOLE) {
        if (v != floor(v)) return bad(k, value, err);
        *(uint32_t *)at = (uint32_t)v;
        return 0;
    }
    for (size_t i = 0; i < (k->at2 ? k->at2 : 1); i++) ((float *)at)[i] = (float)v;
    return 0;
}

static const struct known *find(pbay_str name)
{
    for (size_t i = 0; i < PB_COUNTOF(all); i++)
        if (pb_str_is(name, all[i].name)) return &all[i];
    return NULL;
}

static int unknown(pbay_str name, struct pb_err *err)
{
    const char *names[PB_COUNTOF(all)];
    for (size_t i = 0; i < PB_COUNTOF(all); i++) names[i] = all[i].name;
    const char *near = pb_nearest(name, names, PB_COUNTOF(all));
    int n = (int)(name.n < 80 ? name.n : 80);
    if (near)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "unknown hyperparameter \"%.*s\"; did you mean \"%s\"?", n,
                       name.p, near);
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "unknown hyperparameter \"%.*s\"; docs/recommender.md lists them", n, name.p);
}

/* lr_all before lr_bu, whatever the order of the text. */
static bool sets_all(pbay_str name)
{
    return pb_str_ends(name, PB_STR("_all"));
}

static int set_members(struct rec_hyper *h, const struct pb_json_object *o, bool of_all, struct pb_arena *a,
                       struct pb_err *err)
{
    for (size_t i = 0; i < o->n; i++) {
        pbay_str name = o->members[i].name, value = o->members[i].value, text;
        if (pb_str_starts(name, PB_STR("sagemaker_")) || pb_str_starts(name, PB_STR("_")) ||
            sets_all(name) != of_all)
            continue;
        const struct known *k = find(name);
        if (!k) return unknown(name, err);
        if (!pb_json_string(value, a, &text)) text = value;
        if (set(h, k, text, err)) return -1;
    }
    return 0;
}

static int check(const struct rec_hyper *h, struct pb_err *err)
{
    if (!(h->params.rating_min < h->params.rating_max))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "rating_min is %g and rating_max %g; expected the less first",
                       (double)h->params.rating_min, (double)h->params.rating_max);
    if (h->params.folds == 1)
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "folds is 1: a fold is tested with what the others taught; expected 0 (no evaluation) or "
            "2 to %d",
            REC_FOLDS_MAX);
    if (h->output_mode && !pb_str_is(pb_str_c(h->output_mode), "replace") &&
        !pb_str_is(pb_str_c(h->output_mode), "append"))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "output_mode is \"%s\"; expected replace or append",
                       h->output_mode);
    return 0;
}

/* What is the same for every job of an account may stand in the image or the job's environment. */
static void take_environment(struct rec_hyper *h)
{
    bool has_secret = h->secret_parameter || h->private_key_file || h->token_file;
    for (size_t i = 0; i < PB_COUNTOF(all); i++) {
        char **at = (char **)((char *)h + all[i].at);
        bool secret = at == &h->secret_parameter || at == &h->private_key_file || at == &h->token_file;
        if (secret && has_secret) continue; /* the job's own counts alone */
        const char *v = all[i].variable ? getenv(all[i].variable) : NULL;
        if (v && *v && !*at) *at = pb_strdup(v);
    }
}

int rec_hyper_parse(struct rec_hyper *h, pbay_str json, struct pb_err *err)
{
    struct pb_arena a = {0};
    struct pb_json_object o = {0};
    *h = (struct rec_hyper){.params = rec_params_default};
    int rc = 0;
    if (pb_str_trim(json).n) {
        rc = pb_json_object(json, 1000, 4, &a, &o, err);
        if (rc) pb_fail_in(err, "hyperparameters.json");
    }
    if (!rc) rc = set_members(h, &o, true, &a, err);
    if (!rc) rc = set_members(h, &o, false, &a, err);
    if (!rc) take_environment(h);
    if (!rc) rc = check(h, err);
    pb_arena_free(&a);
    if (rc) rec_hyper_free(h);
    return rc;
}

void rec_hyper_free(struct rec_hyper *h)
{
    for (size_t i = 0; i < PB_COUNTOF(all); i++)
        if (all[i].kind == TEXT) pb_free(*(char **)((char *)h + all[i].at));
    *h = (struct rec_hyper){0};
}
