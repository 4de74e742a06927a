/* SPDX-License-Identifier: MIT */
#include "plugin/describe.h"

#include <string.h>

#include "base/mem.h"
#include "plugin/apart.h"
#include "plugin/apart_wire.h"
#include "plugin/tables.h"

/* What a plugin has beside what every one has. */
enum {
    FUNCTIONS = 1,
    ROUTES = 2,
    COMMANDS = 4,
    ACTIONS = 8,
    EVENTS = 16,
    SECRETS = 32,
};
enum {
    SUBMIT = 1,
    OPEN = 2,
    CALL_CANCEL = 8,
    ROUTE_CANCEL = 16,
    COMMAND_CANCEL = 32,
    ACTION_POLL = 64,
    ACTION_LOOKUP = 128,
    ACTION_CANCEL = 256,
    EVENT_CANCEL = 512,
    START = 1024,
};

/* ------------------------------------------------------------------------------------------------ writing */

static uint32_t parts(const struct pb_plugin *p)
{
    return (p->has_functions ? FUNCTIONS : 0) | (p->has_routes ? ROUTES : 0) |
           (p->has_commands ? COMMANDS : 0) | (p->has_actions ? ACTIONS : 0) | (p->has_events ? EVENTS : 0) |
           (p->has_secrets ? SECRETS : 0);
}

static uint32_t abilities(const struct pb_plugin *p)
{
    return (p->functions.submit ? SUBMIT : 0) |
           (p->functions.open && p->functions.push && p->functions.end ? OPEN : 0) |
           (p->functions.cancel ? CALL_CANCEL : 0) | (p->routes.cancel ? ROUTE_CANCEL : 0) |
           (p->commands.cancel ? COMMAND_CANCEL : 0) | (p->actions.poll ? ACTION_POLL : 0) |
           (p->actions.lookup ? ACTION_LOOKUP : 0) | (p->actions.cancel ? ACTION_CANCEL : 0) |
           (p->events.cancel ? EVENT_CANCEL : 0) | (p->entry.start ? START : 0);
}

void pb_describe(const struct pb_plugin *p, struct pb_buf *b)
{
    const pbay_descriptor *d = &p->descriptor;
    pb_put_u32(b, parts(p));
    pb_put_u32(b, abilities(p));
    const char *texts[] = {d->name, d->version, d->vendor, d->license, d->summary, d->url};
    for (size_t i = 0; i < PB_COUNTOF(texts); i++) pb_put_cstr(b, texts[i]);
    pb_put_options(b, &d->options);
    pb_put_u32(b, p->has_functions ? p->functions.n_operations : 0);
    for (uint32_t i = 0; p->has_functions && i < p->functions.n_operations; i++) {
        const pbay_operation *o = &p->operations[i];
        pb_put_cstr(b, o->name);
        pb_put_cstr(b, o->doc);
        pb_put_u32(b, o->shape);
        pb_put_u32(b, o->flags);
        pb_put_options(b, &o->options);
    }
    pb_put_u32(b, p->has_routes ? p->routes.n_routes : 0);
    for (uint32_t i = 0; p->has_routes && i < p->routes.n_routes; i++) {
        const pbay_route *r = &p->route_table[i];
        pb_put_cstr(b, r->method);
        pb_put_cstr(b, r->suffix);
        pb_put_cstr(b, r->doc);
        pb_put_u32(b, r->auth);
        pb_put_u32(b, r->body);
        pb_put_u64(b, r->max_body);
    }
    pb_put_u32(b, p->has_commands ? p->commands.n_commands : 0);
    for (uint32_t i = 0; p->has_commands && i < p->commands.n_commands; i++) {
        const pbay_command *c = &p->command_table[i];
        pb_put_cstr(b, c->verb);
        pb_put_cstr(b, c->doc);
        pb_put_u32(b, c->flags);
        pb_put_options(b, &c->arguments);
    }
    pb_put_u32(b, p->has_actions ? p->actions.n_actions : 0);
    for (uint32_t i = 0; p->has_actions && i < p->actions.n_actions; i++) {
        const pbay_action *a = &p->action_table[i];
        pb_put_cstr(b, a->name);
        pb_put_cstr(b, a->doc);
        pb_put_u32(b, a->repeat);
        pb_put_u32(b, a->flags);
        pb_put_options(b, &a->arguments);
    }
    pb_put_u32(b, p->has_events ? p->events.n_sources : 0);
    for (uint32_t i = 0; p->has_events && i < p->events.n_sources; i++) {
        const pbay_source *s = &p->source_table[i];
        pb_put_cstr(b, s->name);
        pb_put_cstr(b, s->doc);
        pb_put_i64(b, s->interval_ms);
        pb_put_u32(b, s->flags);
    }
    pb_put_u32(b, p->has_secrets ? p->secrets.n_schemes : 0);
    for (uint32_t i = 0; p->has_secrets && i < p->secrets.n_schemes; i++)
        pb_put_cstr(b, p->secrets.schemes[i]);
}

/* ------------------------------------------------------------------------------------------------ reading */

/* A description as a plugin would give it: what pb_tables_read then checks. */
struct told {
    uint32_t parts;
    pbay_entry entry;
    pbay_descriptor descriptor;
    pbay_functions_1 functions;
    pbay_routes_1 routes;
    pbay_commands_1 commands;
    pbay_actions_1 actions;
    pbay_events_1 events;
    pbay_secrets_1 secrets;
};

/* The one that is being read: extension() has no other way to know. */
static _Thread_local const struct told *reading;

static const void *told_extension(const char *id)
{
    const struct told *t = reading;
    const struct {
        const char *id;
        const void *table;
        uint32_t part;
    } all[] = {
        {PBAY_EXT_FUNCTIONS, &t->functions, FUNCTIONS}, {PBAY_EXT_ROUTES, &t->routes, ROUTES},
        {PBAY_EXT_COMMANDS, &t->commands, COMMANDS},    {PBAY_EXT_ACTIONS, &t->actions, ACTIONS},
        {PBAY_EXT_EVENTS, &t->events, EVENTS},          {PBAY_EXT_SECRETS, &t->secrets, SECRETS},
    };
    for (size_t i = 0; i < PB_COUNTOF(all); i++)
        if (!strcmp(id, all[i].id)) return t->parts & all[i].part ? all[i].table : NULL;
    /* How it is, the process says also for plugins that do not. */
    return strcmp(id, PBAY_EXT_HEALTH) ? NULL : &pb_apart_health;
}

static void read_arrays(struct told *t, struct pb_in *in, struct pb_arena *mem)
{
    uint32_t n = pb_in_count(in, 20);
    pbay_operation *operations = pb_arena_zalloc(mem, (n + (size_t)1) * sizeof *operations);
    t->functions.operations = operations;
    t->functions.n_operations = n;
    t->functions.operation_stride = sizeof *operations;
    for (uint32_t i = 0; i < n; i++) {
        operations[i].name = pb_in_cstr(in, mem);
        operations[i].doc = pb_in_cstr(in, mem);
        operations[i].shape = pb_in_u32(in);
        operations[i].flags = pb_in_u32(in);
        operations[i].options = pb_in_options(in, mem);
    }
    n = pb_in_count(in, 28);
    pbay_route *routes = pb_arena_zalloc(mem, (n + (size_t)1) * sizeof *routes);
    t->routes.routes = routes;
    t->routes.n_routes = n;
    t->routes.route_stride = sizeof *routes;
    for (uint32_t i = 0; i < n; i++) {
        routes[i].method = pb_in_cstr(in, mem);
        routes[i].suffix = pb_in_cstr(in, mem);
        routes[i].doc = pb_in_cstr(in, mem);
        routes[i].auth = pb_in_u32(in);
        routes[i].body = pb_in_u32(in);
        routes[i].max_body = pb_in_u64(in);
    }
    n = pb_in_count(in, 16);
    pbay_command *commands = pb_arena_zalloc(mem, (n + (size_t)1) * sizeof *commands);
    t->commands.commands = commands;
    t->commands.n_commands = n;
    t->commands.command_stride = sizeof *commands;
    for (uint32_t i = 0; i < n; i++) {
        commands[i].verb = pb_in_cstr(in, mem);
        commands[i].doc = pb_in_cstr(in, mem);
        commands[i].flags = pb_in_u32(in);
        commands[i].arguments = pb_in_options(in, mem);
    }
    n = pb_in_count(in, 20);
    pbay_action *actions = pb_arena_zalloc(mem, (n + (size_t)1) * sizeof *actions);
    t->actions.actions = actions;
    t->actions.n_actions = n;
    t->actions.action_stride = sizeof *actions;
    for (uint32_t i = 0; i < n; i++) {
        actions[i].name = pb_in_cstr(in, mem);
        actions[i].doc = pb_in_cstr(in, mem);
        actions[i].repeat = pb_in_u32(in);
        actions[i].flags = pb_in_u32(in);
        actions[i].arguments = pb_in_options(in, mem);
    }
    n = pb_in_count(in, 20);
    pbay_source *sources = pb_arena_zalloc(mem, (n + (size_t)1) * sizeof *sources);
    t->events.sources = sources;
    t->events.n_sources = n;
    t->events.source_stride = sizeof *sources;
    for (uint32_t i = 0; i < n; i++) {
        sources[i].name = pb_in_cstr(in, mem);
        sources[i].doc = pb_in_cstr(in, mem);
        sources[i].interval_ms = pb_in_i64(in);
        sources[i].flags = pb_in_u32(in);
    }
    n = pb_in_count(in, 4);
    const char **schemes = pb_arena_zalloc(mem, (n + (size_t)1) * sizeof *schemes);
    t->secrets.schemes = schemes;
    t->secrets.n_schemes = n;
    for (uint32_t i = 0; i < n; i++) schemes[i] = pb_in_cstr(in, mem);
}

static void read_told(struct told *t, struct pb_in *in, struct pb_arena *mem)
{
    t->parts = pb_in_u32(in);
    uint32_t can = pb_in_u32(in);
    t->entry = pb_apart_entry;
    t->entry.descriptor = &t->descriptor;
    t->entry.extension = told_extension;
    if (!(can & START)) t->entry.start = NULL;
    t->functions = pb_apart_functions;
    if (!(can & SUBMIT)) t->functions.submit = NULL;
    if (!(can & OPEN)) t->functions.open = NULL;
    if (!(can & CALL_CANCEL)) t->functions.cancel = NULL;
    t->routes = pb_apart_routes;
    if (!(can & ROUTE_CANCEL)) t->routes.cancel = NULL;
    t->commands = pb_apart_commands;
    if (!(can & COMMAND_CANCEL)) t->commands.cancel = NULL;
    t->actions = pb_apart_actions;
    if (!(can & ACTION_POLL)) t->actions.poll = NULL;
    if (!(can & ACTION_LOOKUP)) t->actions.lookup = NULL;
    if (!(can & ACTION_CANCEL)) t->actions.cancel = NULL;
    t->events = pb_apart_events;
    if (!(can & EVENT_CANCEL)) t->events.cancel = NULL;
    t->secrets = pb_apart_secrets;
    pbay_descriptor *d = &t->descriptor;
    d->struct_size = sizeof *d;
    d->name = pb_in_cstr(in, mem);
    d->version = pb_in_cstr(in, mem);
    d->vendor = pb_in_cstr(in, mem);
    d->license = pb_in_cstr(in, mem);
    d->summary = pb_in_cstr(in, mem);
    d->url = pb_in_cstr(in, mem);
    d->options = pb_in_options(in, mem);
    read_arrays(t, in, mem);
}

int pb_described(pbay_str description, const char *path, struct pb_plugin **out, struct pb_err *err)
{
    struct pb_in in = pb_in_of(description);
    struct pb_plugin *p = pb_zalloc(sizeof *p);
    p->path = pb_strdup(path);
    p->fd = -1;
    p->apart = true;
    struct told *t = pb_arena_zalloc(&p->mem, sizeof *t);
    read_told(t, &in, &p->mem);
    int rc = in.bad || in.p != in.end
                 ? pb_fail(err, PBAY_INTERNAL, "%s: what it says of itself is no description", path)
                 : 0;
    if (!rc) {
        reading = t;
        rc = pb_tables_read(p, &t->entry, err);
        reading = NULL;
        if (rc) pb_fail_in(err, "%s", path);
    }
    if (rc) {
        pb_plugin_free(p);
        return -1;
    }
    *out = p;
    return 0;
}
