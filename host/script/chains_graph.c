/* SPDX-License-Identifier: MIT */
/* The model checked: names, cycles, what fan-in counts, and the indexes that events are looked up in. */
#include "script/chains_priv.h"

/* Nodes of the graph: apps, chains (their end), actions (their end), "any app", links. */
struct walk {
    struct pb_chains *c;
    struct pb_chain_graph *g;
    struct pb_arena mem;
    struct pb_map actions; /* "connector.action" -> index + 1 */
    uint32_t n_actions, n_nodes;
    uint32_t *first, *to; /* edges of node i: to[first[i]] .. to[first[i + 1] - 1] */
    uint32_t *order;      /* nodes, sources before what follows them */
    uint32_t n_order;
};

static int fail_at(struct pb_err *err, struct pb_place at, const char *fmt, ...) PB_PRINTF(3, 4);
static int fail_at(struct pb_err *err, struct pb_place at, const char *fmt, ...)
{
    va_list ap;
    char text[PB_ERR_TEXT];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s:%u: %s", PB_FMT(at.file), at.line, text);
}

pbay_str pb_chains_key(struct pb_arena *mem, pbay_str a, pbay_str b)
{
    char *p = pb_arena_alloc(mem, a.n + b.n + 2);
    memcpy(p, a.p ? a.p : "", a.n);
    p[a.n] = 0;
    memcpy(p + a.n + 1, b.p ? b.p : "", b.n);
    p[a.n + b.n + 1] = 0;
    return pb_str(p, a.n + b.n + 1);
}

static void *number(size_t i)
{
    return (void *)(uintptr_t)(i + 1);
}

static size_t index_of(void *value)
{
    return (size_t)(uintptr_t)value - 1;
}

static pbay_str lower(struct pb_arena *mem, pbay_str s)
{
    pbay_str out = pb_arena_str(mem, s);
    char *p = (char *)(uintptr_t)out.p;
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z') p[i] = (char)(p[i] + 32);
    return out;
}

/* ------------------------------------------------------------------------ names */

static bool is_target(const struct pb_chain_names *n, pbay_str name)
{
    return n && n->notify && n->notify(n->user, name);
}

/* "; did you mean "transform"?", or nothing */
static const char *near_name(struct pb_chains *c, pbay_str name)
{
    const struct pb_chain_graph *g = &c->dsl.g;
    const char **names = pb_array((size_t)g->n_apps + g->n_chains + 1, sizeof *names);
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_apps; i++) names[n++] = g->apps[i].name.p;
    for (uint32_t i = 0; i < g->n_chains; i++) names[n++] = g->chains[i].name.p;
    const char *near = pb_nearest(name, names, n);
    pb_free(names);
    return near ? pb_arena_printf(&c->scratch, "; did you mean \"%s\"?", near) : "";
}

static const char *near_known(struct pb_chains *c, const struct pb_chain_names *n, pbay_str connector,
                              pbay_str name)
{
    const char *near = n->near ? n->near(n->user, connector, name) : NULL;
    return near ? pb_arena_printf(&c->scratch, "; did you mean \"%s\"?", near) : "";
}

static int check_connector(struct pb_chains *c, const struct pb_chain_names *n, struct pb_place at,
                           pbay_str name, struct pb_err *err)
{
    if (!n || !n->connector || n->connector(n->user, name)) return 0;
    return fail_at(err, at, "there is no connector \"%.*s\" in the configuration%s", PB_FMT(name),
                   near_known(c, n, pb_str("", 0), name));
}

static int apps(struct pb_chains *c, const struct pb_chain_names *n, struct pb_err *err)
{
    struct pb_chain_graph *g = &c->dsl.g;
    for (uint32_t i = 0; i < g->n_apps; i++) {
        struct pb_chain_app *a = &g->apps[i];
        if (!pb_map_add(&c->apps, a->name, number(i))) {
            struct pb_place first = g->apps[index_of(pb_map_get(&c->apps, a->name))].at;
            return fail_at(err, a->at, "app \"%.*s\" stands at %.*s:%u already", PB_FMT(a->name),
                           PB_FMT(first.file), first.line);
        }
        if (is_target(n, a->name))
            return fail_at(err, a->at,
                           "app \"%.*s\" has the name of a [notify] target; give one of them another",
                           PB_FMT(a->name));
        if (!a->connector.n) {
            a->connector = n || c->connector_of_apps.n ? c->connector_of_apps : PB_STR("qlik");
            if (!a->connector.n)
                return fail_at(
                    err, a->at,
                    "app \"%.*s\" does not say connector = \"…\", and there is not just one for apps",
                    PB_FMT(a->name));
            a->connector = pb_arena_str(&c->mem, a->connector);
        }
        if (check_connector(c, n, a->at, a->connector, err) != 0) return -1;
        if (n && n->action && !n->action(n->user, a->connector, PB_STR("reload")))
            return fail_at(err, a->at, "connector \"%.*s\" has no action \"reload\": it has no apps",
                           PB_FMT(a->connector));
        struct pb_map *by = a->id.n ? &c->by_id : &c->by_title;
        pbay_str what = a->id.n ? a->id : lower(&c->scratch, a->title);
        pbay_str key = pb_chains_key(&c->mem, a->connector, what);
        struct pb_chain_app *other = pb_map_get(by, key);
        if (other && pb_str_eq(other->space, a->space))
            return fail_at(err, a->at, "apps \"%.*s\" and \"%.*s\" (line %u) are the same one",
                           PB_FMT(a->name), PB_FMT(other->name), other->at.line);
        if (!other) pb_map_add(by, key, a);
    }
    return 0;
}

static int chains(struct pb_chains *c, const struct pb_chain_names *n, struct pb_err *err)
{
    struct pb_chain_graph *g = &c->dsl.g;
    for (uint32_t i = 0; i < g->n_chains; i++) {
        struct pb_chain *x = &g->chains[i];
        if (pb_map_get(&c->apps, x->name))
            return fail_at(err, x->at, "chain \"%.*s\" has the name of an app; give one of them another",
                           PB_FMT(x->name));
        if (is_target(n, x->name))
            return fail_at(err, x->at,
                           "chain \"%.*s\" has the name of a [notify] target; give one of them another",
                           PB_FMT(x->name));
        if (!pb_map_add(&c->chains, x->name, number(i))) {
            struct pb_place first = g->chains[index_of(pb_map_get(&c->chains, x->name))].at;
            return fail_at(err, x->at, "chain \"%.*s\" stands at %.*s:%u already", PB_FMT(x->name),
                           PB_FMT(first.file), first.line);
        }
    }
    for (uint32_t i = 0; i < g->n_limits; i++)
        if (check_connector(c, n, g->limits[i].at, g->limits[i].connector, err) != 0) return -1;
    return 0;
}

static int source(struct pb_chains *c, const struct pb_chain_names *n, const struct pb_chain_link *l,
                  struct pb_chain_source *s, struct pb_err *err)
{
    void *at;
    bool fan_in = l->kind == PB_LINK_ALL || l->kind == PB_LINK_AT_LEAST || l->kind == PB_LINK_DEADLINE;
    if (pb_str_is(s->name, "*")) {
        s->kind = PB_SOURCE_ANY;
        return fan_in ? fail_at(err, l->at, "\"*\" is for on alone") : 0;
    }
    if ((at = pb_map_get(&c->apps, s->name)) != NULL) {
        s->kind = PB_SOURCE_APP;
        s->app = (uint32_t)index_of(at);
        return 0;
    }
    if (l->kind == PB_LINK_DEADLINE)
        return fail_at(err, l->at, "there is no app \"%.*s\"%s", PB_FMT(s->name), near_name(c, s->name));
    if ((at = pb_map_get(&c->chains, s->name)) != NULL) {
        s->kind = PB_SOURCE_CHAIN;
        s->chain = (uint32_t)index_of(at);
        return 0;
    }
    size_t dot = pb_str_chr(s->name, '.');
    if (dot == s->name.n || !dot || dot + 1 == s->name.n)
        return fail_at(err, l->at, "there is no app or chain \"%.*s\"%s", PB_FMT(s->name),
                       near_name(c, s->name));
    s->kind = PB_SOURCE_EVENT;
    s->connector = pb_str(s->name.p, dot);
    s->type = pb_str(s->name.p + dot + 1, s->name.n - dot - 1);
    if (check_connector(c, n, l->at, s->connector, err) != 0) return -1;
    if (!n || !n->event || n->event(n->user, s->connector, s->type)) return 0;
    return fail_at(err, l->at, "connector \"%.*s\" has no event \"%.*s\"%s", PB_FMT(s->connector),
                   PB_FMT(s->type), near_known(c, n, s->connector, s->type));
}

static int step(struct pb_chains *c, const struct pb_chain_names *n, struct pb_chain_step *s,
                struct pb_err *err)
{
    void *at = pb_map_get(&c->apps, s->name);
    switch (s->kind) {
    case PB_STEP_RELOAD:
        if (at) {
            s->app = (uint32_t)index_of(at);
            s->connector = c->dsl.g.apps[s->app].connector;
            return 0;
        }
        if (is_target(n, s->name))
            return fail_at(err, s->at, "\"%.*s\" is a [notify] target; write notify \"%.*s\"",
                           PB_FMT(s->name), PB_FMT(s->name));
        if (pb_map_get(&c->chains, s->name))
            return fail_at(err, s->at, "\"%.*s\" is a chain; a step reloads an app: name its first one",
                           PB_FMT(s->name));
        return fail_at(err, s->at, "there is no app \"%.*s\"%s", PB_FMT(s->name), near_name(c, s->name));
    case PB_STEP_ACTION:
        if (check_connector(c, n, s->at, s->connector, err) != 0) return -1;
        if (!n || !n->action) return 0;
        if (n->action(n->user, s->connector, s->action)) {
            struct pb_err why;
            if (s->fn || !n->takes || n->takes(n->user, s->connector, s->action, s->args, &why) == 0)
                return 0;
            return fail_at(err, s->at, "%s", why.msg);
        }
        return fail_at(err, s->at, "connector \"%.*s\" has no action \"%.*s\"%s", PB_FMT(s->connector),
                       PB_FMT(s->action), near_known(c, n, s->connector, s->action));
    case PB_STEP_NOTIFY:
        if (!n || !n->notify || is_target(n, s->name)) return 0;
        return fail_at(err, s->at, "there is no [notify \"%.*s\"] in the configuration%s", PB_FMT(s->name),
                       near_known(c, n, pb_str("", 0), s->name));
    }
    return 0;
}

static const char *const kind_words[] = {"on", "all_of", "any_of", "at_least", "cron", "deadline"};

/* on("extract").ok, all_of("report", "fx").when, … and a number when a chain has several alike. */
static void name_link(struct pb_chains *c, struct pb_chain_link *l)
{
    struct pb_buf b = {0};
    if (l->name.n) {
        pb_buf_str(&b, l->name);
    } else {
        pb_buf_printf(&b, "%s(", kind_words[l->kind]);
        if (l->kind == PB_LINK_AT_LEAST) pb_buf_printf(&b, "%u, ", l->need);
        for (uint32_t i = 0; i < l->n_sources && b.n < 160; i++)
            pb_buf_printf(&b, "%s\"%.*s\"", i ? ", " : "", PB_FMT(l->sources[i].name));
        pb_buf_c(&b, b.n < 160 ? ")" : "…)");
        if (l->statuses == PB_ENDED_ANY)
            pb_buf_c(&b, l->when ? ".when" : ".always");
        else
            pb_buf_printf(&b, ".%s%s", pb_ended_name(l->statuses), l->when ? ".when" : "");
    }
    size_t plain = b.n;
    pbay_str chain = c->dsl.g.chains[l->chain].name;
    for (unsigned k = 2;; k++) {
        pbay_str name = pb_arena_str(&c->mem, pb_buf_view(&b));
        if (pb_map_add(&c->links, pb_chains_key(&c->mem, chain, name),
                       number((size_t)(l - c->dsl.g.links)))) {
            l->name = name;
            break;
        }
        b.n = plain;
        pb_buf_printf(&b, " #%u", k);
    }
    pb_buf_free(&b);
}

static int links(struct pb_chains *c, const struct pb_chain_names *n, struct pb_err *err)
{
    struct pb_chain_graph *g = &c->dsl.g;
    for (uint32_t i = 0; i < g->n_links; i++) {
        struct pb_chain_link *l = &g->links[i];
        struct pb_chain *chain = &g->chains[l->chain];
        struct pb_chain_source *s = (struct pb_chain_source *)(uintptr_t)l->sources;
        struct pb_chain_step *t = (struct pb_chain_step *)(uintptr_t)l->steps;
        if (!l->n_steps) return fail_at(err, l->at, "this link has no steps");
        for (uint32_t k = 0; k < l->n_sources; k++)
            if (source(c, n, l, &s[k], err) != 0) return -1;
        for (uint32_t k = 0; k < l->n_steps; k++)
            if (step(c, n, &t[k], err) != 0) return -1;
        if (l->cooldown_ms < 0) l->cooldown_ms = chain->cooldown_ms;
        if (!l->n_windows && l->kind != PB_LINK_DEADLINE) {
            l->windows = chain->windows;
            l->n_windows = chain->n_windows;
            l->wait |= chain->wait;
        }
        pb_arena_reset(&c->scratch);
    }
    return 0;
}

/* ------------------------------------------------------------------------ the graph */

static uint32_t node_of_action(struct walk *w, pbay_str name)
{
    void *at = pb_map_get(&w->actions, name);
    if (!at) {
        at = number(w->n_actions++);
        pb_map_add(&w->actions, name, at);
    }
    return w->g->n_apps + w->g->n_chains + 1 + (uint32_t)index_of(at);
}

enum { NOWHERE = UINT32_MAX };

static uint32_t node_of_any(const struct walk *w)
{
    return w->g->n_apps + w->g->n_chains;
}

static uint32_t node_of_source(struct walk *w, const struct pb_chain_source *s)
{
    switch (s->kind) {
    case PB_SOURCE_APP: return s->app;
    case PB_SOURCE_CHAIN: return w->g->n_apps + s->chain;
    case PB_SOURCE_ANY: return node_of_any(w);
    case PB_SOURCE_EVENT: break;
    }
    return pb_str_ends(s->type, PB_STR(".done")) ? node_of_action(w, pb_str(s->name.p, s->name.n - 5))
                                                 : NOWHERE;
}

static uint32_t node_of_step(struct walk *w, const struct pb_chain_step *s)
{
    if (s->kind == PB_STEP_RELOAD) return s->app;
    return s->kind == PB_STEP_ACTION ? node_of_action(w, s->name) : NOWHERE;
}

static uint32_t node_of_link(const struct walk *w, uint32_t i)
{
    return node_of_any(w) + 1 + w->n_actions + i;
}

struct edges {
    struct walk *w;
    uint32_t *at; /* NULL: count */
};

static void edge(struct edges *e, uint32_t from, uint32_t to)
{
    if (from == NOWHERE || to == NOWHERE) return;
    if (e->at)
        e->w->to[e->at[from]++] = to;
    else
        e->w->first[from + 1]++;
}

static void all_edges(struct edges *e)
{
    struct walk *w = e->w;
    for (uint32_t i = 0; i < w->g->n_apps; i++) edge(e, i, node_of_any(w));
    for (uint32_t i = 0; i < w->g->n_links; i++) {
        const struct pb_chain_link *l = &w->g->links[i];
        if (l->allow_cycle) continue;
        for (uint32_t k = 0; k < l->n_sources; k++)
            edge(e, node_of_source(w, &l->sources[k]), node_of_link(w, i));
        for (uint32_t k = 0; k < l->n_steps; k++) edge(e, node_of_link(w, i), node_of_step(w, &l->steps[k]));
        /* The end of its chain may follow from it. */
        edge(e, node_of_link(w, i), w->g->n_apps + l->chain);
    }
}

static void build(struct walk *w)
{
    for (uint32_t i = 0; i < w->g->n_links; i++) { /* number the actions */
        const struct pb_chain_link *l = &w->g->links[i];
        for (uint32_t k = 0; k < l->n_sources; k++) node_of_source(w, &l->sources[k]);
        for (uint32_t k = 0; k < l->n_steps; k++) node_of_step(w, &l->steps[k]);
    }
    w->n_nodes = node_of_link(w, w->g->n_links);
    w->first = pb_arena_zalloc(&w->mem, ((size_t)w->n_nodes + 2) * sizeof *w->first);
    struct edges e = {w, NULL};
    all_edges(&e);
    for (uint32_t i = 0; i < w->n_nodes; i++) w->first[i + 1] += w->first[i];
    w->to = pb_arena_alloc(&w->mem, ((size_t)w->first[w->n_nodes] + 1) * sizeof *w->to);
    e.at = pb_arena_alloc(&w->mem, ((size_t)w->n_nodes + 1) * sizeof *e.at);
    memcpy(e.at, w->first, ((size_t)w->n_nodes + 1) * sizeof *e.at);
    all_edges(&e);
    w->order = pb_arena_alloc(&w->mem, ((size_t)w->n_nodes + 1) * sizeof *w->order);
}

static void put_node(struct walk *w, struct pb_buf *b, uint32_t node)
{
    const struct pb_chain_graph *g = w->g;
    if (node < g->n_apps) {
        pb_buf_printf(b, "\"%.*s\"", PB_FMT(g->apps[node].name));
    } else if (node < node_of_any(w)) {
        pb_buf_printf(b, "the end of chain \"%.*s\"", PB_FMT(g->chains[node - g->n_apps].name));
    } else if (node == node_of_any(w)) {
        pb_buf_c(b, "\"*\"");
    } else {
        for (size_t i = 0; i < w->actions.n; i++)
            if (index_of(w->actions.entries[i].value) == node - node_of_any(w) - 1)
                pb_buf_printf(b, "\"%.*s\"", PB_FMT(w->actions.entries[i].key));
    }
}

/* path: nodes from the one that the cycle begins with to the one before it again. */
static int cycle(struct walk *w, const uint32_t *path, size_t n, struct pb_err *err)
{
    struct pb_buf b = {0};
    uint32_t links_at = node_of_link(w, 0);
    const struct pb_chain_link *last = NULL;
    size_t from = 0;
    while (from < n && path[from] >= links_at) from++; /* begin with a name */
    for (size_t i = 0; i < n; i++) {
        uint32_t node = path[(from + i) % n];
        if (node >= links_at) {
            last = &w->g->links[node - links_at];
            pb_buf_printf(&b, " -> (%.*s:%u) ", PB_FMT(last->at.file), last->at.line);
        } else {
            if (i && path[(from + i - 1) % n] < links_at) pb_buf_c(&b, " -> ");
            put_node(w, &b, node);
        }
    }
    if (path[(from + n - 1) % n] < links_at) pb_buf_c(&b, " -> ");
    put_node(w, &b, path[from % n]);
    fail_at(err, last ? last->at : (struct pb_place){PB_STR("?"), 0},
            "this link closes a cycle, which would run for ever: %.*s; take a link out, or give it "
            "allow_cycle = true "
            "and a cooldown",
            (int)(b.n > 700 ? 700 : b.n), b.p ? b.p : "");
    pb_buf_free(&b);
    return -1;
}

/* Depth first, without recursion: the order in which nodes are left, reversed, puts sources first. */
static int sort(struct walk *w, struct pb_err *err)
{
    uint8_t *color = pb_arena_zalloc(&w->mem, (size_t)w->n_nodes + 1);
    uint32_t *path = pb_arena_alloc(&w->mem, ((size_t)w->n_nodes + 1) * sizeof *path);
    uint32_t *next = pb_arena_alloc(&w->mem, ((size_t)w->n_nodes + 1) * sizeof *next);
    memcpy(next, w->first, (size_t)w->n_nodes * sizeof *next);
    uint32_t at = w->n_nodes;
    for (uint32_t start = 0; start < w->n_nodes; start++) {
        size_t n = 0;
        if (color[start]) continue;
        path[n++] = start;
        color[start] = 1;
        while (n) {
            uint32_t node = path[n - 1];
            if (next[node] == w->first[node + 1]) {
                color[node] = 2;
                w->order[--at] = node;
                n--;
                continue;
            }
            uint32_t to = w->to[next[node]++];
            if (color[to] == 1) {
                size_t i = n;
                while (path[i - 1] != to) i--;
                return cycle(w, path + i - 1, n - i + 1, err);
            }
            if (!color[to]) {
                color[to] = 1;
                path[n++] = to;
            }
        }
    }
    w->n_order = w->n_nodes;
    return 0;
}

/* ------------------------------------------------------------------------ what fan-in counts */

enum { ROOTS_MAX = 8 };
/* Where the runs begin that reach a node; many: more than fit. */
struct roots {
    uint32_t stamp; /* chain + 1: else it is empty */
    bool many, targeted;
    uint8_t n;
    uint32_t at[ROOTS_MAX];
};

static void add_root(struct roots *r, uint32_t root)
{
    for (uint8_t i = 0; i < r->n; i++)
        if (r->at[i] == root) return;
    if (r->n == ROOTS_MAX)
        r->many = true;
    else
        r->at[r->n++] = root;
}

static void add_roots(struct roots *to, const struct roots *from)
{
    to->many |= from->many;
    for (uint8_t i = 0; i < from->n; i++) add_root(to, from->at[i]);
}

static void common_roots(struct roots *to, const struct roots *with)
{
    if (with->many) return;
    if (to->many) {
        *to = *with;
        return;
    }
    uint8_t n = 0;
    for (uint8_t i = 0; i < to->n; i++)
        for (uint8_t k = 0; k < with->n; k++)
            if (to->at[i] == with->at[k]) {
                to->at[n++] = to->at[i];
                break;
            }
    to->n = n;
}

static struct roots *roots_of(struct roots *all, uint32_t node, uint32_t stamp)
{
    struct roots *r = &all[node];
    if (r->stamp != stamp) *r = (struct roots){.stamp = stamp};
    return r;
}

static void fan_in_link(struct walk *w, struct roots *all, struct pb_chain_link *l)
{
    uint32_t stamp = l->chain + 1, asked = l->need >> 16;
    struct roots either = {0}, both = {0};
    l->need &= 0xffff;
    for (uint32_t k = 0; k < l->n_sources; k++) {
        uint32_t node = node_of_source(w, &l->sources[k]);
        struct roots own = {0}, *r = node == NOWHERE ? &own : roots_of(all, node, stamp);
        if (node == NOWHERE)
            own.many = false, add_root(&own, UINT32_MAX - k); /* an event from outside: a run of its own */
        else if (!r->targeted)
            add_root(r, node);
        add_roots(&either, r);
        if (k)
            common_roots(&both, r);
        else
            both = *r;
    }
    if (l->kind == PB_LINK_CRON) add_root(&either, UINT32_C(1) << 31 | (uint32_t)(l - w->g->links));
    bool fan_in = l->kind == PB_LINK_ALL || l->kind == PB_LINK_AT_LEAST;
    l->per_run = l->kind == PB_LINK_ANY || (fan_in && (asked ? asked == 1 : both.n || both.many));
    for (uint32_t k = 0; k < l->n_steps; k++) {
        uint32_t node = node_of_step(w, &l->steps[k]);
        if (node == NOWHERE) continue;
        struct roots *r = roots_of(all, node, stamp);
        r->targeted = true;
        add_roots(r, fan_in && l->per_run ? &both : &either);
    }
}

/* Chain by chain, links in the graph's order; what allow_cycle lets back is left out of it. */
static void fan_in(struct walk *w)
{
    struct pb_chain_graph *g = w->g;
    struct roots *all = pb_arena_zalloc(&w->mem, ((size_t)w->n_nodes + 1) * sizeof *all);
    uint32_t *sorted = pb_arena_alloc(&w->mem, ((size_t)g->n_links + 1) * sizeof *sorted);
    uint32_t *fill = pb_arena_zalloc(&w->mem, ((size_t)g->n_chains + 1) * sizeof *fill);
    for (uint32_t i = 0; i < w->n_order; i++) {
        if (w->order[i] < node_of_link(w, 0)) continue;
        uint32_t link = w->order[i] - node_of_link(w, 0), chain = g->links[link].chain;
        sorted[g->chains[chain].first_link + fill[chain]++] = link;
    }
    for (uint32_t c = 0; c < g->n_chains; c++)
        for (uint32_t i = 0; i < g->chains[c].n_links; i++)
            fan_in_link(w, all, &g->links[sorted[g->chains[c].first_link + i]]);
}

/* ------------------------------------------------------------------------ indexes */

static void hit(struct pb_chains *c, struct pb_map *m, pbay_str key, uint32_t link)
{
    struct pb_chain_hits *h = pb_map_get(m, key);
    if (!h) {
        h = pb_arena_zalloc(&c->mem, sizeof *h);
        pb_map_add(m, key, h);
    }
    PB_GROW(h->links, h->cap, h->n + 1);
    h->links[h->n++] = link;
}

static void index_links(struct pb_chains *c)
{
    struct pb_chain_graph *g = &c->dsl.g;
    for (uint32_t i = 0; i < g->n_links; i++) {
        const struct pb_chain_link *l = &g->links[i];
        if (l->kind == PB_LINK_DEADLINE) continue;
        for (uint32_t k = 0; k < l->n_sources; k++) {
            const struct pb_chain_source *s = &l->sources[k];
            if (s->kind == PB_SOURCE_APP) {
                hit(c, &c->on_app, g->apps[s->app].name, i);
                pb_map_add(&c->heads, pb_chains_key(&c->mem, g->chains[l->chain].name, s->name), c);
            } else if (s->kind == PB_SOURCE_EVENT) {
                hit(c, &c->on_event, pb_chains_key(&c->mem, s->connector, s->type), i);
            } else if (s->kind == PB_SOURCE_CHAIN) {
                hit(c, &c->on_chain, s->name, i);
            } else {
                PB_GROW(c->on_any.links, c->on_any.cap, c->on_any.n + 1);
                c->on_any.links[c->on_any.n++] = i;
            }
        }
    }
    for (uint32_t i = 0; i < g->n_links; i++) {
        const struct pb_chain_link *l = &g->links[i];
        for (uint32_t k = 0; k < l->n_steps; k++) {
            if (l->steps[k].kind != PB_STEP_RELOAD) continue;
            pb_map_remove(&c->heads, pb_chains_key(&c->scratch, g->chains[l->chain].name, l->steps[k].name));
        }
        pb_arena_reset(&c->scratch);
    }
}

int pb_chains_check(struct pb_chains *c, const struct pb_chain_names *names, struct pb_err *err)
{
    struct walk w = {.c = c, .g = &c->dsl.g};
    if (apps(c, names, err) != 0 || chains(c, names, err) != 0 || links(c, names, err) != 0) return -1;
    build(&w);
    int rc = sort(&w, err);
    if (rc == 0) fan_in(&w);
    pb_map_free(&w.actions);
    pb_arena_free(&w.mem);
    for (uint32_t i = 0; rc == 0 && i < w.g->n_links; i++) name_link(c, &w.g->links[i]);
    if (rc == 0) index_links(c);
    return rc;
}
