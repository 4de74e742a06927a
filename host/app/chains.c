/* SPDX-License-Identifier: MIT */
/* Chains against the configuration: names are checked, and what a worker needs is put together. */
#include "app/generation.h"
#include "flow/chain_work.h"
#include "plugin/action.h"
#include "plugin/actions.h"

static bool is_connector(void *user, pbay_str name)
{
    const struct pb_generation *g = user;
    return pb_registry_connector(g->registry, name) != NULL;
}

static bool has_action(void *user, pbay_str connector, pbay_str action)
{
    const struct pb_generation *g = user;
    const struct pb_connector *c = pb_registry_connector(g->registry, connector);
    struct pb_err err;
    return c && pb_action_find(c, action, &err) >= 0;
}

static int takes(void *user, pbay_str connector, pbay_str action, pbay_str args, struct pb_err *err)
{
    const struct pb_generation *g = user;
    const struct pb_connector *c = pb_registry_connector(g->registry, connector);
    int at = c ? pb_action_find(c, action, err) : -1;
    return at < 0 ? 0 : pb_action_check(c, at, args.n ? args : PB_STR("{}"), err);
}

/* What a connector's routes tell of is known to its plugin alone; ends of actions are known. */
static bool has_event(void *user, pbay_str connector, pbay_str type)
{
    if (!pb_str_ends(type, PB_STR(".done"))) return true;
    return has_action(user, connector, pb_str(type.p, type.n - 5));
}

static bool is_target(void *user, pbay_str name)
{
    const struct pb_site_parts *parts = &((struct pb_generation *)user)->site->notifies;
    for (size_t i = 0; i < parts->n; i++)
        if (pb_str_eq(parts->list[i].name, name)) return true;
    return false;
}

static const char *nearest(void *user, pbay_str connector, pbay_str name)
{
    struct pb_generation *g = user;
    const char *names[256];
    size_t n = 0;
    if (connector.n) return NULL; /* the message of an unknown action names what there is elsewhere */
    for (size_t i = 0; i < pb_registry_n_connectors(g->registry) && n < 128; i++)
        names[n++] = pb_arena_str(&g->mem, pb_connector_name(pb_registry_connector_at(g->registry, i))).p;
    for (size_t i = 0; i < g->site->notifies.n && n < 256; i++)
        names[n++] = pb_arena_str(&g->mem, g->site->notifies.list[i].name).p;
    return pb_nearest(name, names, n);
}

/* Of apps that name none: the configured one, or the only one that can reload. */
static pbay_str connector_of_apps(struct pb_generation *g)
{
    pbay_str found = pb_config_get_str(g->site->chains, "connector");
    size_t n = 0;
    if (found.n) return found;
    for (size_t i = 0; i < pb_registry_n_connectors(g->registry); i++) {
        pbay_str name = pb_connector_name(pb_registry_connector_at(g->registry, i));
        if (!has_action(g, name, PB_STR("reload"))) continue;
        found = name;
        n++;
    }
    return n == 1 ? found : pb_str("", 0);
}

int pb_generation_load_chains(struct pb_generation *g, struct pb_err *err)
{
    const struct pbay_config *cfg = g->site->chains;
    const struct pb_chain_names names = {g,         is_connector, has_action,           has_event,
                                         is_target, nearest,      connector_of_apps(g), takes};
    uint32_t n = pb_config_count(cfg, "files");
    pbay_str *files = pb_arena_alloc(&g->mem, (n + 1) * sizeof *files), key,
             alert = pb_config_get_str(cfg, "alert");
    for (uint32_t i = 0; i < n; i++) files[i] = pb_config_item(cfg, "files", i, &key);
    if (alert.n && !is_target(g, alert))
        return pb_config_fail(cfg, "alert", err, "there is no [notify \"%.*s\"]", PB_FMT(alert));
    pbay_str apps = pb_config_get_str(cfg, "connector");
    if (apps.n && !is_connector(g, apps))
        return pb_config_fail(cfg, "connector", err, "there is no [connector \"%.*s\"]", PB_FMT(apps));
    const struct pb_chains_options o = {.dir = g->site->script_dir,
                                        .files = n ? files : NULL,
                                        .n_files = n,
                                        .names = &names,
                                        .memory = (size_t)pb_config_get_int(g->site->scripts, "memory"),
                                        .budget_ms = pb_config_get_int(cfg, "budget")};
    if (pb_chains_load(&o, &g->chains, err) == 0) return 0;
    return pb_fail_in(err, "%s", g->site->script_dir);
}

void pb_generation_chain_work(struct pb_generation *g, struct pb_chain_work_config *out)
{
    const struct pb_site_parts *parts = &g->site->notifies;
    static const enum pb_notify_format formats[] = {PB_NOTIFY_JSON, PB_NOTIFY_SLACK, PB_NOTIFY_TEAMS};
    struct pb_notify_target *t = pb_arena_zalloc(&g->mem, (parts->n + 1) * sizeof *t);
    for (size_t i = 0; i < parts->n; i++)
        t[i] = (struct pb_notify_target){.name = parts->list[i].name,
                                         .url = pb_config_get_str(parts->list[i].cfg, "url"),
                                         .format = formats[pb_config_get_int(parts->list[i].cfg, "format")],
                                         .log_lines =
                                             (uint32_t)pb_config_get_int(parts->list[i].cfg, "log_lines")};
    *out = (struct pb_chain_work_config){.durable = g->env.durable,
                                         .metrics = g->env.metrics,
                                         .actions = g->actions,
                                         .http = g->env.http,
                                         .chains = g->chains,
                                         .targets = t,
                                         .n_targets = parts->n,
                                         .alert = pb_config_get_str(g->site->chains, "alert")};
    g->chains = NULL;
}
