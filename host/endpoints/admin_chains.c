/* SPDX-License-Identifier: MIT */
/* The admin listener's pages of chains and runs, their pictures, and what may be done to runs. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "endpoints/admin_priv.h"
#include "endpoints/form.h"
#include "endpoints/http_door.h"
#include "flow/chain_work.h"

enum { RUNS_SHOWN = 40, DECISIONS_SHOWN = 20, NODES_SHOWN = 1000 };

/* A request that waits for the store, or for a deed. */
struct visit {
    struct pb_http_job job; /* first */
    const struct pb_admin_options *o;
    struct pb_http_request *req; /* NULL: the client left */
    struct pb_store_op op;
    char csrf[PB_CSRF_LEN + 1]; /* empty: not signed in */
    const char *type;
    bool browser;
    struct pb_arena mem;
    pbay_str run;      /* of one run's page, or of its JSON */
    struct pb_buf out; /* JSON */
    struct pb_runs runs;
    struct pb_run *one;
    struct pb_steps steps;
    struct pb_decisions decisions;
    struct pb_node **nodes; /* by app of the graph, or NULL */
    uint32_t n_nodes;
};

static const struct {
    const char *path;
    uint32_t format;
    const char *type;
} pictures[] = {{"/chains/json", PBAY_CHAIN_JSON, "application/json"},
                {"/chains/rows", PBAY_CHAIN_ROWS, "application/json"},
                {"/chains/list", PBAY_CHAIN_LIST, "application/json"},
                {"/chains/dot", PBAY_CHAIN_DOT, "text/vnd.graphviz; charset=utf-8"},
                {"/chains/mermaid", PBAY_CHAIN_MERMAID, "text/plain; charset=utf-8"}};

bool pb_admin_chains_path(pbay_str path)
{
    for (size_t i = 0; i < PB_COUNTOF(pictures); i++)
        if (pb_str_is(path, pictures[i].path)) return true;
    return pb_str_is(path, "/chains") || pb_str_is(path, "/runs") || pb_str_starts(path, PB_STR("/runs/"));
}

/* ------------------------------------------------------------------------ a visit */

static void clear(struct visit *v)
{
    pb_runs_free(&v->runs);
    pb_steps_free(&v->steps);
    pb_decisions_free(&v->decisions);
    pb_free(v->one);
    v->one = NULL;
    for (uint32_t i = 0; i < v->n_nodes; i++) pb_free(v->nodes[i]);
    pb_free(v->nodes);
    v->nodes = NULL;
    v->n_nodes = 0;
    v->out.n = 0;
}

static void visit_free(struct visit *v)
{
    clear(v);
    pb_buf_free(&v->out);
    pb_arena_free(&v->mem);
    pb_free(v);
}

static void gone(struct pb_http_job *job)
{
    ((struct visit *)(void *)job)->req = NULL; /* freed when the answer comes */
}

static struct visit *visit(const struct pb_admin_options *o, struct pb_http_request *req)
{
    struct visit *v = pb_zalloc(sizeof *v);
    v->job.gone = gone;
    v->o = o;
    v->req = req;
    pb_http_set_user(req, &v->job);
    return v;
}

static void read_visit(struct visit *v, int (*run)(struct pb_store *s, void *user, struct pb_err *err),
                       void (*done)(void *user, const struct pb_err *err))
{
    v->op = (struct pb_store_op){.run = run, .done = done, .user = v, .reads = true};
    pb_store_post(pb_durable_store(v->o->durable), &v->op);
}

/* ------------------------------------------------------------------------ pictures, JSON */

static void answer_text(void *user, const struct pb_err *err, pbay_str text)
{
    struct visit *v = user;
    if (v->req && err)
        pb_http_error(v->req, 0, err);
    else if (v->req && v->browser)
        pb_admin_see_other(v->req, "/chains");
    else if (v->req)
        pb_admin_respond(v->req, 200, v->type, text);
    visit_free(v);
}

static int read_json(struct pb_store *s, void *user, struct pb_err *err)
{
    struct visit *v = user;
    struct pb_run_filter f = {.limit = 200};
    v->out.n = 0;
    return pb_chain_runs_json(s, v->run, &f, &v->out, err);
}

static void json_read(void *user, const struct pb_err *err)
{
    struct visit *v = user;
    answer_text(v, err, pb_buf_view(&v->out));
}

/* ------------------------------------------------------------------------ pages */

static const char *class_of(pbay_str status)
{
    if (pb_str_is(status, "ok") || pb_str_is(status, "fired") || pb_str_is(status, "released")) return "ok";
    if (pb_str_is(status, "error") || pb_str_is(status, "failed") || pb_str_is(status, "raised"))
        return "bad";
    return status.n && !pb_str_is(status, "skipped") ? "warn" : "";
}

static void state(struct pb_buf *b, pbay_str status)
{
    pb_buf_printf(b, "<td><span class=\"state %s\">", class_of(status));
    pb_admin_text(b, status.n ? status : PB_STR("–"));
    pb_buf_c(b, "</span></td>");
}

static void time_cell(struct pb_buf *b, int64_t ms)
{
    char at[PB_TIME_MAX];
    if (ms) pb_format_time(ms, at);
    pb_buf_printf(b, "<td class=n>%s</td>", ms ? at : "–");
}

static void cell(struct pb_buf *b, const char *open, pbay_str s, const char *close)
{
    pb_buf_c(b, open);
    pb_admin_text(b, s);
    pb_buf_c(b, close);
}

static void button(const struct visit *v, struct pb_buf *b, const char *deed, pbay_str object, pbay_str name,
                   const char *label)
{
    const struct {
        const char *name;
        pbay_str value;
    } fields[] = {{"csrf", pb_str_c(v->csrf)}, {"do", pb_str_c(deed)}, {"object", object}, {"name", name}};
    if (!v->csrf[0]) return;
    pb_buf_c(b, "<form method=post action=/action>");
    for (size_t i = 0; i < PB_COUNTOF(fields); i++) {
        pb_buf_printf(b, "<input type=hidden name=%s value=\"", fields[i].name);
        pb_admin_text(b, fields[i].value);
        pb_buf_c(b, "\">");
    }
    pb_buf_printf(b, "<button>%s</button></form> ", label);
}

static void page_head(struct pb_buf *b, const char *title)
{
    pb_admin_head(b);
    pb_buf_printf(b,
                  "<header><h1>%s</h1><span class=grow></span><a href=/>Gateway</a><a href=/chains>Chains</a>"
                  "<a href=/chains/json>JSON</a><a href=/chains/dot>DOT</a><a "
                  "href=/chains/mermaid>Mermaid</a></header><main>",
                  title);
}

static void run_rows(const struct visit *v, struct pb_buf *b)
{
    for (size_t i = 0; i < v->runs.n; i++) {
        const struct pb_run *r = v->runs.items[i];
        pb_buf_printf(b, "<tr><td><a href=\"/runs/%.*s\">%.*s</a></td>", PB_FMT(r->id), PB_FMT(r->id));
        cell(b, "<td class=wide><b>", r->chain, "</b>");
        cell(b, "<small>from ", r->root, "");
        if (r->by.n) cell(b, " by ", r->by, "");
        pb_buf_c(b, "</small></td>");
        state(b, pb_str_c(pb_run_state_name(r->state)));
        time_cell(b, r->started_ms);
        time_cell(b, r->ended_ms);
        pb_buf_c(b, "<td class=n>");
        if (r->state == PB_RUN_RUNNING) button(v, b, "cancel", r->id, pb_str("", 0), "Cancel");
        if (r->state == PB_RUN_FAILED || r->state == PB_RUN_CANCELED)
            button(v, b, "resume", r->id, pb_str("", 0), "Resume");
        pb_buf_c(b, "</td></tr>");
    }
}

static void app_row(const struct visit *v, const struct pb_chain_graph *g, const struct pb_chain *c,
                    uint32_t app, struct pb_buf *b)
{
    uint32_t n;
    const struct pb_node *node = app < v->n_nodes ? v->nodes[app] : NULL;
    const uint32_t *on = pb_chains_on_app(pb_chain_work_bundle(v->o->chains)->chains, &g->apps[app], &n);
    cell(b, "<tr><td class=wide><b>", g->apps[app].name, "</b>");
    cell(b, "<small>", g->apps[app].connector, "</small></td>");
    state(b, node ? node->status : pb_str("", 0));
    time_cell(b, node ? node->at_ms : 0);
    pb_buf_c(b, "<td class=wide>");
    for (uint32_t m = 0; m < n && m < 20; m++) {
        if (&g->chains[g->links[on[m]].chain] != c) continue;
        cell(b, "<small>", g->links[on[m]].name, ": ");
        for (uint32_t t = 0; t < g->links[on[m]].n_steps && t < 20; t++)
            cell(b, t ? ", " : "", g->links[on[m]].steps[t].name, "");
        pb_buf_c(b, "</small>");
    }
    pb_buf_c(b, "</td><td class=n>");
    button(v, b, "start", c->name, g->apps[app].name, "Start");
    pb_buf_c(b, "</td></tr>");
}

static void chain_section(const struct visit *v, const struct pb_chain_graph *g, const struct pb_chain *c,
                          struct pb_buf *b)
{
    struct pb_map seen = {0};
    cell(b, "<section><h2>", c->name, "");
    pb_buf_printf(
        b,
        "<small>%u links</small></h2><table><tr><th>App<th>Last end<th class=n>When<th>Followed by<th></tr>",
        c->n_links);
    /* What begins comes first; what nothing follows, after it. */
    for (int steps = 0; steps < 2; steps++)
        for (uint32_t i = c->first_link; i < c->first_link + c->n_links; i++) {
            const struct pb_chain_link *l = &g->links[i];
            for (uint32_t k = 0; !steps && k < l->n_sources; k++)
                if (l->sources[k].kind == PB_SOURCE_APP && pb_map_add(&seen, l->sources[k].name, b))
                    app_row(v, g, c, l->sources[k].app, b);
            for (uint32_t k = 0; steps && k < l->n_steps; k++)
                if (l->steps[k].kind == PB_STEP_RELOAD && pb_map_add(&seen, l->steps[k].name, b))
                    app_row(v, g, c, l->steps[k].app, b);
        }
    pb_buf_c(b, "</table></section>");
    pb_map_free(&seen);
}

static void decision_rows(const struct visit *v, bool chains, struct pb_buf *b)
{
    for (size_t i = 0; i < v->decisions.n; i++) {
        /* A run's are read from its beginning, those of all from the last one. */
        const struct pb_decision *d = v->decisions.items[chains ? i : v->decisions.n - 1 - i];
        cell(b, "<tr><td class=wide>", d->link, "");
        if (chains) cell(b, "<small>", d->chain, "</small>");
        pb_buf_c(b, "</td>");
        state(b, pb_str_c(pb_outcome_name(d->outcome)));
        time_cell(b, d->at_ms);
        cell(b, "<td class=wide>", d->why, "");
        if (chains && d->source.n) {
            cell(b, "<small>", d->source, " ");
            cell(b, "", d->status, "</small>");
        }
        pb_buf_c(b, "</td></tr>");
    }
}

static void whole_page(const struct visit *v, struct pb_buf *b)
{
    const struct pb_chain_graph *g = pb_chains_graph(pb_chain_work_bundle(v->o->chains)->chains);
    page_head(b, "Chains");
    pb_buf_printf(b, "<section><h2>Runs<small>the last %d</small></h2>", RUNS_SHOWN);
    pb_buf_c(b, v->runs.n
                    ? "<table><tr><th>Run<th>Chain<th>State<th class=n>Started<th class=n>Ended<th></tr>"
                    : "<p class=none>Nothing has run yet.</p>");
    run_rows(v, b);
    pb_buf_c(b, v->runs.n ? "</table></section>" : "</section>");
    for (uint32_t i = 0; i < g->n_chains; i++) chain_section(v, g, &g->chains[i], b);
    if (v->decisions.n) {
        pb_buf_c(
            b,
            "<section><h2>Decisions<small>the last, also where nothing began</small></h2><table><tr><th>Link"
            "<th>Decision<th class=n>When<th>Why</tr>");
        decision_rows(v, true, b);
        pb_buf_c(b, "</table></section>");
    }
    if (!g->n_chains)
        pb_buf_c(b, "<section><p class=none>There is no file below scripts/chains.</p></section>");
    pb_buf_c(b, "</main></html>\n");
}

static void run_page(const struct visit *v, struct pb_buf *b)
{
    page_head(b, "Run");
    pb_buf_c(b, "<section><table><tr><th>Run<th>Chain<th>State<th class=n>Started<th class=n>Ended<th></tr>");
    struct visit one = *v;
    struct pb_run *list[] = {v->one};
    one.runs = (struct pb_runs){list, 1, 1};
    run_rows(&one, b);
    pb_buf_c(b, "</table></section><section><h2>Steps</h2><table><tr><th>Step<th>State<th class=n>Started<th "
                "class=n>Ended"
                "<th>Reload<th></tr>");
    for (size_t i = 0; i < v->steps.n; i++) {
        const struct pb_run_step *t = v->steps.items[i];
        cell(b, "<tr><td class=wide><b>", t->name, "</b>");
        if (t->attempt > 1) pb_buf_printf(b, "<small>attempt %lld</small>", (long long)t->attempt);
        if (t->error.n) cell(b, "<small>", t->error, "</small>");
        pb_buf_c(b, "</td>");
        state(b, pb_str_c(pb_run_step_state_name(t->state)));
        time_cell(b, t->started_ms);
        time_cell(b, t->ended_ms);
        cell(b, "<td class=wide>", t->occurrence, "</td><td class=n>");
        if (t->state != PB_RUN_STEP_OK && t->state != PB_RUN_STEP_SKIPPED)
            button(v, b, "skip", t->run, t->name, "Skip");
        pb_buf_c(b, "</td></tr>");
    }
    pb_buf_c(b, "</table></section><section><h2>Decisions</h2><table><tr><th>Link<th>Decision<th "
                "class=n>When<th>Why</tr>");
    decision_rows(v, false, b);
    pb_buf_c(b, "</table></section></main></html>\n");
}

static int read_page(struct pb_store *s, void *user, struct pb_err *err)
{
    struct visit *v = user;
    const struct pb_chain_graph *g = pb_chains_graph(pb_chain_work_bundle(v->o->chains)->chains);
    clear(v);
    if (v->run.n)
        return pb_store_run_get(s, v->run, &v->one, err) ||
                       pb_store_step_list(s, &(struct pb_step_filter){.run = v->run}, &v->steps, err) ||
                       pb_store_decision_list(s, &(struct pb_decision_filter){.run = v->run}, &v->decisions,
                                              err)
                   ? -1
                   : 0;
    v->n_nodes = g->n_apps < NODES_SHOWN ? g->n_apps : NODES_SHOWN;
    v->nodes = pb_zalloc((v->n_nodes + 1) * sizeof(struct pb_node *));
    for (uint32_t i = 0; i < v->n_nodes; i++) {
        struct pb_buf id = {0};
        pb_chain_app_id(s, &g->apps[i], &id);
        int rc = id.n ? pb_store_node_get(s, g->apps[i].connector, pb_buf_view(&id), &v->nodes[i], err) : 0;
        pb_buf_free(&id);
        if (rc != 0) return -1;
    }
    if (pb_store_decision_list(s, &(struct pb_decision_filter){.limit = DECISIONS_SHOWN}, &v->decisions,
                               err) != 0)
        return -1;
    return pb_store_run_list(s, &(struct pb_run_filter){.limit = RUNS_SHOWN}, &v->runs, err);
}

static void page_read(void *user, const struct pb_err *err)
{
    struct visit *v = user;
    struct pb_buf b = {0};
    if (v->req && !err) {
        if (v->run.n)
            run_page(v, &b);
        else
            whole_page(v, &b);
        pb_admin_respond(v->req, 200, "text/html; charset=utf-8", pb_buf_view(&b));
    } else if (v->req) {
        pb_http_error(v->req, 0, err);
    }
    pb_buf_free(&b);
    visit_free(v);
}

/* ------------------------------------------------------------------------ requests */

void pb_admin_chains_get(const struct pb_admin_options *o, struct pb_http_request *req, pbay_str path,
                         pbay_str csrf)
{
    struct pb_err err;
    if (!o->chains || !o->durable) {
        pb_fail(&err, PBAY_UNAVAILABLE, "there are no chains here");
        pb_http_error(req, 0, &err);
        return;
    }
    struct visit *v = visit(o, req);
    bool json = pb_http_type_is(req, "application/json") ||
                memmem(pb_http_header(req, "accept").p ? pb_http_header(req, "accept").p : "",
                       pb_http_header(req, "accept").n, "application/json", 16);
    snprintf(v->csrf, sizeof v->csrf, "%.*s", PB_FMT(csrf));
    v->type = "application/json";
    for (size_t i = 0; i < PB_COUNTOF(pictures); i++)
        if (pb_str_is(path, pictures[i].path)) {
            v->type = pictures[i].type;
            pb_chain_work_picture(o->chains, pictures[i].format, pb_str("", 0), answer_text, v);
            return;
        }
    if (pb_str_starts(path, PB_STR("/runs/"))) v->run = pb_arena_str(&v->mem, pb_str(path.p + 6, path.n - 6));
    if (json || pb_str_is(path, "/runs"))
        read_visit(v, read_json, json_read);
    else
        read_visit(v, read_page, page_read);
}

bool pb_admin_chains_deed(const struct pb_admin_options *o, struct pb_http_request *req, pbay_str deed,
                          pbay_str who, bool browser)
{
    static const struct {
        const char *word;
        enum pb_chain_deed deed;
    } deeds[] = {{"start", PB_DEED_START},   {"resume", PB_DEED_RESUME}, {"skip", PB_DEED_SKIP},
                 {"cancel", PB_DEED_CANCEL}, {"replay", PB_DEED_REPLAY}, {"release", PB_DEED_RELEASE}};
    struct pb_chain_wish wish = {.who = who};
    struct pb_buf object = {0}, name = {0}, held = {0};
    struct pb_err err;
    size_t i = 0;
    while (i < PB_COUNTOF(deeds) && !pb_str_is(deed, deeds[i].word)) i++;
    if (i == PB_COUNTOF(deeds)) return false;
    pb_form_get(pb_http_body(req), "object", &object);
    pb_form_get(pb_http_body(req), "name", &name);
    pb_form_get(pb_http_body(req), "held", &held);
    wish.deed = deeds[i].deed;
    wish.object = pb_buf_view(&object);
    wish.name = pb_buf_view(&name);
    wish.held = pb_str_is(pb_buf_view(&held), "all")    ? PB_HELD_ALL
                : pb_str_is(pb_buf_view(&held), "once") ? PB_HELD_ONCE
                                                        : PB_HELD_NONE;
    if (!o->chains || !o->durable || !object.n || object.n > 256 || name.n > 256) {
        pb_fail(&err, PBAY_INVALID_ARGUMENT,
                "object= (a chain, a run, an event) and for some name= (an app) are expected");
        pb_http_error(req, 0, &err);
    } else {
        struct visit *v = visit(o, req);
        v->browser = browser;
        v->type = "application/json";
        pb_chain_work_do(o->chains, &wish, answer_text, v);
    }
    pb_buf_free(&object);
    pb_buf_free(&name);
    pb_buf_free(&held);
    return true;
}
