/* SPDX-License-Identifier: MIT */
/* Rows looked up in PostgreSQL, by a library that blocks: options, and the functions that are declared with
 * them. */
#include <stdlib.h>
#include <string.h>

#include <patchbay/health.h>

#include "postgres_lookup.h"

static char *copy(pbay_str s)
{
    char *c = malloc(s.n + 1);
    if (!c) return NULL;
    if (s.n) memcpy(c, s.p, s.n);
    c[s.n] = 0;
    return c;
}

/* ---------------------------------------------------------------------------------- declaring a function
 */

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct instance *x = self;
    uint32_t number = 0;
    while (number < STATEMENTS && x->numbers >> number & 1) number++;
    if (info->n_answers != 1 || info->answers[0].kind == PBAY_DUAL || !info->n_sends ||
        info->n_sends > PARAMS)
        return pbay_fail(why, PBAY_INVALID_ARGUMENT,
                         "1 to 32 params are needed, and one answer: num, str or json");
    if (number == STATEMENTS)
        return pbay_fail(why, PBAY_INVALID_ARGUMENT, "a connector has at most 64 functions");
    struct function *fn = malloc(sizeof *fn);
    if (fn)
        *fn = (struct function){copy(x->host->get_str(info->config, "query")), number, info->n_sends,
                                info->answers[0].kind};
    if (!fn || !fn->sql) {
        free(fn);
        return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    }
    x->numbers |= (uint64_t)1 << number;
    *bound = fn;
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    struct instance *x = self;
    struct function *fn = bound;
    x->numbers &= ~((uint64_t)1 << fn->number);
    free(fn->sql);
    free(fn);
}

static uint32_t state(void *self, pbay_str *sentence)
{
    const struct instance *x = self;
    *sentence = pbay_str_c(x->down);
    return x->down[0] ? PBAY_DEGRADED : PBAY_UP;
}

/* ------------------------------------------------------------------------------------------ the plugin */

static const pbay_option lookup_options[] = {
    {"query", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "SQL that answers one column of at most one row; $1, $2, ... are the params, in their order."},
};
static const pbay_operation operations[] = {
    {"lookup", "A query for each row.", PBAY_SHAPE_MAP, 0, {lookup_options, 1, sizeof(pbay_option)}},
};
static const pbay_option options[] = {
    {"dsn", PBAY_OPT_STR, PBAY_OPTF_REQUIRED | PBAY_OPTF_SECRET, NULL, NULL,
     "libpq's connection string: host=... dbname=... user=..., or postgresql://..."},
    {"statement_timeout", PBAY_OPT_DURATION, 0, "10s", "1ms..1h",
     "What takes longer is ended by the server."},
};

static void destroy(void *self)
{
    struct instance *x = self;
    for (uint32_t i = 0; i < PBAY_WORK_SLOTS; i++) database_close(&x->slots[i]);
    free(x->dsn);
    free(x);
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct instance *x = calloc(1, sizeof *x);
    if (!x) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    x->host = host;
    x->batch = host->service(host, PBAY_SVC_BATCH);
    x->call = host->service(host, PBAY_SVC_CALL);
    x->work = host->service(host, PBAY_SVC_WORK);
    x->metric = host->service(host, PBAY_SVC_METRIC);
    x->timeout_ms = host->get_int(config, "statement_timeout");
    x->dsn = copy(host->get_str(config, "dsn"));
    *self = x;
    if (x->metric)
        x->rows = x->metric->slot(host, PBAY_METRIC_COUNTER, "rows_total", "", "Rows that were looked up.");
    if (x->dsn && x->batch && x->call && x->work && x->metric) return PBAY_OK;
    const int memory = x->dsn != NULL;
    destroy(x);
    return memory ? pbay_fail(why, PBAY_UNIMPLEMENTED,
                              "this host lacks pbay.host.batch/1, call/1, work/1 or metric/1")
                  : pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
}

static const void *extension(const char *id)
{
    static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                               .n_operations = 1,
                                               .operations = operations,
                                               .operation_stride = sizeof(pbay_operation),
                                               .bind = bind,
                                               .unbind = unbind,
                                               .submit = lookup_submit,
                                               .cancel = lookup_cancel};
    static const pbay_health_1 health = {sizeof health, 0, state};
    if (!strcmp(id, PBAY_EXT_HEALTH)) return &health;
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "postgres_lookup",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Rows looked up in PostgreSQL",
        .options = {options, 2, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
