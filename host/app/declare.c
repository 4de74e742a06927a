/* SPDX-License-Identifier: MIT */
/* [function "NAME"] -> a function that can be called. */
#include "app/generation.h"

#include "base/log.h"
#include "flow/coalesce.h"
#include "flow/result_cache.h"
#include "plugin/action_function.h"

/* "age:num", "plan" (str), or with bare: "num" alone is a kind. */
static int parse_field(const struct pbay_config *cfg, const char *key, pbay_str text, bool bare,
                       struct pb_script_field *f, struct pb_err *err)
{
    pbay_str rest = text, name = {0}, kind;
    pb_str_split(&rest, ':', &name);
    *f = (struct pb_script_field){.name = pb_str_trim(name), .kind = PBAY_STR};
    kind = pb_str_trim(rest);
    if (!rest.p && bare) {
        kind = f->name;
        f->name = pb_str(NULL, 0);
    }
    if (kind.p && pb_str_is(kind, "int")) {
        f->kind = PBAY_NUM;
        f->integer = true;
    } else if ((rest.p || bare) && !pb_kind_parse(kind, &f->kind))
        return pb_config_fail(cfg, key, err,
                              "\"%.*s\" is no kind of column; there are str, num, int, dual and json",
                              PB_FMT(kind));
    if (!bare && !f->name.n)
        return pb_config_fail(cfg, key, err, "a column without a name in \"%.*s\"", PB_FMT(text));
    return 0;
}

/* A list of columns. bare: one kind alone is allowed too. */
static int parse_fields(struct pb_generation *g, const struct pbay_config *cfg, const char *key, bool bare,
                        const struct pb_script_field **out, uint32_t *n, struct pb_err *err)
{
    *n = pb_config_is_set(cfg, key) ? pb_config_count(cfg, key) : 0;
    struct pb_script_field *f = pb_arena_zalloc(&g->mem, (*n + 1) * sizeof *f);
    for (uint32_t i = 0; i < *n; i++) {
        pbay_str k, text = pb_arena_str(&g->mem, pb_config_item(cfg, key, i, &k));
        bool alone = bare && *n == 1 && pb_str_chr(text, ':') == text.n;
        uint32_t kind;
        if (bare && *n > 1 && pb_str_chr(text, ':') == text.n && pb_kind_parse(pb_str_trim(text), &kind))
            return pb_config_fail(cfg, key, err, "several columns need names: write NAME:%.*s",
                                  PB_FMT(pb_str_trim(text)));
        if (parse_field(cfg, key, text, alone, &f[i], err)) return -1;
        for (uint32_t j = 0; j < i; j++)
            if (pb_str_eq(f[i].name, f[j].name))
                return pb_config_fail(cfg, key, err, "column \"%.*s\" stands twice", PB_FMT(f[i].name));
    }
    *out = f;
    return 0;
}

static const char *path_of(struct pb_generation *g, const struct pbay_config *cfg, const char *key)
{
    pbay_str s = pb_config_get_str(cfg, key);
    return s.n ? pb_arena_str(&g->mem, s).p : NULL;
}

/* A subject is its issuer's: every pattern gets its ISSUER: in front, as identities have it. */
static int qualify_tokens(struct pb_generation *g, const struct pbay_config *cfg,
                          struct pb_allow_list *tokens, struct pb_err *err)
{
    const struct pb_site_parts *issuers = &g->site->issuers;
    pbay_str *out = pb_arena_alloc(&g->mem, (tokens->n + 1) * sizeof *out);
    for (size_t i = 0; i < tokens->n; i++) {
        pbay_str p = tokens->patterns[i], prefix = pb_str(p.p, pb_str_chr(p, ':'));
        bool named = pb_str_is(p, "*");
        for (size_t k = 0; k < issuers->n && !named && prefix.n < p.n; k++)
            named = pb_str_eq(issuers->list[k].name, prefix);
        out[i] = p;
        if (named) continue;
        if (issuers->n > 1)
            return pb_config_fail(
                cfg, "allow_tokens", err,
                "\"%.*s\" does not say whose token that is, and there are %zu issuers, who may "
                "use one name for different callers: write %.*s:%.*s",
                PB_FMT(p), issuers->n, PB_FMT(issuers->list[0].name), PB_FMT(p));
        pbay_str issuer = issuers->n ? issuers->list[0].name : pb_str("", 0);
        char *text = pb_sprintf("%.*s:%.*s", PB_FMT(issuer), PB_FMT(p));
        out[i] = pb_arena_str(&g->mem, pb_str_c(text));
        pb_free(text);
    }
    tokens->patterns = out;
    return 0;
}

int pb_generation_allow(struct pb_generation *g, const struct pbay_config *cfg, const struct pb_allow **out,
                        struct pb_err *err)
{
    struct pb_allow *allow = pb_arena_zalloc(&g->mem, sizeof *allow);
    pb_allow_from_config(cfg, &g->mem, allow);
    bool any = allow->keys.set || allow->subjects.set || allow->tokens.set || allow->users.set ||
               allow->apps.set || allow->scopes.set;
    *out = any ? allow : NULL;
    return qualify_tokens(g, cfg, &allow->tokens, err);
}

/* The built-in connector whose operation makes actions of rows, made when the first function wants it. */
static struct pb_connector *action_connector(struct pb_generation *g, uint32_t line, struct pb_err *err)
{
    struct pb_connector *c = pb_registry_connector(g->registry, PB_STR(PB_ACTION_CONNECTOR));
    if (c) return c;
    if (pb_registry_adopt(g->registry, pb_action_function_entry, err)) return NULL;
    struct pb_ini_entry keys[] = {
        {.key = PB_STR("plugin"), .value = PB_STR(PB_ACTION_PLUGIN), .line = line, .quoted = true},
        /* A batch ends with its actions; the call's own deadline, or the action's, is before that. */
        {.key = PB_STR("timeout"), .value = PB_STR("1h"), .line = line, .quoted = true}};
    struct pb_ini_section sec = {.doc = g->site->ini,
                                 .kind = PB_STR("connector"),
                                 .name = PB_STR(PB_ACTION_CONNECTOR),
                                 .line = line,
                                 .entries = keys,
                                 .n = PB_COUNTOF(keys)};
    return pb_generation_connector(g, &sec, sec.name, PB_STR(PB_ACTION_PLUGIN), err);
}

/* `action =` in place of connector and operation. */
static int find_action(struct pb_generation *g, const struct pb_ini_section *sec,
                       const struct pb_ini_entry *action, struct pb_declaration *d,
                       const pbay_option_table **options, struct pb_err *err)
{
    static const char *const others[] = {"connector", "operation", "script"};
    for (size_t i = 0; i < PB_COUNTOF(others); i++)
        if (pb_ini_get(sec, others[i]))
            return pb_ini_fail(
                err, sec->doc->file, action->line, action->key_col,
                "[function \"%.*s\"]: `action` is what stands behind it, so `%s` has no place beside it",
                PB_FMT(sec->name), others[i]);
    d->connector = action_connector(g, sec->line, err);
    if (!d->connector) return -1;
    d->operation = PB_STR(PB_ACTION_OPERATION);
    d->is_action = true;
    *options = &pb_connector_plugin(d->connector)->operations[0].options;
    return 0;
}

/* Which connector and operation; its options join the host's. */
static int find_operation(struct pb_generation *g, const struct pb_ini_section *sec, struct pb_declaration *d,
                          const pbay_option_table **options, struct pb_err *err)
{
    const struct pb_ini_entry *c = pb_ini_get(sec, "connector"), *o = pb_ini_get(sec, "operation");
    const struct pb_ini_entry *script = pb_ini_get(sec, "script"), *action = pb_ini_get(sec, "action");
    if (action) return find_action(g, sec, action, d, options, err);
    if (!c && !script)
        return pb_ini_fail(err, sec->doc->file, sec->line, sec->col,
                           "[function \"%.*s\"] has nothing behind it: write `connector =` and `operation "
                           "=`, `action =`, or `script =`",
                           PB_FMT(sec->name));
    if (c && script)
        return pb_ini_fail(
            err, sec->doc->file, script->line, script->key_col,
            "[function \"%.*s\"]: `script` is the whole function, so `connector` has no place beside it; for "
            "Lua before and after a connector write `transform`",
            PB_FMT(sec->name));
    if (script) return 0;
    d->connector = pb_registry_connector(g->registry, c->value);
    if (!d->connector)
        return pb_ini_fail(err, sec->doc->file, c->line, c->col, "there is no [connector \"%.*s\"]",
                           PB_FMT(c->value));
    struct pb_plugin *p = pb_connector_plugin(d->connector);
    if (!p->has_functions || !p->functions.n_operations)
        return pb_ini_fail(err, sec->doc->file, c->line, c->col,
                           "plugin %s of connector \"%.*s\" has no operations", p->name, PB_FMT(c->value));
    if (!o && p->functions.n_operations == 1)
        d->operation = pb_str_c(p->operations[0].name);
    else if (!o)
        return pb_ini_fail(
            err, sec->doc->file, sec->line, sec->col,
            "[function \"%.*s\"] does not say which operation of %s: `patchbay help %s` lists them",
            PB_FMT(sec->name), p->name, p->name);
    else
        d->operation = o->value;
    int i = pb_plugin_operation(p, d->operation);
    if (i < 0) {
        const char *names[64];
        size_t n = 0;
        for (; n < p->functions.n_operations && n < PB_COUNTOF(names); n++) names[n] = p->operations[n].name;
        const char *near = pb_nearest(d->operation, names, n);
        return pb_ini_fail(err, sec->doc->file, o->line, o->col, "plugin %s has no operation \"%.*s\"%s%s%s",
                           p->name, PB_FMT(d->operation), near ? "; did you mean \"" : "", near ? near : "",
                           near ? "\"?" : "");
    }
    *options = &p->operations[i].options;
    return 0;
}

int pb_declare_section(struct pb_generation *g, const struct pb_site_part *part, struct pb_err *err)
{
    const struct pb_ini_section *sec = part->section;
    struct pb_declaration d = {.scope = PB_STR("patchbay"), .name = part->name};
    const pbay_option_table *tables[] = {&pb_function_options, &pb_allow_options, NULL};
    if (find_operation(g, sec, &d, &tables[2], err)) return -1;
    struct pb_resolving asks = {.generation = g};
    struct pb_config_env env = pb_generation_env(&asks);
    if (pb_config_make(sec, tables, PB_COUNTOF(tables), &env, &d.cfg, err)) return -1;
    const struct pbay_config *cfg = d.cfg;
    d.where = pb_str_c(pb_arena_printf(&g->mem, "%s:%u", sec->doc->file, sec->line));
    d.doc = pb_arena_str(&g->mem, pb_config_get_str(cfg, "doc"));
    d.id = pb_config_is_given(cfg, "id") ? pb_config_get_int(cfg, "id") : -1;
    d.transform = path_of(g, cfg, "transform");
    d.script = path_of(g, cfg, "script");
    d.type = pb_config_is_set(cfg, "type") ? (int)pb_config_get_int(cfg, "type") : -1;
    d.max_rows = (uint32_t)pb_config_get_int(cfg, "max_rows");
    d.max_bytes = (uint32_t)pb_config_get_int(cfg, "max_bytes");
    d.in_flight = (uint32_t)pb_config_get_int(cfg, "in_flight");
    d.attempts = (uint32_t)pb_config_get_int(cfg, "attempts");
    d.call_timeout_ms = pb_config_get_int(cfg, "call_timeout");
    d.coalesce_ms = pb_config_get_int(cfg, "coalesce_ms");
    d.result_cache_ms = pb_config_get_int(cfg, "result_cache");
    d.result_cache_size = (size_t)pb_config_get_int(cfg, "result_cache_size");
    d.empty = (enum pb_empty)pb_config_get_int(cfg, "empty");
    d.bad_null = pb_config_get_int(cfg, "on_bad") == 1;
    d.error_null = pb_config_get_int(cfg, "on_error") == 1;
    d.nulls = pb_config_get_int(cfg, "nulls") != 0;
    d.cache = pb_config_get_int(cfg, "cache") != 0;
    d.max_waiting = (uint32_t)pb_config_get_int(cfg, "queue");
    const struct pb_ini_entry *body = pb_ini_get(sec, "body");
    d.raw = body && pb_str_is(body->value, "raw");
    if (pb_generation_allow(g, cfg, &d.allow, err) ||
        parse_fields(g, cfg, "params", false, &d.params, &d.n_params, err) ||
        parse_fields(g, cfg, "answer", true, &d.answers, &d.n_answers, err) ||
        parse_fields(g, cfg, "returns", true, &d.returns, &d.n_returns, err)) {
        pb_config_free(d.cfg);
        return -1;
    }
    if (d.is_action) {
        static const struct pb_script_field json = {{NULL, 0}, PBAY_JSON, false},
                                            text = {{NULL, 0}, PBAY_STR, false};
        if (!d.n_answers) d.answers = &json, d.n_answers = 1;
        if (!d.n_returns) d.returns = &text, d.n_returns = 1;
        d.attempts = 1;
        d.cache = false;
    }
    if (!pb_declare(g, &g->catalog, &d, err)) return 0;
    /* A plugin may have named the line of one of its keys; a script names its own file only. */
    if (pb_str_starts(pb_str_c(err->msg), pb_str_c(sec->doc->file))) return -1;
    return pb_fail_in(err, "%.*s: [function \"%.*s\"]", PB_FMT(d.where), PB_FMT(part->name));
}

/* ------------------------------------------------------------------------------------------------ any
 * function */

struct pb_lane *pb_generation_lane(struct pb_generation *g, struct pb_op *op, pbay_str scope, pbay_str name,
                                   uint32_t in_flight)
{
    pbay_str own = pb_op_lane(op), conn = pb_connector_name(pb_op_connector(op));
    const char *key = own.n ? pb_arena_printf(&g->mem, "%.*s/%.*s", PB_FMT(conn), PB_FMT(own))
                            : pb_arena_printf(&g->mem, "function/%.*s/%.*s", PB_FMT(scope), PB_FMT(name));
    struct pb_lane *lane = pb_map_get(&g->lanes, pb_str_c(key));
    if (!lane) {
        lane = pb_arena_zalloc(&g->mem, sizeof *lane);
        lane->name = pb_str_c(key);
        lane->limit = in_flight ? in_flight : 16;
        pb_lane_count(lane, g->env.metrics);
        if (g->page) pb_lane_share(lane, g->env.loop, g->page, g->row);
        pb_map_set(&g->lanes, lane->name, lane);
    }
    /* Functions that share a backend share what it bears: the most careful of them knows. */
    if (in_flight && in_flight < lane->limit) lane->limit = in_flight;
    return lane;
}

static pbay_field *plain(struct pb_generation *g, const struct pb_script_field *f, uint32_t n)
{
    pbay_field *out = pb_arena_zalloc(&g->mem, (n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n; i++) out[i] = pb_plain_field(&f[i]);
    return out;
}

static int bind(struct pb_generation *g, struct pb_declaration *d, struct pb_function *fn, struct pb_err *err)
{
    bool before = fn->transform && pb_transform_has_before(fn->transform);
    const struct pb_script_field *from = d->n_answers ? d->answers : d->returns;
    uint32_t n_answers = d->n_answers ? d->n_answers : d->n_returns;
    const pbay_field *sends = plain(g, d->params, d->n_params), *answers = plain(g, from, n_answers);
    const pbay_function_info info = {.struct_size = sizeof info,
                                     .name = d->name,
                                     .sends = sends,
                                     .answers = answers,
                                     .n_sends = before ? 0 : d->n_params,
                                     .n_answers = n_answers,
                                     .max_rows = d->max_rows,
                                     .config = d->cfg};
    fn->op = pb_op_bind(d->connector, d->operation, &info, err);
    if (!fn->op) return -1;
    fn->shape = pb_op_shape(fn->op);
    fn->lane = pb_generation_lane(g, fn->op, d->scope, d->name, d->in_flight);
    return 0;
}

static int load_scripts(struct pb_generation *g, const struct pb_declaration *d, struct pb_function *fn,
                        struct pb_err *err)
{
    if (d->transform) {
        const struct pb_transform_options o = {.path = d->transform,
                                               .params = d->params,
                                               .n_params = d->n_params,
                                               .returns = d->returns,
                                               .n_returns = d->n_returns,
                                               .nulls = d->nulls,
                                               .error_null = d->error_null,
                                               .bad_null = d->bad_null,
                                               .raw = d->raw};
        fn->transform = pb_transform_new(g->vm, &o, err);
        return fn->transform ? 0 : -1;
    }
    if (!d->script) return 0;
    const struct pb_fn_options o = {.path = d->script,
                                    .params = d->params,
                                    .n_params = d->n_params,
                                    .returns = d->returns,
                                    .n_returns = d->n_returns,
                                    .error_null = d->error_null,
                                    .bad_null = d->bad_null};
    fn->script = pb_fn_new(g->vm, &o, err);
    if (!fn->script) return -1;
    static const uint32_t shapes[] = {0, PBAY_SHAPE_MAP, PBAY_SHAPE_AGGREGATE, PBAY_SHAPE_TABLE};
    fn->shape = shapes[pb_fn_shape(fn->script)];
    if (fn->shape == PBAY_SHAPE_TABLE) fn->returns = pb_fn_columns(fn->script, &fn->n_returns);
    return 0;
}

static int settle(const struct pb_declaration *d, struct pb_function *fn, struct pb_err *err)
{
    static const enum pb_function_type by_shape[] = {PB_TYPE_SCALAR, PB_TYPE_SCALAR, PB_TYPE_AGGREGATION,
                                                     PB_TYPE_TENSOR};
    static const char *const type_names[] = {"scalar", "aggregation", "tensor"};
    fn->type = d->type >= 0 ? (enum pb_function_type)d->type : by_shape[fn->shape];
    if (!d->refusal && (fn->type == PB_TYPE_AGGREGATION) != (fn->shape == PBAY_SHAPE_AGGREGATE))
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT, "`type = %s` does not go with what is behind the function, which %s",
            type_names[fn->type],
            fn->shape == PBAY_SHAPE_AGGREGATE ? "makes one row of all" : "does not make one row of all");
    if (fn->transform && fn->shape != PBAY_SHAPE_MAP)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "a transform works on rows one by one, and this operation does not answer row by row");
    return 0;
}

/* What is allowed only where nobody can notice. */
static int share_answers(struct pb_generation *g, const struct pb_declaration *d, struct pb_function *fn,
                         struct pb_err *err)
{
    const char *key = d->coalesce_ms ? "coalesce_ms" : "result_cache";
    if ((!d->coalesce_ms && !d->result_cache_ms) || d->refusal) return 0;
    if (!fn->op || fn->shape != PBAY_SHAPE_MAP)
        return pb_config_fail(d->cfg, key, err, "only for an operation that answers row by row");
    if (fn->effects || (pb_op_flags(fn->op) & PBAY_OPF_EFFECTS))
        return pb_config_fail(d->cfg, key, err, "not for an operation that changes the world");
    if (d->result_cache_ms && !d->cache)
        return pb_config_fail(d->cfg, "result_cache", err,
                              "has no place beside `cache = no`: its answers must not be kept");
    if (pb_op_flags(fn->op) & PBAY_OPF_PER_USER)
        return pb_config_fail(d->cfg, key, err, "not for an operation whose answers depend on who calls");
    if (d->coalesce_ms) fn->coalesce = pb_coalesce_new(d->coalesce_ms, g->env.metrics, d->name);
    if (d->result_cache_ms)
        fn->cache =
            pb_result_cache_new(d->result_cache_ms * PB_MS, d->result_cache_size, g->env.metrics, d->name);
    return 0;
}

int pb_declare(struct pb_generation *g, struct pb_catalog *catalog, struct pb_declaration *d,
               struct pb_err *err)
{
    static const struct pb_script_field number = {{NULL, 0}, PBAY_NUM, false};
    struct pb_declared *decl = pb_zalloc(sizeof *decl);
    decl->cfg = d->cfg;
    *g->declared_end = decl;
    g->declared_end = &decl->next;
    struct pb_function *fn = &decl->fn;
    if (!d->n_returns) {
        d->returns = &number;
        d->n_returns = 1;
    }
    *fn = (struct pb_function){.magic = PB_FUNCTION_MAGIC,
                               .name = d->name,
                               .where = d->where,
                               .doc = d->doc,
                               .shape = PBAY_SHAPE_MAP,
                               .params = d->params,
                               .n_params = d->n_params,
                               .answers = d->answers,
                               .n_answers = d->n_answers,
                               .returns = d->returns,
                               .n_returns = d->n_returns,
                               .max_rows = d->max_rows,
                               .max_bytes = d->max_bytes,
                               .attempts = d->attempts,
                               .call_timeout_ms = d->call_timeout_ms,
                               .empty = d->empty,
                               .on_bad = d->bad_null ? PB_BAD_NULL : PB_BAD_ERROR,
                               .more_columns = d->more_columns,
                               .qlik_cache = d->cache,
                               .allow = d->allow,
                               .max_waiting = d->max_waiting,
                               .max_call_rows = (uint64_t)pb_config_get_int(g->site->limits, "call_rows"),
                               .refusal = d->refusal,
                               .counters = &decl->counters};
    pb_counters_init(&decl->counters, g->env.metrics, d->name);
    if (load_scripts(g, d, fn, err)) return -1;
    if (!d->refusal && d->connector && bind(g, d, fn, err)) return -1;
    fn->effects = fn->op && (pb_op_flags(fn->op) & PBAY_OPF_EFFECTS) != 0;
    decl->scope = d->scope;
    decl->explicit_id = (int32_t)d->id;
    if (settle(d, fn, err) || share_answers(g, d, fn, err)) return -1;
    fn->plain_params = plain(g, fn->params, fn->n_params);
    fn->plain_returns = plain(g, fn->returns, fn->n_returns);
    pb_catalog_add(catalog, fn);
    return 0;
}
