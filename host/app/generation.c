/* SPDX-License-Identifier: MIT */
#include "app/generation.h"

#include "app/function_ids.h"
#include "app/paths.h"
#include "base/check.h"
#include "base/log.h"
#include "flow/coalesce.h"
#include "flow/result_cache.h"
#include "plugin/actions.h"
#include "plugin/secrets.h"

/* How long a connector may take to hand back what it still has when the gateway stops. */
enum { CLOSE_GRACE_MS = 5000 };

static int scan_plugins(struct pb_generation *g, bool probe, struct pb_err *err)
{
    g->registry = pb_registry_new(&g->env, probe);
    const struct pbay_config *cfg = g->site->plugins;
    uint32_t n = pb_config_count(cfg, "dir");
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key, dir = pb_config_item(cfg, "dir", i, &key);
        char *path = dir.n && dir.p[0] == '/' ? pb_strndup(dir.p, dir.n)
                                              : pb_sprintf("%s/%.*s", g->site->dir, PB_FMT(dir));
        int rc = pb_registry_scan(g->registry, path, err);
        pb_free(path);
        if (rc) return -1;
    }
    if (n) return 0;
    char *path = pb_path_plugins();
    int rc = pb_registry_scan(g->registry, path, err);
    pb_free(path);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ references
 */

enum { NOT_MADE, BEING_MADE, MADE };

static int make_connector(struct pb_generation *g, size_t i, struct pb_err *err);

static const struct pb_site_part *part_of(const struct pb_generation *g, const struct pb_ini_section *sec)
{
    const struct pb_site_parts *parts = &g->site->connectors;
    for (size_t i = 0; i < parts->n; i++)
        if (parts->list[i].section == sec) return &parts->list[i];
    return NULL;
}

struct asked {
    bool done;
    struct pb_err err;
};

static void got(void *user, const struct pb_err *err)
{
    struct asked *a = user;
    a->done = true;
    a->err = *err;
}

/* Nothing serves yet, so the loop is turned here until the value is there. */
static int ask(struct pb_generation *g, struct pb_connector *c, uint32_t scheme, pbay_str name, pbay_str rest,
               struct pb_buf *out, struct pb_err *err)
{
    struct asked a = {0};
    pbay_str value;
    if (!pb_secrets_known(g->registry, name, rest, &value)) {
        pb_secrets_ask(c, scheme, rest, got, &a);
        while (!a.done) pb_loop_turn(g->env.loop, true);
        if (a.err.code != PBAY_OK) {
            *err = a.err;
            return -1;
        }
        if (!pb_secrets_known(g->registry, name, rest, &value))
            return pb_fail(err, PBAY_INTERNAL, "no value came");
    }
    pb_buf_str(out, value);
    return 0;
}

static int resolve(void *user, pbay_str scheme, pbay_str rest, struct pb_buf *out, struct pb_err *err)
{
    const struct pb_resolving *asks = user;
    struct pb_generation *g = asks->generation;
    const struct pb_site_parts *parts = &g->site->connectors;
    const struct pb_site_part *circle = NULL;
    for (size_t i = 0; i < parts->n; i++) {
        const struct pb_ini_entry *name = pb_ini_get(parts->list[i].section, "plugin");
        const struct pb_plugin *p = name ? pb_registry_find(g->registry, name->value, NULL) : NULL;
        int index = p ? pb_secrets_scheme(p, scheme) : -1;
        if (index < 0) continue;
        if (g->made[i] == BEING_MADE) { /* another may do it as well */
            circle = &parts->list[i];
            continue;
        }
        if (make_connector(g, i, err)) return -1;
        /* Checked and shown configurations ask nobody. */
        if (g->check_only || g->env.explain) {
            pb_buf_str(out, PB_STR("not-resolved"));
            return 0;
        }
        struct pb_connector *c = pb_registry_connector(g->registry, parts->list[i].name);
        if (!pb_connector_started(c) && pb_connector_start(c, err)) return -1;
        return ask(g, c, (uint32_t)index, scheme, rest, out, err);
    }
    if (circle)
        return pb_fail(err, PBAY_FAILED_PRECONDITION,
                       "%.*s: is resolved by connector \"%.*s\", which %s: a circle", PB_FMT(scheme),
                       PB_FMT(circle->name),
                       asks->part == circle ? "this is" : "cannot be made without this one");
    return pb_site_unresolved(scheme, err);
}

struct pb_config_env pb_generation_env(struct pb_resolving *asks)
{
    struct pb_config_env env = pb_site_env(asks->generation->site);
    env.resolve = resolve;
    env.user = asks;
    return env;
}

struct pb_connector *pb_generation_connector(struct pb_generation *g, const struct pb_ini_section *sec,
                                             pbay_str name, pbay_str plugin, struct pb_err *err)
{
    struct pb_plugin *p = pb_registry_find(g->registry, plugin, err);
    if (!p) {
        pb_fail_in(err, "%s:%u: connector \"%.*s\"", sec->doc->file, sec->line, PB_FMT(name));
        return NULL;
    }
    const pbay_option_table *tables[] = {&pb_connector_options, &p->descriptor.options};
    struct pb_resolving asks = {.generation = g, .part = part_of(g, sec)};
    struct pb_config_env env = pb_generation_env(&asks);
    struct pb_connector_spec spec = {
        .name = name, .plugin = p, .check_only = g->check_only, .patient = g->patient};
    if (pb_config_make(sec, tables, PB_COUNTOF(tables), &env, &spec.config, err)) return NULL;
    return pb_connector_new(g->registry, &spec, err);
}

/* The queues of the configuration; their actions are checked when the connectors are there. */
static void make_actions(struct pb_generation *g)
{
    const struct pb_site_parts *parts = &g->site->queues;
    struct pb_action_queue *queues = pb_arena_zalloc(&g->mem, (parts->n + 1) * sizeof *queues);
    for (size_t i = 0; i < parts->n; i++) {
        const struct pbay_config *cfg = parts->list[i].cfg;
        uint32_t n = pb_config_count(cfg, "actions");
        pbay_str *targets = pb_arena_alloc(&g->mem, (n + 1) * sizeof *targets), key;
        for (uint32_t k = 0; k < n; k++) targets[k] = pb_config_item(cfg, "actions", k, &key);
        queues[i] = (struct pb_action_queue){.name = parts->list[i].name,
                                             .targets = targets,
                                             .n_targets = n,
                                             .starts = (uint32_t)pb_config_get_int(cfg, "starts"),
                                             .per_ms = pb_config_get_int(cfg, "per"),
                                             .attempts = (uint32_t)pb_config_get_int(cfg, "attempts")};
    }
    const struct pbay_config *jobs = g->site->jobs;
    const struct pb_actions_config c = {.durable = g->env.durable,
                                        .queues = queues,
                                        .n_queues = (uint32_t)parts->n,
                                        .attempts = (uint32_t)pb_config_get_int(jobs, "attempts"),
                                        .attempts_said = pb_config_is_given(jobs, "attempts"),
                                        .keep_ms = pb_config_get_int(jobs, "keep_results")};
    g->actions = g->env.actions = pb_actions_new(g->registry, &c);
}

static int check_target(struct pb_generation *g, const struct pbay_config *cfg, pbay_str target,
                        struct pb_err *err)
{
    struct pb_err why;
    if (!pb_str_ends(target, PB_STR(".*")))
        return pb_actions_known(g->actions, target, &why) ? pb_config_fail(cfg, "actions", err, "%s", why.msg)
                                                          : 0;
    pbay_str connector = pb_str(target.p, target.n - 2);
    if (pb_registry_connector(g->registry, connector)) return 0;
    return pb_config_fail(cfg, "actions", err, "there is no [connector \"%.*s\"]", PB_FMT(connector));
}

static int check_queues(struct pb_generation *g, struct pb_err *err)
{
    const struct pb_site_parts *parts = &g->site->queues;
    for (size_t i = 0; i < parts->n; i++) {
        const struct pbay_config *cfg = parts->list[i].cfg;
        uint32_t n = pb_config_count(cfg, "actions");
        pbay_str key;
        for (uint32_t k = 0; k < n; k++)
            if (check_target(g, cfg, pb_config_item(cfg, "actions", k, &key), err)) return -1;
        if (!n && !pb_registry_connector(g->registry, parts->list[i].name))
            return pb_config_fail(cfg, "actions", err,
                                  "there is no [connector \"%.*s\"]; write actions = CONNECTOR.ACTION, ...",
                                  PB_FMT(parts->list[i].name));
    }
    return 0;
}

/* One connector, unless it was made before because another needed it. */
static int make_connector(struct pb_generation *g, size_t i, struct pb_err *err)
{
    const struct pb_ini_section *sec = g->site->connectors.list[i].section;
    const struct pb_ini_entry *plugin = pb_ini_get(sec, "plugin");
    if (g->made[i] != NOT_MADE) return 0;
    if (!plugin)
        return pb_ini_fail(err, sec->doc->file, sec->line, sec->col,
                           "[connector \"%.*s\"] does not say which plugin it is: `plugin = NAME`",
                           PB_FMT(sec->name));
    g->made[i] = BEING_MADE;
    if (!pb_generation_connector(g, sec, g->site->connectors.list[i].name, plugin->value, err)) return -1;
    g->made[i] = MADE;
    return 0;
}

static int make_connectors(struct pb_generation *g, struct pb_err *err)
{
    make_actions(g);
    for (size_t i = 0; i < g->site->connectors.n; i++)
        if (make_connector(g, i, err)) return -1;
    return 0;
}

static int make_vm(struct pb_generation *g, struct pb_err *err)
{
    const struct pbay_config *cfg = g->site->scripts;
    struct pb_vm_options o = {.memory_cap = (size_t)pb_config_get_int(cfg, "memory"),
                              .budget_ms = pb_config_get_int(cfg, "budget"),
                              .dir = g->site->script_dir};
    g->vm = pb_vm_new(&o, err);
    return g->vm ? 0 : -1;
}

static int declare_all(struct pb_generation *g, const char *state_dir, struct pb_err *err)
{
    const struct pb_site_parts *functions = &g->site->functions, *qrags = &g->site->qrags;
    g->catalog.name = PB_STR("patchbay");
    g->catalog.identifier = PB_STR("Patchbay");
    g->catalog.version = PB_STR(PB_VERSION);
    g->catalog.allow_script = pb_config_get_int(g->site->scripts, "evaluate") != 0;
    for (size_t i = 0; i < functions->n; i++)
        if (pb_declare_section(g, &functions->list[i], err)) return -1;
    g->qrags = pb_zalloc((qrags->n + 1) * sizeof *g->qrags);
    for (size_t i = 0; i < qrags->n; i++) {
        g->n_qrags = i + 1;
        if (pb_qrag_build(g, &qrags->list[i], &g->qrags[i], err)) return -1;
    }
    return pb_assign_ids(g, state_dir, err);
}

/* ------------------------------------------------------------------------------------------------ what
 * plugins invoke */

static const struct pb_function *invoke_find(void *user, pbay_str name)
{
    const struct pb_generation *g = user;
    return pb_catalog_name(&g->catalog, name);
}

static void invoke_list(void *user, struct pb_buf *out)
{
    const struct pb_generation *g = user;
    pb_catalog_list(&g->catalog, out);
}

static pbay_str invoke_nth(void *user, uint32_t i)
{
    const struct pb_generation *g = user;
    return i < g->catalog.n ? g->catalog.functions[i]->name : pb_str("", 0);
}

static struct pb_connector *invoke_connector(void *user, pbay_str name)
{
    const struct pb_generation *g = user;
    return pb_registry_connector(g->registry, name);
}

static struct pb_lane *invoke_lane(void *user, struct pb_op *op)
{
    struct pb_generation *g = user;
    return pb_generation_lane(g, op, PB_STR("invoked"), pb_connector_name(pb_op_connector(op)), 0);
}

static struct pb_actions *invoke_actions(void *user, struct pb_durable **durable)
{
    const struct pb_generation *g = user;
    *durable = g->env.durable;
    return g->actions;
}

static void make_invokes(struct pb_generation *g, struct pb_flow *flow)
{
    const struct pb_invokes_options o = {.loop = g->env.loop,
                                         .flow = flow,
                                         .metrics = g->env.metrics,
                                         .user = g,
                                         .find = invoke_find,
                                         .list = invoke_list,
                                         .nth = invoke_nth,
                                         .connector = invoke_connector,
                                         .lane = invoke_lane,
                                         .actions = invoke_actions};
    g->invokes = pb_invokes_new(&o);
    g->env.invoker = pb_invokes_service(g->invokes);
}

struct pb_generation *pb_generation_build(struct pb_site *site, const struct pb_generation_options *o,
                                          struct pb_err *err)
{
    struct pb_generation *g = pb_zalloc(sizeof *g);
    g->site = site;
    g->env = o->env;
    g->check_only = o->check_only;
    g->patient = o->patient;
    g->page = o->page;
    g->row = o->row;
    g->declared_end = &g->declared;
    g->made = pb_zalloc(site->connectors.n + 1);
    if (o->flow) make_invokes(g, o->flow);
    bool all = !o->connectors_only;
    if (scan_plugins(g, o->probe, err) || (all && make_vm(g, err)) || make_connectors(g, err) ||
        check_queues(g, err) ||
        (all && (pb_generation_load_chains(g, err) || declare_all(g, o->state_dir, err)))) {
        struct pb_err why = *err; /* closing has failures of its own to tell */
        pb_generation_close(g, NULL, NULL);
        while (g->closing) pb_loop_turn(g->env.loop, true);
        pb_generation_free(g);
        *err = why;
        return NULL;
    }
    return g;
}

void pb_generation_outs(struct pb_generation *g, const struct pb_page *page)
{
    for (size_t i = 0; i < pb_registry_n_connectors(g->registry); i++) {
        struct pb_connector *c = pb_registry_connector_at(g->registry, i);
        const char *why = pb_page_out_reason(page, pb_connector_name(c));
        if (why) pb_connector_set_state(c, PB_CONNECTOR_OUT, why);
    }
}

void pb_generation_start(struct pb_generation *g, const struct pb_page *page)
{
    if (page) pb_generation_outs(g, page);
    for (size_t i = 0; i < pb_registry_n_connectors(g->registry); i++) {
        struct pb_connector *c = pb_registry_connector_at(g->registry, i);
        struct pb_err err;
        if (page && pb_page_out_reason(page, pb_connector_name(c))) continue;
        if (pb_connector_started(c)) continue; /* others needed it */
        if (pb_connector_start(c, &err))
            pb_log(PB_LOG_ERROR, "app", "a connector did not start; its functions answer UNAVAILABLE",
                   PB_V("connector", pb_connector_name(c)), PB_S("error", err.msg));
    }
}

static void connector_closed(void *user, bool clean)
{
    struct pb_generation *g = user;
    (void)clean;
    if (--g->closing == 0 && g->closed) g->closed(g->closed_user);
}

void pb_generation_close(struct pb_generation *g, void (*closed)(void *user), void *user)
{
    g->closed = closed;
    g->closed_user = user;
    if (g->invokes) pb_invokes_close(g->invokes);
    for (struct pb_declared *d = g->declared; d; d = d->next) {
        pb_op_unbind(d->fn.op);
        d->fn.op = NULL;
    }
    /* Closing takes connectors out of the registry later, so count first. */
    size_t n = g->registry ? pb_registry_n_connectors(g->registry) : 0;
    g->closing = (unsigned)n + 1;
    for (size_t i = 0; i < n; i++)
        pb_connector_close(pb_registry_connector_at(g->registry, i), CLOSE_GRACE_MS, connector_closed, g);
    connector_closed(g, true);
}

void pb_generation_free(struct pb_generation *g)
{
    if (!g) return;
    PB_REQUIRE(g->closing == 0);
    for (struct pb_declared *d = g->declared, *next; d; d = next) {
        next = d->next;
        pb_coalesce_free(d->fn.coalesce);
        pb_result_cache_free(d->fn.cache);
        pb_transform_free(d->fn.transform);
        pb_fn_free(d->fn.script);
        pb_config_free(d->cfg);
        pb_free(d);
    }
    pb_vm_free(g->vm);
    pb_chains_free(g->chains);
    pb_catalog_free(&g->catalog);
    for (size_t i = 0; i < g->n_qrags; i++) pb_catalog_free(&g->qrags[i].catalog);
    pb_free(g->qrags);
    pb_free(g->made);
    pb_invokes_free(g->invokes);
    pb_map_free(&g->lanes); /* the lanes themselves are in the arena */
    pb_actions_free(g->actions);
    pb_registry_free(g->registry);
    pb_arena_free(&g->mem);
    pb_site_free(g->site);
    pb_free(g);
}
