/* SPDX-License-Identifier: MIT */
/* The graph as others read it: JSON, rows, DOT, Mermaid, a list of apps. */
#include <patchbay/host_chain.h>

#include "base/clock.h"
#include "flow/chain_priv.h"

struct picture {
    const struct pb_bundle *b;
    const struct pb_chain_graph *g;
    struct pb_store *s;
    struct pb_buf *out;
    struct pb_err *err;
    const char *sep;
};

static void put(struct pb_buf *b, const char *name, pbay_str value)
{
    char last = b->n ? b->p[b->n - 1] : '{';
    pb_buf_printf(b, "%s\"%s\":", last == '{' ? "" : ",", name);
    pb_buf_json(b, value);
}

static void put_time(struct pb_buf *b, const char *name, int64_t ms)
{
    char time[PB_TIME_MAX];
    if (ms) pb_format_time(ms, time);
    put(b, name, pb_str_c(ms ? time : ""));
}

/* What the other side of a link is called; NULL: nothing to draw (a clock). */
static pbay_str condition(const struct pb_chain_link *l)
{
    if (l->kind == PB_LINK_CRON || l->kind == PB_LINK_DEADLINE) return l->name;
    if (l->statuses == PB_ENDED_ANY) return l->when ? PB_STR("when") : PB_STR("always");
    return pb_str_c(pb_ended_name(l->statuses));
}

/* The same as an edge shows it, so that a picture tells "and" from "or". */
static pbay_str label(const struct pb_chain_link *l, char text[64])
{
    pbay_str when = condition(l);
    switch (l->kind) {
    case PB_LINK_ALL: snprintf(text, 64, "all: %.*s", PB_FMT(when)); break;
    case PB_LINK_ANY: snprintf(text, 64, "any: %.*s", PB_FMT(when)); break;
    case PB_LINK_AT_LEAST: snprintf(text, 64, "%u of %u: %.*s", l->need, l->n_sources, PB_FMT(when)); break;
    default: return when;
    }
    return pb_str_c(text);
}

static const struct pb_chain_app *app_named(const struct picture *p, pbay_str name)
{
    return pb_chains_app(p->b->chains, name);
}

static struct pb_node *node_of(const struct picture *p, pbay_str name)
{
    struct pb_node *n = NULL;
    struct pb_err err;
    const struct pb_chain_app *a = app_named(p, name);
    struct pb_buf id = {0};
    if (!p->s || !a) return NULL;
    pb_chain_app_id(p->s, a, &id);
    if (!id.n || pb_store_node_get(p->s, a->connector, pb_buf_view(&id), &n, &err) != 0) n = NULL;
    pb_buf_free(&id);
    return n;
}

static void put_id(const struct picture *p, const char *name, const struct pb_chain_app *a)
{
    struct pb_buf id = {0};
    if (a) pb_chain_app_id(p->s, a, &id);
    put(p->out, name, pb_buf_view(&id));
    pb_buf_free(&id);
}

/* Is a step of that name alive? */
static const char *live_state(const struct picture *p, pbay_str name)
{
    struct pb_err err;
    int64_t n = 0;
    struct pb_step_filter f = {.name = name, .states = 1 << PB_RUN_STEP_ACTIVE};
    if (!p->s) return NULL;
    if (pb_store_step_count(p->s, &f, &n, &err) == 0 && n) return "running";
    f.states = 1 << PB_RUN_STEP_WAITING;
    return pb_store_step_count(p->s, &f, &n, &err) == 0 && n ? "waiting" : NULL;
}

static bool is_head(const struct picture *p, const struct pb_chain *c, pbay_str name)
{
    for (uint32_t i = c->first_link; i < c->first_link + c->n_links; i++)
        for (uint32_t k = 0; k < p->g->links[i].n_steps; k++)
            if (pb_str_eq(p->g->links[i].steps[k].name, name)) return false;
    return true;
}

/* each(name) of every source and step of a chain, once. */
static void each_node(const struct picture *p, const struct pb_chain *c,
                      void (*each)(struct picture *p, const struct pb_chain *c, pbay_str name))
{
    struct pb_map seen = {0};
    for (uint32_t i = c->first_link; i < c->first_link + c->n_links; i++) {
        const struct pb_chain_link *l = &p->g->links[i];
        for (uint32_t k = 0; k < l->n_sources; k++)
            if (pb_map_add(&seen, l->sources[k].name, p->out))
                each((struct picture *)(uintptr_t)p, c, l->sources[k].name);
        for (uint32_t k = 0; k < l->n_steps; k++)
            if (pb_map_add(&seen, l->steps[k].name, p->out))
                each((struct picture *)(uintptr_t)p, c, l->steps[k].name);
    }
    pb_map_free(&seen);
}

/* each(parent, step, link) of every edge; clocks have an empty parent. */
static void each_edge(struct picture *p, const struct pb_chain *c,
                      void (*each)(struct picture *p, const struct pb_chain *c, pbay_str parent,
                                   pbay_str name, const struct pb_chain_link *l))
{
    for (uint32_t i = c->first_link; i < c->first_link + c->n_links; i++) {
        const struct pb_chain_link *l = &p->g->links[i];
        for (uint32_t k = 0; k < l->n_steps; k++) {
            if (!l->n_sources) each(p, c, pb_str("", 0), l->steps[k].name, l);
            for (uint32_t m = 0; m < l->n_sources; m++) each(p, c, l->sources[m].name, l->steps[k].name, l);
        }
    }
}

/* ------------------------------------------------------------------------ JSON */

static void json_node(struct picture *p, const struct pb_chain *c, pbay_str name)
{
    const struct pb_chain_app *a = app_named(p, name);
    struct pb_node *n = node_of(p, name);
    const char *live = live_state(p, name);
    pb_buf_printf(p->out, "%s{", p->sep);
    p->sep = ",";
    put(p->out, "id", name);
    put(p->out, "kind",
        a                                     ? PB_STR("app")
        : pb_chains_chain(p->b->chains, name) ? PB_STR("chain")
        : pb_str_chr(name, '.') < name.n      ? PB_STR("action")
                                              : PB_STR("other"));
    if (a) {
        put(p->out, "connector", a->connector);
        put_id(p, "app_id", a);
    }
    pb_buf_printf(p->out, ",\"head\":%s", is_head(p, c, name) ? "true" : "false");
    put(p->out, "status", live ? pb_str_c(live) : n ? n->status : pb_str("", 0));
    put_time(p->out, "last_end", n ? n->at_ms : 0);
    put_time(p->out, "last_ok", n ? n->ok_ms : 0);
    put(p->out, "last_reload_id", n ? n->occurrence : pb_str("", 0));
    pb_buf_ch(p->out, '}');
    pb_free(n);
}

static void json_edge(struct picture *p, const struct pb_chain *c, pbay_str parent, pbay_str name,
                      const struct pb_chain_link *l)
{
    (void)c;
    pb_buf_printf(p->out, "%s{", p->sep);
    p->sep = ",";
    put(p->out, "source", parent);
    put(p->out, "target", name);
    put(p->out, "link", l->name);
    put(p->out, "condition", condition(l));
    pb_buf_printf(p->out, ",\"file\":\"%.*s\",\"line\":%u}", PB_FMT(l->at.file), l->at.line);
}

static void json_chain(struct picture *p, const struct pb_chain *c)
{
    pb_buf_c(p->out, "{");
    put(p->out, "name", c->name);
    pb_buf_c(p->out, ",\"nodes\":[");
    p->sep = "";
    each_node(p, c, json_node);
    pb_buf_c(p->out, "],\"edges\":[");
    p->sep = "";
    each_edge(p, c, json_edge);
    pb_buf_c(p->out, "]}");
}

/* ------------------------------------------------------------------------ rows */

static void row(struct picture *p, const struct pb_chain *c, pbay_str parent, pbay_str name, pbay_str when)
{
    const struct pb_chain_app *a = app_named(p, name);
    struct pb_node *n = node_of(p, name);
    const char *live = live_state(p, name);
    pb_buf_printf(p->out, "%s{", p->sep);
    p->sep = ",\n";
    put(p->out, "chain", c->name);
    put(p->out, "node_id", name);
    put(p->out, "parent_id", parent);
    put(p->out, "node_name", a && a->title.n ? a->title : name);
    put(p->out, "connector", a ? a->connector : pb_str("", 0));
    put_id(p, "app_id", a);
    put(p->out, "condition", when);
    put(p->out, "last_status", live ? pb_str_c(live) : n ? n->status : pb_str("", 0));
    put_time(p->out, "last_start", n ? n->fired_ms : 0);
    put_time(p->out, "last_end", n ? n->at_ms : 0);
    put(p->out, "last_reload_id", n ? n->occurrence : pb_str("", 0));
    pb_buf_ch(p->out, '}');
    pb_free(n);
}

static void row_head(struct picture *p, const struct pb_chain *c, pbay_str name)
{
    if (is_head(p, c, name)) row(p, c, pb_str("", 0), name, pb_str("", 0));
}

static void row_edge(struct picture *p, const struct pb_chain *c, pbay_str parent, pbay_str name,
                     const struct pb_chain_link *l)
{
    row(p, c, parent, name, condition(l));
}

/* ------------------------------------------------------------------------ DOT, Mermaid */

static void dot_text(struct pb_buf *b, pbay_str s)
{
    pb_buf_ch(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') pb_buf_ch(b, '\\');
        if ((unsigned char)s.p[i] >= ' ') pb_buf_ch(b, s.p[i]);
    }
    pb_buf_ch(b, '"');
}

static const char *color_of(const char *status)
{
    static const struct {
        const char *status, *color;
    } colors[] = {{"ok", "#b7e1b0"},
                  {"error", "#f3b5ae"},
                  {"canceled", "#dddddd"},
                  {"running", "#b5d3f0"},
                  {"waiting", "#f5e6a8"}};
    for (size_t i = 0; i < PB_COUNTOF(colors); i++)
        if (strcmp(colors[i].status, status) == 0) return colors[i].color;
    return "#ffffff";
}

static void status_of(struct picture *p, pbay_str name, char out[16])
{
    struct pb_node *n = node_of(p, name);
    const char *live = live_state(p, name);
    snprintf(out, 16, "%s", live ? live : n ? pb_ended_name(pb_ended_parse(n->status)) : "");
    pb_free(n);
}

static void dot_node(struct picture *p, const struct pb_chain *c, pbay_str name)
{
    char status[16];
    status_of(p, name, status);
    pb_buf_c(p->out, "    ");
    dot_text(p->out, name);
    pb_buf_printf(p->out, " [style=\"%sfilled\", shape=%s, fillcolor=\"%s\", tooltip=",
                  is_head(p, c, name) ? "bold," : "", app_named(p, name) ? "box" : "ellipse",
                  color_of(status));
    dot_text(p->out, pb_str_c(*status ? status : "never"));
    pb_buf_c(p->out, "];\n");
}

static void dot_edge(struct picture *p, const struct pb_chain *c, pbay_str parent, pbay_str name,
                     const struct pb_chain_link *l)
{
    char text[64];
    (void)c;
    pb_buf_c(p->out, "    ");
    dot_text(p->out, parent.n ? parent : l->name);
    pb_buf_c(p->out, " -> ");
    dot_text(p->out, name);
    pb_buf_c(p->out, " [label=");
    dot_text(p->out, parent.n ? label(l, text) : pb_str("", 0));
    bool bad =
        l->statuses == PB_ENDED_ERROR || l->statuses == PB_ENDED_CANCELED || l->kind == PB_LINK_DEADLINE;
    pb_buf_printf(p->out, "%s];\n", bad ? ", style=dashed" : "");
}

static void dot_chain(struct picture *p, const struct pb_chain *c)
{
    pb_buf_printf(p->out, "  subgraph cluster_%u {\n    label=", (unsigned)(c - p->g->chains));
    dot_text(p->out, c->name);
    pb_buf_c(p->out, ";\n");
    each_node(p, c, dot_node);
    pb_buf_c(p->out, "  }\n");
    each_edge(p, c, dot_edge);
}

/* Ids of Mermaid are words: a number stands for each name, the same one in every process (FNV-1a). */
static void mermaid_id(struct picture *p, pbay_str name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.n; i++) h = (h ^ (unsigned char)name.p[i]) * UINT64_C(0x100000001b3);
    pb_buf_printf(p->out, "n%llx", (unsigned long long)(h >> 16));
}

/* Inside ["…"]: quotes and angle brackets as entities, as its documentation has them. */
static void mermaid_text(struct pb_buf *b, pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (strchr("\"<>&#;[](){}|`", s.p[i]) && s.p[i])
            pb_buf_printf(b, "#%d;", s.p[i]);
        else if ((unsigned char)s.p[i] >= ' ')
            pb_buf_ch(b, s.p[i]);
    }
}

static void mermaid_node(struct picture *p, const struct pb_chain *c, pbay_str name)
{
    char status[16];
    (void)c;
    status_of(p, name, status);
    pb_buf_c(p->out, "    ");
    mermaid_id(p, name);
    pb_buf_c(p->out, "[\"");
    mermaid_text(p->out, name);
    pb_buf_c(p->out, "\"]\n");
    if (!*status) return;
    pb_buf_c(p->out, "    style ");
    mermaid_id(p, name);
    pb_buf_printf(p->out, " fill:%s\n", color_of(status));
}

static void mermaid_edge(struct picture *p, const struct pb_chain *c, pbay_str parent, pbay_str name,
                         const struct pb_chain_link *l)
{
    char text[64];
    (void)c;
    pb_buf_c(p->out, "  ");
    mermaid_id(p, parent.n ? parent : l->name);
    if (!parent.n) {
        pb_buf_c(p->out, "([\"");
        mermaid_text(p->out, l->name);
        pb_buf_c(p->out, "\"])");
    }
    pb_buf_c(p->out, parent.n ? " -->|\"" : " --> ");
    if (parent.n) {
        mermaid_text(p->out, label(l, text));
        pb_buf_c(p->out, "\"| ");
    }
    mermaid_id(p, name);
    pb_buf_ch(p->out, '\n');
}

static void mermaid_chain(struct picture *p, const struct pb_chain *c)
{
    pb_buf_printf(p->out, "  subgraph c%u[\"", (unsigned)(c - p->g->chains));
    mermaid_text(p->out, c->name);
    pb_buf_c(p->out, "\"]\n");
    each_node(p, c, mermaid_node);
    pb_buf_c(p->out, "  end\n");
    each_edge(p, c, mermaid_edge);
}

/* ------------------------------------------------------------------------ the list of apps */

static void list_entry(struct picture *p, const struct pb_chain_app *a, const struct pb_chain_link *l)
{
    pb_buf_printf(p->out, "%s{", p->sep);
    p->sep = ",";
    put(p->out, "name", a->name);
    put_id(p, "appId", a);
    if (l) {
        pb_buf_c(p->out, ",\"chain\":[");
        for (uint32_t i = 0, n = 0; i < l->n_steps; i++) {
            if (l->steps[i].kind != PB_STEP_RELOAD) continue;
            if (n++) pb_buf_ch(p->out, ',');
            pb_buf_json(p->out, l->steps[i].name);
        }
        pb_buf_ch(p->out, ']');
        put(p->out, "condition", condition(l));
    }
    pb_buf_ch(p->out, '}');
}

static void list_apps(struct picture *p, const struct pb_chain *only)
{
    for (uint32_t i = 0; i < p->g->n_apps; i++) {
        const struct pb_chain_app *a = &p->g->apps[i];
        uint32_t n, written = 0;
        const uint32_t *links = pb_chains_on_app(p->b->chains, a, &n);
        for (uint32_t k = 0; k < n; k++) {
            const struct pb_chain_link *l = &p->g->links[links[k]];
            bool reloads = false;
            for (uint32_t m = 0; m < l->n_steps; m++) reloads |= l->steps[m].kind == PB_STEP_RELOAD;
            if (!reloads || (only && &p->g->chains[l->chain] != only)) continue;
            list_entry(p, a, l);
            written++;
        }
        if (!written && !only) list_entry(p, a, NULL);
    }
}

/* ------------------------------------------------------------------------ all */

int pb_chain_picture(const struct pb_bundle *b, struct pb_store *s, uint32_t format, pbay_str chain,
                     struct pb_buf *out, struct pb_err *err)
{
    struct picture p = {.b = b, .g = pb_chains_graph(b->chains), .s = s, .out = out, .err = err, .sep = ""};
    const struct pb_chain *only = chain.n ? pb_chains_chain(b->chains, chain) : NULL;
    if (chain.n && !only) return pb_fail(err, PBAY_NOT_FOUND, "there is no chain \"%.*s\"", PB_FMT(chain));
    if (format < PBAY_CHAIN_JSON || format > PBAY_CHAIN_LIST)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "there is no picture number %u of chains", format);
    static const char *const opens[] = {"{\"chains\":[", "[", "digraph chains {\n  rankdir=LR;\n",
                                        "flowchart LR\n", "["};
    static const char *const closes[] = {"]}\n", "]\n", "}\n", "", "]\n"};
    pb_buf_c(out, opens[format - 1]);
    uint32_t first = only ? (uint32_t)(only - p.g->chains) : 0, end = only ? first + 1 : p.g->n_chains;
    for (uint32_t i = first; i < end && format != PBAY_CHAIN_LIST; i++) {
        const struct pb_chain *c = &p.g->chains[i];
        if (format == PBAY_CHAIN_JSON) {
            if (i > first) pb_buf_ch(out, ',');
            json_chain(&p, c);
        } else if (format == PBAY_CHAIN_ROWS) {
            each_node(&p, c, row_head);
            each_edge(&p, c, row_edge);
        } else if (format == PBAY_CHAIN_DOT) {
            dot_chain(&p, c);
        } else {
            mermaid_chain(&p, c);
        }
    }
    if (format == PBAY_CHAIN_LIST) list_apps(&p, only);
    pb_buf_c(out, closes[format - 1]);
    return 0;
}
