/* SPDX-License-Identifier: MIT */
#include "mockhost/declare.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "data/batch.h"
#include "plugin/operation.h"

#define PASSED_OVER(name)                                                                                    \
    {                                                                                                        \
        name, PBAY_OPT_STR, 0, NULL, NULL, "the gateway's"                                                   \
    }

static const pbay_option keys[] = {
    {"connector", PBAY_OPT_STR, 0, NULL, NULL, "whose operation it is"},
    {"operation", PBAY_OPT_STR, 0, NULL, NULL, "which"},
    {"params", PBAY_OPT_LIST, 0, NULL, NULL, "the columns that are sent, name:kind"},
    {"answer", PBAY_OPT_LIST, 0, NULL, NULL, "the columns that are answered; by default as returns"},
    {"returns", PBAY_OPT_LIST, 0, NULL, NULL, "a kind, or name:kind"},
    {"max_rows", PBAY_OPT_INT, 0, "2000", "1..1000000", "rows of a batch"},
    PASSED_OVER("doc"),
    PASSED_OVER("id"),
    PASSED_OVER("script"),
    PASSED_OVER("transform"),
    PASSED_OVER("type"),
    PASSED_OVER("max_bytes"),
    PASSED_OVER("in_flight"),
    PASSED_OVER("queue"),
    PASSED_OVER("attempts"),
    PASSED_OVER("call_timeout"),
    PASSED_OVER("empty"),
    PASSED_OVER("nulls"),
    PASSED_OVER("on_bad"),
    PASSED_OVER("on_error"),
    PASSED_OVER("cache"),
    PASSED_OVER("coalesce_ms"),
    PASSED_OVER("result_cache"),
    PASSED_OVER("result_cache_size"),
    PASSED_OVER("allow_keys"),
    PASSED_OVER("allow_subjects"),
    PASSED_OVER("allow_tokens"),
    PASSED_OVER("allow_users"),
    PASSED_OVER("allow_apps"),
    PASSED_OVER("allow_scopes"),
};
const pbay_option_table pb_declared_keys = {keys, PB_COUNTOF(keys), sizeof(pbay_option)};

const struct pb_ini_section *pb_declared_connector(const struct pb_ini *ini, const struct pb_plugin *p)
{
    for (size_t i = 0; ini && i < ini->n; i++) {
        const struct pb_ini_entry *e = pb_ini_get(ini->sections[i], "plugin");
        if (pb_str_is(ini->sections[i]->kind, "connector") && e && pb_str_is(e->value, p->name))
            return ini->sections[i];
    }
    return NULL;
}

bool pb_declared_is(const struct pb_ini_section *section, pbay_str connector)
{
    const struct pb_ini_entry *c = pb_ini_get(section, "connector");
    return pb_str_is(section->kind, "function") && !pb_ini_get(section, "script") &&
           !pb_ini_get(section, "action") && (!c || pb_str_eq(c->value, connector));
}

/* "age:num", "plan" (a text); bare: "num" is a kind, and `int` a number as scripts see it. */
static int read_field(const struct pbay_config *cfg, const char *key, pbay_str text, bool bare, pbay_field *f,
                      struct pb_err *err)
{
    pbay_str rest = text, name = {0};
    pb_str_split(&rest, ':', &name);
    pbay_str kind = pb_str_trim(rest);
    *f = (pbay_field){.name = pb_str_trim(name), .kind = PBAY_STR};
    if (!rest.p && bare) {
        kind = f->name;
        f->name = pb_str(NULL, 0);
    }
    if (pb_str_is(kind, "int"))
        f->kind = PBAY_NUM;
    else if ((rest.p || bare) && !pb_kind_parse(kind, &f->kind))
        return pb_config_fail(cfg, key, err,
                              "\"%.*s\" is no kind of column; there are str, num, int, dual and json",
                              PB_FMT(kind));
    return 0;
}

static int read_fields(const struct pbay_config *cfg, const char *key, bool bare, pbay_field *fields,
                       uint32_t *n, struct pb_err *err)
{
    pbay_str k;
    *n = pb_config_is_set(cfg, key) ? pb_config_count(cfg, key) : 0;
    if (*n > PB_DECLARED_COLUMNS)
        return pb_config_fail(cfg, key, err, "%u columns; here are at most %d", *n, PB_DECLARED_COLUMNS);
    for (uint32_t i = 0; i < *n; i++)
        if (read_field(cfg, key, pb_config_item(cfg, key, i, &k), bare && *n == 1, &fields[i], err))
            return -1;
    return 0;
}

static int find_operation(struct pb_declared *d, const struct pb_ini_section *s, const struct pb_plugin *p,
                          struct pb_err *err)
{
    const struct pb_ini_entry *o = pb_ini_get(s, "operation");
    if (!p->functions.n_operations)
        return pb_ini_fail(err, s->doc->file, s->line, s->col, "plugin %s has no operations", p->name);
    if (!o && p->functions.n_operations > 1)
        return pb_ini_fail(err, s->doc->file, s->line, s->col,
                           "[function \"%s\"] does not say which operation of %s", d->name, p->name);
    int i = o ? pb_plugin_operation(p, o->value) : 0;
    if (i < 0)
        return pb_ini_fail(err, s->doc->file, o->line, o->col, "plugin %s has no operation \"%.*s\"", p->name,
                           PB_FMT(o->value));
    d->operation = (uint32_t)i;
    return 0;
}

struct pb_declared *pb_declared_new(const struct pb_ini_section *s, const struct pb_plugin *p,
                                    const char *dir, struct pb_err *err)
{
    struct pb_declared *d = pb_zalloc(sizeof *d);
    const struct pb_config_env env = {dir, NULL, NULL};
    d->name = pb_strndup(s->name.p, s->name.n);
    int rc = find_operation(d, s, p, err);
    const pbay_option_table *tables[] = {&pb_declared_keys, rc ? NULL : &p->operations[d->operation].options};
    if (!rc) rc = pb_config_make(s, tables, 2, &env, &d->config, err);
    if (!rc) rc = read_fields(d->config, "params", false, d->sends, &d->n_sends, err);
    if (!rc) rc = read_fields(d->config, "answer", true, d->answers, &d->n_answers, err);
    if (!rc && !d->n_answers) rc = read_fields(d->config, "returns", true, d->answers, &d->n_answers, err);
    if (rc) {
        pb_declared_free(d);
        return NULL;
    }
    if (!d->n_answers && p->operations[d->operation].shape != PBAY_SHAPE_TABLE)
        d->answers[d->n_answers++] = (pbay_field){.kind = PBAY_NUM};
    return d;
}

int pb_declared_bind(struct pb_declared *d, struct pb_connector *c, struct pb_err *err)
{
    const pbay_operation *o = &pb_connector_plugin(c)->operations[d->operation];
    const pbay_function_info info = {.struct_size = sizeof info,
                                     .name = pb_str_c(d->name),
                                     .sends = d->sends,
                                     .n_sends = d->n_sends,
                                     .answers = d->answers,
                                     .n_answers = d->n_answers,
                                     .max_rows = (uint32_t)pb_config_get_int(d->config, "max_rows"),
                                     .config = d->config};
    d->op = pb_op_bind(c, pb_str_c(o->name), &info, err);
    return d->op ? 0 : -1;
}

void pb_declared_free(struct pb_declared *d)
{
    if (!d) return;
    pb_config_free(d->config);
    pb_free(d->name);
    pb_free(d);
}
