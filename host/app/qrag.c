/* SPDX-License-Identifier: MIT */
/*
 * [qrag "NAME"]: a Qlik Rapid API Gateway folder served as it is. functions.json says what Qlik sees,
 * qrag.ini (a Python configparser file) where each function goes; QRAP_Type names an operation of plugin
 * sagemaker. https://github.com/Qlik-PE/Rapid-ML-Gateway
 */
#include "app/generation.h"
#include "app/qrag_file.h"
#include "base/log.h"
#include "data/options.h"

/* Keys that every old file has and nobody needs: not worth a warning. */
static bool known_to_old(pbay_str key)
{
    static const char *const keys[] = {"cache",  "username", "password",        "token", "batch_size",
                                       "ws_url", "ws_route", "query_parameter", "url",   "schema_metadata"};
    for (size_t i = 0; i < PB_COUNTOF(keys); i++)
        if (pb_str_is(key, keys[i])) return true;
    return false;
}

/* The keys of the function's section (and [DEFAULT]) that the operation knows, as a section of ours. */
static void pick(struct pb_generation *g, const struct pb_ini *ini, const struct pb_ini_section *old,
                 pbay_str name, const pbay_option_table *options, struct pb_ini_section *out)
{
    *out = (struct pb_ini_section){
        .doc = ini, .kind = name, .line = old ? old->line : 0, .col = old ? old->col : 0};
    /* Databricks' token stands in [base], for all functions. */
    const struct pb_ini_section *base = pb_ini_find(ini, "base", NULL);
    const struct pb_ini_section *from[] = {old, ini->defaults, base};
    for (size_t f = 0; f < PB_COUNTOF(from); f++)
        for (size_t i = 0; from[f] && i < from[f]->n; i++) {
            const struct pb_ini_entry *e = &from[f]->entries[i];
            if (from[f] == base && !pb_str_is(e->key, "databricks_token")) continue;
            if (pb_map_get(&out->by_key, e->key)) continue;
            if (!pb_option_find(options, e->key)) {
                if (!known_to_old(e->key))
                    pb_log(PB_LOG_WARN, "app", "a key of qrag.ini is not used", PB_S("file", ini->file),
                           PB_I("line", e->line), PB_V("key", e->key));
                continue;
            }
            PB_GROW(out->entries, out->cap, out->n + 1);
            out->entries[out->n] = *e;
            out->entries[out->n].quoted = true; /* values are text: they never meant a reference */
            pb_map_set(&out->by_key, e->key, (void *)(uintptr_t)++out->n);
        }
    (void)g;
}

static uint32_t kind_of(uint8_t type)
{
    static const uint32_t kinds[] = {PBAY_STR, PBAY_NUM, PBAY_DUAL};
    return kinds[type];
}

static const char *refusal(struct pb_generation *g, const struct pb_plugin *p,
                           const struct pb_qrag_function *f)
{
    struct pb_buf b = {0};
    pb_buf_printf(&b, "its QRAP_Type \"%.*s\" is served by nobody here; there are ", PB_FMT(f->qrap_type));
    for (uint32_t i = 0; i < p->functions.n_operations; i++)
        pb_buf_printf(&b, "%s%s", i ? ", " : "", p->operations[i].name);
    const char *s = pb_arena_str(&g->mem, pb_buf_view(&b)).p;
    pb_buf_free(&b);
    return s;
}

static void warn_refused(const struct pb_declaration *d)
{
    pb_log(PB_LOG_WARN, "app", "a function is listed but cannot be called", PB_V("function", d->name),
           PB_V("where", d->where), PB_S("why", d->refusal));
}

static int declare(struct pb_generation *g, struct pb_qrag *q, struct pb_connector *connector,
                   const struct pb_qrag_file *file, const struct pb_qrag_function *f, struct pb_err *err)
{
    struct pb_plugin *plugin = pb_connector_plugin(connector);
    const struct pb_ini *ini = file->ini;
    const struct pb_ini_section *old = pb_qrag_section(file, f);
    struct pb_script_field *params = pb_arena_zalloc(&g->mem, (f->n_params + 1) * sizeof *params);
    for (size_t i = 0; i < f->n_params; i++) {
        params[i].name = pb_arena_str(&g->mem, f->params[i].name);
        params[i].kind = kind_of(f->params[i].type);
    }
    struct pb_script_field *returns = pb_arena_zalloc(&g->mem, sizeof *returns);
    returns->kind = kind_of(f->return_type);
    struct pb_declaration d = {.scope =
                                   pb_str_c(pb_arena_printf(&g->mem, "qrag/%.*s", PB_FMT(q->part->name))),
                               .name = pb_arena_str(&g->mem, f->name),
                               .where = pb_str_c(pb_arena_printf(&g->mem, "%s:%u", file->json_path, f->line)),
                               .id = f->id,
                               .connector = connector,
                               .operation = pb_arena_str(&g->mem, f->qrap_type),
                               .params = params,
                               .n_params = (uint32_t)f->n_params,
                               .returns = returns,
                               .n_returns = 1,
                               .more_columns = true,
                               .type = f->type,
                               .max_rows = PB_QRAG_MAX_ROWS,
                               .max_bytes = 4u << 20,
                               .in_flight = PB_QRAG_IN_FLIGHT,
                               .attempts = 3,
                               .cache = pb_qrag_cached(file, f)};
    int op = pb_plugin_operation(plugin, d.operation);
    if (op < 0) {
        d.refusal = refusal(g, plugin, f);
        warn_refused(&d);
        return pb_declare(g, &q->catalog, &d, err);
    }
    /* An old file says `str` where it means nothing: an aggregation that the backend cannot make is told by
     * settle. */
    const pbay_option_table *options = &plugin->operations[op].options;
    struct pb_ini_section picked;
    pick(g, ini, old, d.name, options, &picked);
    struct pb_config_env env = pb_site_env(g->site);
    int rc = pb_config_make(&picked, &options, 1, &env, &d.cfg, err);
    pb_free(picked.entries);
    pb_map_free(&picked.by_key);
    /* Its batches were those of batch_size. */
    if (!rc && pb_option_find(options, PB_STR("batch_size")))
        d.max_rows = (uint32_t)pb_config_get_int(d.cfg, "batch_size");
    /* The old gateway found out when it was called, and the other functions of its folder worked. */
    if (rc) {
        d.refusal = old ? pb_arena_str(&g->mem, pb_str_c(err->msg)).p
                        : pb_arena_printf(&g->mem, "%s has no section [%.*s]", ini->file, PB_FMT(d.name));
        warn_refused(&d);
    }
    return pb_declare(g, &q->catalog, &d, err) ? pb_fail_in(err, "%.*s", PB_FMT(d.where)) : 0;
}

/* The address: what the section says, or every address and the port of the old [base]. */
static int find_address(struct pb_generation *g, struct pb_qrag *q, const struct pb_ini *ini,
                        struct pb_err *err)
{
    pbay_str own = pb_config_get_str(q->part->cfg, "address");
    if (own.n) {
        q->address = own;
        return 0;
    }
    const struct pb_ini_section *base = pb_ini_find(ini, "base", NULL);
    const struct pb_ini_entry *port = base ? pb_ini_get(base, "port") : NULL;
    uint64_t n = 0;
    if (port && pb_parse_u64(pb_str_trim(port->value), &n) && n > 0 && n < 65536) {
        q->address = pb_str_c(pb_arena_printf(&g->mem, "[::]:%llu", (unsigned long long)n));
        return 0;
    }
    if (port)
        return pb_ini_fail(err, ini->file, port->line, port->col,
                           "port \"%.*s\" is no port number (1 to 65535)", PB_FMT(port->value));
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "%s: [base] has no `port`, and [qrag \"%.*s\"] no `address`: where should it listen?",
                   ini->file, PB_FMT(q->part->name));
}

int pb_qrag_build(struct pb_generation *g, const struct pb_site_part *part, struct pb_qrag *q,
                  struct pb_err *err)
{
    const struct pbay_config *cfg = part->cfg;
    *q = (struct pb_qrag){.part = part, .tls_dir = pb_config_get_str(cfg, "tls_dir")};
    q->catalog.name = part->name;
    /* What the old gateway said of itself: a site may watch for it in the engine's log. */
    q->catalog.identifier = PB_STR("Qlik Rapid API Gateway - Partner Engineering");
    q->catalog.version = PB_STR("v0.1.0");
    struct pb_qrag_file file;
    int rc = pb_qrag_file_open(
                 &file, pb_config_get_str(cfg, "functions"), pb_config_get_str(cfg, "ini"),
                 pb_config_get_int(cfg, "order") == 1 ? PB_QRAG_PARAMS_FILE : PB_QRAG_PARAMS_SORTED, err) ||
             find_address(g, q, file.ini, err);
    struct pb_connector *connector = NULL;
    if (!rc) {
        pbay_str name = pb_config_get_str(cfg, "connector");
        if (name.n) {
            connector = pb_registry_connector(g->registry, name);
            if (!connector)
                pb_config_fail(cfg, "connector", err, "there is no [connector \"%.*s\"]", PB_FMT(name));
        } else {
            struct pb_ini_section none = {.doc = g->site->ini,
                                          .kind = PB_STR("connector"),
                                          .name = part->name,
                                          .line = part->section->line};
            struct pb_ini_entry plugin = {
                .key = PB_STR("plugin"), .value = PB_STR("sagemaker"), .line = none.line, .quoted = true};
            none.entries = &plugin;
            none.n = 1;
            pb_map_set(&none.by_key, plugin.key, (void *)(uintptr_t)1);
            const char *made = pb_arena_printf(&g->mem, "qrag-%.*s", PB_FMT(part->name));
            connector = pb_generation_connector(g, &none, pb_str_c(made), plugin.value, err);
            pb_map_free(&none.by_key);
        }
        rc = connector ? 0 : -1;
    }
    for (size_t i = 0; !rc && i < file.functions->n; i++)
        rc = declare(g, q, connector, &file, &file.functions->functions[i], err);
    pb_qrag_file_close(&file);
    if (rc) pb_fail_in(err, "[qrag \"%.*s\"]", PB_FMT(part->name));
    return rc;
}
