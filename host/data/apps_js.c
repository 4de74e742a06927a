/* SPDX-License-Identifier: MIT */
#include "data/apps_js.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "data/js_literal.h"

enum { ROWS_MAX = 20000 };

struct row {
    pbay_str name, app, condition;
    const struct pb_js *chain; /* NULL: none */
    uint32_t line, node;
    bool no_condition;
};

/* An app: all rows with its id. Named by the first. */
struct node {
    pbay_str name, app;
    uint32_t line;
    bool source, target;
};

struct edge {
    uint32_t from, to, row;
    pbay_str condition;
    bool dropped, repaired, loops;
};

struct import {
    const struct pb_import_options *o;
    struct pb_buf *lua, *report;
    struct pb_arena mem;
    enum pb_import_grade grade;
    struct row *rows;
    struct node *nodes;
    struct edge *edges;
    size_t n_rows, cap_rows, n_nodes, cap_nodes, n_edges, cap_edges;
    struct pb_map by_app; /* id -> index + 1 */
};

static void say(struct import *m, uint32_t line, enum pb_import_grade grade, const char *fmt, ...)
    PB_PRINTF(4, 5);
static void say(struct import *m, uint32_t line, enum pb_import_grade grade, const char *fmt, ...)
{
    static const char *const words[] = {"note", "warning", "error"};
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (grade > m->grade) m->grade = grade;
    pb_buf_printf(m->report, "line %u: %s: %s\n", line, words[grade], text);
}

#define SHORT(s) (int)((s).n > 80 ? 80 : (s).n), ((s).p ? (s).p : "")

static void mended(void *user, uint32_t line, const char *what)
{
    say(user, line, PB_IMPORT_WARNINGS, "%s", what);
}

/* ------------------------------------------------------------------------ rows */

static pbay_str text_of(struct import *m, const struct pb_js *row, const char *name, bool *there)
{
    const struct pb_js *v = pb_js_get(row, name);
    *there = v && v->kind != PB_JS_NULL;
    if (!*there) return pb_str("", 0);
    if (v->kind == PB_JS_TEXT) return v->text;
    say(m, v->line, PB_IMPORT_ERRORS, "%s is not a text", name);
    return pb_str("", 0);
}

static bool text_ok(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ') return false;
    return s.n <= 200;
}

static void read_row(struct import *m, const struct pb_js *v)
{
    bool there;
    if (v->kind != PB_JS_OBJECT) {
        say(m, v->line, PB_IMPORT_ERRORS, "this entry is not { name: …, appId: … }; it is left out");
        return;
    }
    struct row r = {.line = v->line};
    r.name = text_of(m, v, "name", &there);
    r.app = text_of(m, v, "appId", &there);
    r.condition = text_of(m, v, "condition", &there);
    r.no_condition = !there;
    r.chain = pb_js_get(v, "chain");
    if (r.chain && r.chain->kind == PB_JS_NULL) r.chain = NULL;
    for (const struct pb_js *x = v->first; x; x = x->next)
        if (!pb_str_is(x->name, "name") && !pb_str_is(x->name, "appId") && !pb_str_is(x->name, "chain") &&
            !pb_str_is(x->name, "condition"))
            say(m, x->line, PB_IMPORT_WARNINGS, "\"%.*s\" means nothing here and is left out",
                SHORT(x->name));
    if (!r.app.n || !r.name.n) {
        say(m, r.line, PB_IMPORT_ERRORS, "this entry has no %s; it is left out", r.app.n ? "name" : "appId");
        return;
    }
    if (!text_ok(r.name) || !text_ok(r.app)) {
        say(m, r.line, PB_IMPORT_ERRORS,
            "name and appId have 1 to 200 bytes, without line breaks; the entry is left out");
        return;
    }
    if (m->n_rows == ROWS_MAX) return;
    PB_GROW(m->rows, m->cap_rows, m->n_rows + 1);
    m->rows[m->n_rows++] = r;
}

/* ------------------------------------------------------------------------ nodes */

static bool name_taken(const struct import *m, pbay_str name)
{
    for (size_t i = 0; i < m->n_nodes; i++)
        if (pb_str_eq(m->nodes[i].name, name)) return true;
    return false;
}

static void make_nodes(struct import *m)
{
    for (size_t i = 0; i < m->n_rows; i++) {
        struct row *r = &m->rows[i];
        void *at = pb_map_get(&m->by_app, r->app);
        if (at) {
            r->node = (uint32_t)((uintptr_t)at - 1);
            const struct node *n = &m->nodes[r->node];
            if (!pb_str_eq(n->name, r->name))
                say(m, r->line, PB_IMPORT_WARNINGS,
                    "\"%.*s\" has the appId of \"%.*s\" (line %u): one app under two names", SHORT(r->name),
                    SHORT(n->name), n->line);
            continue;
        }
        struct node n = {.name = r->name, .app = r->app, .line = r->line};
        for (unsigned k = 2; name_taken(m, n.name); k++)
            n.name = pb_str_c(pb_arena_printf(&m->mem, "%.*s (%u)", PB_FMT(r->name), k));
        r->node = (uint32_t)m->n_nodes;
        PB_GROW(m->nodes, m->cap_nodes, m->n_nodes + 1);
        m->nodes[m->n_nodes++] = n;
        pb_map_add(&m->by_app, r->app, (void *)(uintptr_t)m->n_nodes);
    }
    /* Names that several apps have: whoever looks the name up gets the first. */
    for (size_t i = 0; i < m->n_rows; i++)
        for (size_t k = 0; k < i; k++)
            if (pb_str_eq(m->rows[i].name, m->rows[k].name) && m->rows[i].node != m->rows[k].node) {
                say(m, m->rows[i].line, PB_IMPORT_WARNINGS,
                    "\"%.*s\" is the name of another app already (line %u): the old code always took that "
                    "one",
                    SHORT(m->rows[i].name), m->rows[k].line);
                break;
            }
}

/* ------------------------------------------------------------------------ edges */

/* The app a name leads to: faithful, the first of that name; repaired, the one that is not where it comes
 * from. */
static bool resolve(struct import *m, const struct row *from, pbay_str name, uint32_t line, uint32_t *to,
                    bool *repaired)
{
    const struct row *first = NULL;
    uint32_t other = 0, n_other = 0;
    for (size_t i = 0; i < m->n_rows; i++) {
        const struct row *r = &m->rows[i];
        if (!pb_str_eq(r->name, name)) continue;
        if (!first) first = r;
        if (r->node == from->node || (n_other && r->node == other)) continue;
        other = r->node;
        n_other++;
    }
    *repaired = false;
    if (!first) {
        say(m, line, PB_IMPORT_ERRORS,
            "\"%.*s\" is not the name of any entry: the old code failed here, after it had started those "
            "before it",
            SHORT(name));
        return false;
    }
    *to = first->node;
    if (m->o->faithful || !n_other) return true;
    if (n_other > 1) {
        say(m, line, PB_IMPORT_ERRORS, "\"%.*s\" is the name of %u apps; which one is meant?", SHORT(name),
            n_other);
        return false;
    }
    *repaired = other != first->node;
    *to = other;
    if (*repaired)
        say(m, line, PB_IMPORT_WARNINGS,
            "\"%.*s\" led back to \"%.*s\" itself, which reloaded for ever; repaired: it leads to the app of "
            "line %u",
            SHORT(name), SHORT(m->nodes[from->node].name), m->nodes[other].line);
    return true;
}

static void add_edge(struct import *m, size_t row, pbay_str name, uint32_t line)
{
    struct row *r = &m->rows[row];
    struct edge e = {.from = r->node, .row = (uint32_t)row, .condition = r->condition};
    if (!resolve(m, r, name, line, &e.to, &e.repaired)) return;
    for (size_t i = 0; i < m->n_edges; i++)
        if (m->edges[i].from == e.from && m->edges[i].to == e.to &&
            pb_str_eq(m->edges[i].condition, e.condition) && m->edges[i].row != e.row) {
            say(m, line, PB_IMPORT_WARNINGS, "\"%.*s\" follows \"%.*s\" twice; once is enough", SHORT(name),
                SHORT(m->nodes[e.from].name));
            return;
        }
    e.loops = e.from == e.to;
    if (e.loops)
        say(m, line, PB_IMPORT_WARNINGS,
            "\"%.*s\" reloads itself each time that it ends %.*s: it runs for ever",
            SHORT(m->nodes[e.from].name), SHORT(e.condition));
    m->nodes[e.from].source = true;
    m->nodes[e.to].target = true;
    PB_GROW(m->edges, m->cap_edges, m->n_edges + 1);
    m->edges[m->n_edges++] = e;
}

static void row_edges(struct import *m, size_t i)
{
    const struct row *r = &m->rows[i];
    if (!r->chain) {
        if (!r->no_condition)
            say(m, r->line, PB_IMPORT_WARNINGS, "\"%.*s\" has a condition and no chain: nothing follows",
                SHORT(r->name));
        return;
    }
    if (r->no_condition) {
        say(m, r->line, PB_IMPORT_WARNINGS,
            "\"%.*s\" has a chain and no condition: it never fired, and is left out", SHORT(r->name));
        return;
    }
    if (!pb_str_is(r->condition, "ok") && !pb_str_is(r->condition, "error")) {
        say(m, r->line, PB_IMPORT_ERRORS,
            "condition \"%.*s\" is neither ok nor error: it never fired, and is left out",
            SHORT(r->condition));
        return;
    }
    for (size_t k = 0; k < i; k++) {
        const struct row *b = &m->rows[k];
        if (b->node != r->node || !pb_str_eq(b->condition, r->condition) || b->no_condition) continue;
        say(m, r->line, PB_IMPORT_WARNINGS,
            "line %u is for the same app and condition: only that one ever fired%s", b->line,
            m->o->faithful ? ", and this is left out" : "; repaired: both do");
        if (m->o->faithful) return;
        break;
    }
    if (r->chain->kind == PB_JS_TEXT) {
        say(m, r->chain->line, PB_IMPORT_WARNINGS,
            "chain is a text, not a list; it is taken as a list of one");
        add_edge(m, i, r->chain->text, r->chain->line);
        return;
    }
    if (r->chain->kind != PB_JS_LIST) {
        say(m, r->chain->line, PB_IMPORT_ERRORS, "chain is not a list of names");
        return;
    }
    for (const struct pb_js *t = r->chain->first; t; t = t->next) {
        if (t->kind == PB_JS_TEXT)
            add_edge(m, i, t->text, t->line);
        else
            say(m, t->line, PB_IMPORT_ERRORS, "an entry of chain is not a name");
    }
}

/* ------------------------------------------------------------------------ cycles */

struct search {
    struct import *m;
    uint32_t *first, *list; /* edges by source */
    uint8_t *color;
    uint32_t *path, *next; /* edges on the way; where each node goes on */
};

static void name_cycle(struct search *s, size_t from, size_t n, uint32_t last)
{
    struct import *m = s->m;
    struct pb_buf b = {0};
    for (size_t i = from; i < n && b.n < 400; i++)
        pb_buf_printf(&b, "\"%.*s\" -> ", SHORT(m->nodes[m->edges[s->path[i]].from].name));
    struct edge *e = &m->edges[last];
    pb_buf_printf(&b, "\"%.*s\" -> \"%.*s\"", SHORT(m->nodes[e->from].name), SHORT(m->nodes[e->to].name));
    e->loops = true;
    say(m, m->rows[e->row].line, m->o->faithful ? PB_IMPORT_WARNINGS : PB_IMPORT_ERRORS,
        "this closes a cycle, which runs for ever: %.*s%s", PB_FMT(pb_buf_view(&b)),
        m->o->faithful ? "" : "; it is left out: decide which link must go");
    if (!m->o->faithful) e->dropped = true;
    pb_buf_free(&b);
}

static void visit(struct search *s, uint32_t start)
{
    struct import *m = s->m;
    size_t n = 0;
    uint32_t node = start;
    s->color[start] = 1;
    for (;;) {
        if (s->next[node] < s->first[node + 1]) {
            uint32_t at = s->list[s->next[node]++];
            const struct edge *e = &m->edges[at];
            if (e->from == e->to) continue; /* told already */
            if (s->color[e->to] == 1) {
                size_t from = n;
                while (from > 0 && m->edges[s->path[from - 1]].from != e->to) from--;
                name_cycle(s, from ? from - 1 : 0, n, at);
            } else if (!s->color[e->to]) {
                s->color[e->to] = 1;
                s->path[n++] = at;
                node = e->to;
            }
            continue;
        }
        s->color[node] = 2;
        if (!n) return;
        node = m->edges[s->path[--n]].from;
    }
}

static void find_cycles(struct import *m)
{
    size_t n = m->n_nodes;
    struct search s = {m,
                       pb_arena_zalloc(&m->mem, (n + 2) * sizeof(uint32_t)),
                       pb_arena_zalloc(&m->mem, (m->n_edges + 1) * sizeof(uint32_t)),
                       pb_arena_zalloc(&m->mem, n + 1),
                       pb_arena_zalloc(&m->mem, (n + 1) * sizeof(uint32_t)),
                       pb_arena_zalloc(&m->mem, (n + 1) * sizeof(uint32_t))};
    for (size_t i = 0; i < m->n_edges; i++) s.first[m->edges[i].from + 1]++;
    for (size_t i = 0; i < n; i++) s.first[i + 1] += s.first[i];
    memcpy(s.next, s.first, n * sizeof *s.next);
    for (size_t i = 0; i < m->n_edges; i++) s.list[s.next[m->edges[i].from]++] = (uint32_t)i;
    memcpy(s.next, s.first, n * sizeof *s.next);
    for (uint32_t i = 0; i < n; i++)
        if (!s.color[i]) visit(&s, i);
}

/* ------------------------------------------------------------------------ Lua */

static void lua_text(struct pb_buf *b, pbay_str s)
{
    pb_buf_ch(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') pb_buf_ch(b, '\\');
        if ((unsigned char)s.p[i] < ' ')
            pb_buf_printf(b, "\\%03d", s.p[i]);
        else
            pb_buf_ch(b, s.p[i]);
    }
    pb_buf_ch(b, '"');
}

static void write_link(struct import *m, size_t i, uint8_t *done)
{
    const struct edge *e = &m->edges[i];
    bool repaired = false, loops = false, any = false;
    struct pb_buf out = {0};
    for (size_t k = i; k < m->n_edges; k++) {
        const struct edge *o = &m->edges[k];
        if (o->from != e->from || !pb_str_eq(o->condition, e->condition) || o->loops != e->loops) continue;
        done[k] = 1;
        if (o->dropped) continue;
        pb_buf_c(&out, any ? ", " : " ");
        lua_text(&out, m->nodes[o->to].name);
        any = true;
        repaired |= o->repaired;
        loops |= o->loops;
    }
    if (any) {
        pb_buf_c(m->lua, "  on(");
        lua_text(m->lua, m->nodes[e->from].name);
        pb_buf_printf(m->lua, ").%.*s {%.*s", PB_FMT(e->condition), PB_FMT(pb_buf_view(&out)));
        if (loops) pb_buf_c(m->lua, ", allow_cycle = true, cooldown = \"1s\"");
        pb_buf_c(m->lua, " },");
        if (repaired)
            pb_buf_printf(m->lua, "  -- repaired: line %u led back to the app itself", m->rows[e->row].line);
        if (loops) pb_buf_c(m->lua, "  -- as it was: for ever");
        pb_buf_ch(m->lua, '\n');
    }
    pb_buf_free(&out);
}

static void write_lua(struct import *m)
{
    struct pb_buf *b = m->lua;
    uint8_t *done = pb_arena_zalloc(&m->mem, m->n_edges + 1);
    size_t links = 0;
    pb_buf_printf(b, "-- From apps.js by `patchbay import-apps%s`.\n\n", m->o->faithful ? " --faithful" : "");
    for (size_t i = 0; i < m->n_nodes; i++) {
        pb_buf_c(b, "app ");
        lua_text(b, m->nodes[i].name);
        pb_buf_c(b, " { ");
        if (m->o->connector.n) {
            pb_buf_c(b, "connector = ");
            lua_text(b, m->o->connector);
            pb_buf_c(b, ", ");
        }
        pb_buf_c(b, "id = ");
        lua_text(b, m->nodes[i].app);
        pb_buf_c(b, " }\n");
    }
    for (size_t i = 0; i < m->n_edges; i++) links += !m->edges[i].dropped;
    if (!links) return;
    pb_buf_c(b, "\nchain ");
    lua_text(b, m->o->chain.n ? m->o->chain : PB_STR("imported"));
    pb_buf_c(b, " {\n");
    for (size_t i = 0; i < m->n_edges; i++)
        if (!done[i]) write_link(m, i, done);
    pb_buf_c(b, "}\n");
}

int pb_import_apps(pbay_str text, const struct pb_import_options *o, struct pb_buf *lua,
                   struct pb_buf *report, enum pb_import_grade *grade, struct pb_err *err)
{
    struct import m = {.o = o, .lua = lua, .report = report};
    struct pb_js *list = NULL;
    int rc = pb_js_read(text, &m.mem, mended, &m, &list, err);
    if (rc == 0 && list->kind != PB_JS_LIST)
        rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "line %u: expected a list [ { name: …, appId: … }, … ]",
                     list->line);
    for (const struct pb_js *v = rc == 0 ? list->first : NULL; v; v = v->next) read_row(&m, v);
    if (rc == 0) {
        make_nodes(&m);
        for (size_t i = 0; i < m.n_rows; i++) row_edges(&m, i);
        find_cycles(&m);
        for (size_t i = 0; i < m.n_nodes; i++)
            if (!m.nodes[i].source && !m.nodes[i].target)
                say(&m, m.nodes[i].line, PB_IMPORT_WARNINGS, "\"%.*s\" is in no chain",
                    SHORT(m.nodes[i].name));
        write_lua(&m);
    }
    *grade = m.grade;
    pb_free(m.rows);
    pb_free(m.nodes);
    pb_free(m.edges);
    pb_map_free(&m.by_app);
    pb_arena_free(&m.mem);
    return rc;
}
