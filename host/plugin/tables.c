/* SPDX-License-Identifier: MIT */
#include "plugin/tables.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "data/options.h"
#include "plugin/connector.h"
#include "plugin/tables_priv.h"

/* No plugin comes near; what is beyond is damage. */
enum { OPERATIONS_MAX = 1024, OPTIONS_MAX = 4096, ROUTES_MAX = 1024, COMMANDS_MAX = 256, NAME_MAX_LEN = 64 };

/* Sizes as of ABI 1.0: what every plugin has. Tables grow, these numbers do not. */
enum {
    ENTRY_1_0 = sizeof(pbay_entry),
    DESCRIPTOR_1_0 = sizeof(pbay_descriptor),
    OPTION_1_0 = sizeof(pbay_option),
    FUNCTIONS_1_0 = sizeof(pbay_functions_1),
    OPERATION_1_0 = sizeof(pbay_operation),
    ROUTES_1_0 = sizeof(pbay_routes_1),
    ROUTE_1_0 = sizeof(pbay_route),
    HEALTH_1_0 = sizeof(pbay_health_1),
    COMMANDS_1_0 = sizeof(pbay_commands_1),
    SECRETS_1_0 = sizeof(pbay_secrets_1),
    COMMAND_1_0 = sizeof(pbay_command),
};

int pb_table_short(struct pb_err *err, const char *table, const char *field, size_t got, size_t want)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s.%s is %zu, ABI 1.0 has %zu: the table is truncated", table,
                   field, got, want);
}

/* A table into the size known here; what the plugin does not have is zero. */
int pb_table_copy(void *dst, size_t size, const void *src, size_t min, const char *table, struct pb_err *err)
{
    uint32_t has;
    memcpy(&has, src, sizeof has); /* struct_size is the first field of every table but the entry */
    if (has < min) return pb_table_short(err, table, "struct_size", has, min);
    memset(dst, 0, size);
    memcpy(dst, src, has < size ? has : size);
    return 0;
}

/* An array into this host's stride. Returns owned, NULL for an empty one or with err (*bad). */
void *pb_table_array(const void *src, uint32_t n, uint32_t stride, size_t size, size_t min, uint32_t max,
                     const char *array, bool *bad, struct pb_err *err)
{
    *bad = true;
    if (n > max) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "%s has %u items, at most %u are possible", array, n, max);
        return NULL;
    }
    if (n && !src) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "%s is NULL with %u items", array, n);
        return NULL;
    }
    if (n && stride < min) {
        pb_table_short(err, array, "stride", stride, min);
        return NULL;
    }
    *bad = false;
    if (!n) return NULL;
    char *out = pb_zalloc(n * size);
    for (uint32_t i = 0; i < n; i++)
        memcpy(out + i * size, (const char *)src + (size_t)i * stride, stride < size ? stride : size);
    return out;
}

/* [a-z][a-z0-9_]* */
bool pb_table_name(const char *s)
{
    if (!s || s[0] < 'a' || s[0] > 'z') return false;
    size_t n = strlen(s);
    return n <= NAME_MAX_LEN && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

bool pb_table_text(const char *s)
{
    return s && *s && pb_utf8_valid(pb_str_c(s));
}

static int own_options(pbay_option_table *t, const char *what, struct pb_err *err)
{
    bool bad;
    pbay_option *own = pb_table_array(t->options, t->count, t->stride, sizeof *own, OPTION_1_0, OPTIONS_MAX,
                                      what, &bad, err);
    t->options = own;
    t->stride = sizeof *own;
    if (bad) t->count = 0;
    return bad ? -1 : 0;
}

static int read_options(pbay_option_table *t, const char *what, bool of_connector, struct pb_err *err)
{
    if (own_options(t, what, err)) return -1;
    const pbay_option_table *tables[] = {of_connector ? &pb_connector_options : NULL, t};
    if (pb_options_lint(tables, PB_COUNTOF(tables), err)) return pb_fail_in(err, "%s", what);
    return 0;
}

int pb_table_arguments(pbay_option_table *t, struct pb_err *err)
{
    if (own_options(t, "arguments", err)) return -1;
    return pb_options_lint_arguments(t, err) ? pb_fail_in(err, "arguments") : 0;
}

static int read_descriptor(struct pb_plugin *p, struct pb_err *err)
{
    if (!p->entry.descriptor) return pb_fail(err, PBAY_INVALID_ARGUMENT, "entry.descriptor is NULL");
    if (pb_table_copy(&p->descriptor, sizeof p->descriptor, p->entry.descriptor, DESCRIPTOR_1_0, "descriptor",
                      err)) {
        memset(&p->descriptor, 0, sizeof p->descriptor);
        return -1;
    }
    pbay_descriptor *d = &p->descriptor;
    if (read_options(&d->options, "descriptor.options", true, err)) return -1;
    if (!pb_table_name(d->name))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "descriptor.name is \"%.80s\", wanted is [a-z][a-z0-9_]*",
                       d->name ? d->name : "");
    p->name = d->name;
    const struct {
        const char *field, *text;
    } texts[] = {
        {"version", d->version}, {"vendor", d->vendor}, {"license", d->license}, {"summary", d->summary}};
    for (size_t i = 0; i < PB_COUNTOF(texts); i++)
        if (!pb_table_text(texts[i].text))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "descriptor.%s is empty or not UTF-8", texts[i].field);
    return 0;
}

int pb_table_missing(struct pb_err *err, const char *table, const char *member, const char *because)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s.%s is NULL%s%s", table, member, *because ? ", but " : "",
                   because);
}

static int check_operation(const struct pb_plugin *p, uint32_t i, struct pb_err *err)
{
    const pbay_functions_1 *f = &p->functions;
    const pbay_operation *op = &p->operations[i];
    if (!pb_table_name(op->name))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "functions.operations[%u].name is \"%.80s\", wanted is [a-z][a-z0-9_]*", i,
                       op->name ? op->name : "");
    for (uint32_t j = 0; j < i; j++)
        if (!strcmp(p->operations[j].name, op->name))
            return pb_fail(err, PBAY_INVALID_ARGUMENT,
                           "functions.operations[%u] and [%u] are both named \"%s\"", j, i, op->name);
    if (!pb_table_text(op->doc))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "operation \"%s\": doc is empty or not UTF-8", op->name);
    if (op->shape < PBAY_SHAPE_MAP || op->shape > PBAY_SHAPE_TABLE)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "operation \"%s\": shape is %u, known are 1 to 3",
                       op->name, op->shape);
    if (op->flags & ~(PBAY_OPF_PER_USER | PBAY_OPF_EFFECTS))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "operation \"%s\": flags are 0x%x, known are 0x%x",
                       op->name, op->flags, PBAY_OPF_PER_USER | PBAY_OPF_EFFECTS);
    if (op->shape == PBAY_SHAPE_MAP)
        return f->submit ? 0 : pb_table_missing(err, "functions", "submit", "there are maps");
    const char *because = "there are aggregates or tables";
    if (!f->open) return pb_table_missing(err, "functions", "open", because);
    if (!f->push) return pb_table_missing(err, "functions", "push", because);
    return f->end ? 0 : pb_table_missing(err, "functions", "end", because);
}

static int read_functions(struct pb_plugin *p, const void *table, struct pb_err *err)
{
    if (pb_table_copy(&p->functions, sizeof p->functions, table, FUNCTIONS_1_0, PBAY_EXT_FUNCTIONS, err))
        return -1;
    pbay_functions_1 *f = &p->functions;
    bool bad;
    p->operations = pb_table_array(f->operations, f->n_operations, f->operation_stride, sizeof *p->operations,
                                   OPERATION_1_0, OPERATIONS_MAX, "functions.operations", &bad, err);
    if (bad) f->n_operations = 0;
    f->operations = p->operations;
    f->operation_stride = sizeof *p->operations;
    if (bad) return -1;
    p->has_functions = true;
    /* First all option tables become ours, so that freeing knows whose they are. */
    int rc = 0;
    for (uint32_t i = 0; i < f->n_operations; i++) {
        struct pb_err mine;
        if (read_options(&p->operations[i].options, "options", false, &mine) && !rc) {
            *err = mine;
            rc = pb_fail_in(err, "operation %u", i);
        }
    }
    for (uint32_t i = 0; !rc && i < f->n_operations; i++) rc = check_operation(p, i, err);
    return rc;
}

static bool good_methods(const char *s)
{
    if (!s || !*s) return false;
    for (size_t word = 0;; s++) {
        if (*s >= 'A' && *s <= 'Z') {
            word++;
        } else {
            if (!word || (*s && *s != '|')) return false;
            if (!*s) return true;
            word = 0;
        }
    }
}

static bool good_suffix(const char *s)
{
    if (!s || (*s && *s != '/')) return false;
    for (const char *p = s; *p; p++) {
        if (*p <= ' ' || *p > '~' || *p == '?' || *p == '#' || *p == '%') return false;
        if (*p == '*' && (p[-1] != '/' || p[1])) return false;
    }
    return true;
}

static int check_route(const struct pb_plugin *p, uint32_t i, struct pb_err *err)
{
    const pbay_route *r = &p->route_table[i];
    if (!good_methods(r->method))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "routes[%u].method is \"%.40s\", wanted is \"POST\" or \"GET|POST\"", i,
                       r->method ? r->method : "");
    if (!good_suffix(r->suffix))
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "routes[%u].suffix is \"%.80s\", wanted is \"\" or a path that begins with / and may end in /*",
            i, r->suffix ? r->suffix : "");
    if (r->auth < PBAY_AUTH_HOST || r->auth > PBAY_AUTH_EITHER)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "routes[%u].auth is %u, known are 1 to 4", i, r->auth);
    if (r->body < PBAY_BODY_RAW || r->body > PBAY_BODY_SNIFFED)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "routes[%u].body is %u, known are 1 to 3", i, r->body);
    for (uint32_t j = 0; j < i; j++)
        if (!strcmp(p->route_table[j].suffix, r->suffix) && !strcmp(p->route_table[j].method, r->method))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "routes[%u] and [%u] are both %s \"%s\"", j, i,
                           r->method, r->suffix);
    return 0;
}

static int read_routes(struct pb_plugin *p, const void *table, struct pb_err *err)
{
    if (pb_table_copy(&p->routes, sizeof p->routes, table, ROUTES_1_0, PBAY_EXT_ROUTES, err)) return -1;
    pbay_routes_1 *r = &p->routes;
    bool bad;
    p->route_table = pb_table_array(r->routes, r->n_routes, r->route_stride, sizeof *p->route_table,
                                    ROUTE_1_0, ROUTES_MAX, "routes.routes", &bad, err);
    r->routes = p->route_table;
    r->route_stride = sizeof *p->route_table;
    if (bad) return -1;
    p->has_routes = true;
    if (!r->handle) return pb_table_missing(err, "routes", "handle", "");
    for (uint32_t i = 0; i < r->n_routes; i++)
        if (check_route(p, i, err)) return -1;
    return 0;
}

static int read_health(struct pb_plugin *p, const void *table, struct pb_err *err)
{
    if (pb_table_copy(&p->health, sizeof p->health, table, HEALTH_1_0, PBAY_EXT_HEALTH, err)) return -1;
    p->has_health = true;
    return p->health.state ? 0 : pb_table_missing(err, "health", "state", "");
}

static int read_secrets(struct pb_plugin *p, const void *table, struct pb_err *err)
{
    static const char *const OURS[] = {"env", "file", "http", "https", "s3", "sqlite"};
    if (pb_table_copy(&p->secrets, sizeof p->secrets, table, SECRETS_1_0, PBAY_EXT_SECRETS, err)) return -1;
    const pbay_secrets_1 *s = &p->secrets;
    p->has_secrets = true;
    if (!s->resolve) return pb_table_missing(err, "secrets", "resolve", "");
    if (!s->n_schemes || s->n_schemes > 64 || !s->schemes)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "secrets.n_schemes is %u, wanted are 1 to 64",
                       s->n_schemes);
    for (uint32_t i = 0; i < s->n_schemes; i++) {
        const char *name = s->schemes[i];
        if (!pb_table_name(name) || strchr(name, '_'))
            return pb_fail(err, PBAY_INVALID_ARGUMENT,
                           "secrets.schemes[%u] is \"%.80s\", wanted is [a-z][a-z0-9]*", i, name ? name : "");
        for (size_t k = 0; k < PB_COUNTOF(OURS); k++)
            if (!strcmp(name, OURS[k]))
                return pb_fail(err, PBAY_INVALID_ARGUMENT,
                               "secrets.schemes[%u] is \"%s\", which means something else", i, name);
    }
    return 0;
}

/* One to three words of [a-z][a-z0-9-]*, a blank between. */
static bool good_verb(const char *s)
{
    int words = 1;
    if (!s || strlen(s) > NAME_MAX_LEN) return false;
    for (bool first = true;; s++) {
        if (*s >= 'a' && *s <= 'z')
            first = false;
        else if (first)
            return false;
        else if (*s == ' ' && words++ < 3)
            first = true;
        else if (!*s)
            return true;
        else if (*s != '-' && (*s < '0' || *s > '9'))
            return false;
    }
}

static int check_command(const struct pb_plugin *p, uint32_t i, struct pb_err *err)
{
    static const char *const taken[] = {"config", "connector", "state", "help"};
    const pbay_command *c = &p->command_table[i];
    if (!good_verb(c->verb))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "commands[%u].verb is \"%.80s\", wanted are one to three words of [a-z][a-z0-9-]*", i,
                       c->verb ? c->verb : "");
    for (uint32_t j = 0; j < i; j++)
        if (!strcmp(p->command_table[j].verb, c->verb))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "commands[%u] and [%u] are both \"%s\"", j, i,
                           c->verb);
    if (!pb_table_text(c->doc))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "command \"%s\": doc is empty or not UTF-8", c->verb);
    const uint32_t flags = PBAY_COMMAND_STARTED | PBAY_COMMAND_BOUND | PBAY_COMMAND_STORE | PBAY_COMMAND_EACH;
    if (c->flags & ~flags)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "command \"%s\": flags are 0x%x, known are 0x%x", c->verb,
                       c->flags, flags);
    for (uint32_t k = 0; k < c->arguments.count; k++) {
        const pbay_option *o = &c->arguments.options[k];
        if (o->type == PBAY_OPT_FAMILY)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "command \"%s\": argument \"%s\" is a FAMILY", c->verb,
                           o->name);
        if (o->type == PBAY_OPT_BOOL &&
            ((o->flags & PBAY_OPTF_REQUIRED) || (o->dflt && strcmp(o->dflt, "no"))))
            return pb_fail(err, PBAY_INVALID_ARGUMENT,
                           "command \"%s\": argument \"%s\" is a BOOL, its default must be \"no\" or none",
                           c->verb, o->name);
        for (size_t t = 0; t < PB_COUNTOF(taken); t++)
            if (!strcmp(o->name, taken[t]))
                return pb_fail(err, PBAY_INVALID_ARGUMENT,
                               "command \"%s\": argument \"%s\" is the host's own", c->verb, o->name);
    }
    return 0;
}

static int read_commands(struct pb_plugin *p, const void *table, struct pb_err *err)
{
    if (pb_table_copy(&p->commands, sizeof p->commands, table, COMMANDS_1_0, PBAY_EXT_COMMANDS, err))
        return -1;
    pbay_commands_1 *c = &p->commands;
    bool bad;
    p->command_table = pb_table_array(c->commands, c->n_commands, c->command_stride, sizeof *p->command_table,
                                      COMMAND_1_0, COMMANDS_MAX, "commands.commands", &bad, err);
    if (bad) c->n_commands = 0;
    c->commands = p->command_table;
    c->command_stride = sizeof *p->command_table;
    if (bad) return -1;
    p->has_commands = true;
    int rc = 0;
    for (uint32_t i = 0; i < c->n_commands; i++) {
        struct pb_err mine;
        if (read_options(&p->command_table[i].arguments, "arguments", false, &mine) && !rc) {
            *err = mine;
            rc = pb_fail_in(err, "command %u", i);
        }
    }
    if (!rc && !c->run) rc = pb_table_missing(err, "commands", "run", "");
    for (uint32_t i = 0; !rc && i < c->n_commands; i++) rc = check_command(p, i, err);
    return rc;
}

static int read_extension(struct pb_plugin *p, const char *id,
                          int (*read)(struct pb_plugin *, const void *, struct pb_err *), struct pb_err *err)
{
    const void *table = p->entry.extension(id), *again = p->entry.extension(id);
    if (table != again)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "extension(\"%s\") answers %p, then %p: it must stay the same", id, table, again);
    if (!table || !read(p, table, err)) return 0;
    return pb_fail_in(err, "%s", id);
}

/* The prefix alone is believed here. */
static int check_prefix(const pbay_entry *e, struct pb_err *err)
{
    if (e->magic != PBAY_MAGIC)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "entry.magic is 0x%08x, wanted is 0x%08x", e->magic,
                       PBAY_MAGIC);
    if (e->abi_major != PBAY_ABI_MAJOR)
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "entry.abi_major is %u, this gateway has %u: the plugin must be built with an SDK of ABI %u.x",
            (unsigned)e->abi_major, PBAY_ABI_MAJOR, PBAY_ABI_MAJOR);
    if (e->struct_size < ENTRY_1_0)
        return pb_table_short(err, "entry", "struct_size", e->struct_size, ENTRY_1_0);
    return 0;
}

int pb_tables_read(struct pb_plugin *p, const pbay_entry *entry, struct pb_err *err)
{
    if (!entry) return pb_fail(err, PBAY_INVALID_ARGUMENT, "pbay_plugin_entry answers NULL");
    if (check_prefix(entry, err)) return -1;
    memcpy(&p->entry, entry, entry->struct_size < sizeof p->entry ? entry->struct_size : sizeof p->entry);
    if (p->entry.flags)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "entry.flags is 0x%x, wanted is 0", p->entry.flags);
    if (read_descriptor(p, err)) return -1;
    if (!p->entry.create) return pb_table_missing(err, "entry", "create", "");
    if (!p->entry.destroy) return pb_table_missing(err, "entry", "destroy", "");
    if (!p->entry.extension) return pb_table_missing(err, "entry", "extension", "");
    if (p->entry.extension("pbay.nothing/0"))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "extension(\"pbay.nothing/0\") is not NULL: it must answer NULL to "
                       "ids that it does not know");
    if (read_extension(p, PBAY_EXT_FUNCTIONS, read_functions, err)) return -1;
    if (read_extension(p, PBAY_EXT_ROUTES, read_routes, err)) return -1;
    if (read_extension(p, PBAY_EXT_COMMANDS, read_commands, err)) return -1;
    if (read_extension(p, PBAY_EXT_ACTIONS, pb_tables_actions, err)) return -1;
    if (read_extension(p, PBAY_EXT_EVENTS, pb_tables_events, err)) return -1;
    if (read_extension(p, PBAY_EXT_SECRETS, read_secrets, err)) return -1;
    return read_extension(p, PBAY_EXT_HEALTH, read_health, err);
}
