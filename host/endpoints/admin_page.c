/* SPDX-License-Identifier: MIT */
/* The page for people: rendered here, without scripts. Every text from outside goes through text(). */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "endpoints/admin_priv.h"
#include "plugin/connector.h"
#include "plugin/registry.h"

enum { TEXT_MAX = 1024 };

/* ------------------------------------------------------------------------------------------------ pieces */

/* Escaped and cut; control characters and broken UTF-8 become visible marks. */
void pb_admin_text(struct pb_buf *out, pbay_str s)
{
    if (s.n > TEXT_MAX) s.n = pb_utf8_floor(s, TEXT_MAX);
    if (!pb_utf8_valid(s)) s = PB_STR("(not UTF-8)");
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '<')
            pb_buf_c(out, "&lt;");
        else if (c == '>')
            pb_buf_c(out, "&gt;");
        else if (c == '&')
            pb_buf_c(out, "&amp;");
        else if (c == '"')
            pb_buf_c(out, "&quot;");
        else if (c == '\'')
            pb_buf_c(out, "&#39;");
        else if (c < 0x20 || c == 0x7f)
            pb_buf_printf(out, "\\x%02x", c);
        else
            pb_buf_ch(out, (char)c);
    }
}

static void text(struct pb_buf *out, pbay_str s)
{
    pb_admin_text(out, s);
}

/* 1234567 -> "1,234,567" */
static void number(struct pb_buf *out, int64_t n)
{
    char digits[PB_F64_MAX];
    size_t len = pb_format_i64(n, digits);
    for (size_t i = 0; i < len; i++) {
        pb_buf_ch(out, digits[i]);
        size_t left = len - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-') pb_buf_ch(out, ',');
    }
}

static void cell(struct pb_buf *out, int64_t n)
{
    pb_buf_c(out, "<td class=n>");
    number(out, n);
    pb_buf_c(out, "</td>");
}

static void state(struct pb_buf *out, const char *class, const char *word)
{
    pb_buf_printf(out, "<td><span class=\"state %s\">%s</span>", class, word);
}

static void hidden(struct pb_buf *out, const char *name, pbay_str value)
{
    pb_buf_printf(out, "<input type=hidden name=%s value=\"", name);
    text(out, value);
    pb_buf_c(out, "\">");
}

static const struct pb_pause *paused(const struct pb_admin_view *v, const char *kind, pbay_str name)
{
    for (size_t i = 0; v->store && i < v->store->pauses.n; i++) {
        const struct pb_pause *p = v->store->pauses.items[i];
        if (pb_str_is(p->kind, kind) && pb_str_eq(p->name, name)) return p;
    }
    return NULL;
}

static void pause_note(struct pb_buf *out, const struct pb_pause *p)
{
    pb_buf_c(out, "<small>by ");
    text(out, p->by);
    if (p->why.n) {
        pb_buf_c(out, ": ");
        text(out, p->why);
    }
    pb_buf_c(out, "</small>");
}

static void pause_button(const struct pb_admin_view *v, struct pb_buf *out, const char *kind, pbay_str name,
                         bool is_paused)
{
    pb_buf_c(out, "<td class=n>");
    if (v->csrf.n && v->store) {
        pb_buf_c(out, "<form method=post action=/action>");
        hidden(out, "csrf", v->csrf);
        hidden(out, "do", is_paused ? PB_STR("unpause") : PB_STR("pause"));
        hidden(out, "kind", pb_str_c(kind));
        hidden(out, "name", name);
        pb_buf_printf(out, "<button>%s</button></form>", is_paused ? "Go on" : "Pause");
    }
    pb_buf_c(out, "</td>");
}

void pb_admin_head(struct pb_buf *out)
{
    pb_buf_c(out, "<!doctype html><html lang=en><meta charset=utf-8><title>Patchbay</title>"
                  "<meta name=viewport content=\"width=device-width\"><link rel=stylesheet href=/style.css>");
}

/* ------------------------------------------------------------------------------------------------
 * functions */

struct sums {
    int64_t calls, errors, rows, in_flight, ns;
};

static struct sums sums_of(const struct pb_function_counters *c)
{
    struct sums s = {.rows = pb_metric_sum(c->metrics, c->rows_in),
                     .in_flight = pb_metric_sum(c->metrics, c->in_flight),
                     .ns = pb_metric_sum(c->metrics, c->latency.first + c->latency.n + 1)};
    for (int i = 0; i < PB_CODES; i++) {
        int64_t n = pb_metric_sum(c->metrics, c->by_code[i]);
        s.calls += n;
        if (i != PBAY_OK && i != PBAY_CANCELLED) s.errors += n;
    }
    return s;
}

static void function_row(const struct pb_admin_view *v, const struct pb_catalog *catalog,
                         const struct pb_function *fn, struct pb_buf *out)
{
    static const char *const shapes[] = {"map", "aggregate", "table"};
    struct sums s = sums_of(fn->counters);
    const struct pb_pause *p = paused(v, "function", fn->name);
    pb_buf_c(out, "<tr><td class=wide><b>");
    text(out, fn->name);
    pb_buf_c(out, "</b>");
    if (fn->doc.n) {
        pb_buf_c(out, "<small>");
        text(out, fn->doc);
        pb_buf_c(out, "</small>");
    }
    pb_buf_c(out, "</td><td>");
    text(out, catalog->name);
    pb_buf_printf(out, "<small>id %d</small></td><td>%s</td>", (int)fn->id,
                  shapes[fn->shape == PBAY_SHAPE_TABLE ? 2 : fn->shape == PBAY_SHAPE_AGGREGATE]);
    cell(out, s.calls);
    cell(out, s.errors);
    cell(out, s.rows);
    cell(out, s.in_flight);
    if (s.calls)
        pb_buf_printf(out, "<td class=n>%.1f</td>", (double)s.ns / 1e6 / (double)s.calls);
    else
        pb_buf_c(out, "<td class=n>–</td>");
    if (p) {
        state(out, "warn", "paused");
        pause_note(out, p);
    } else if (fn->refusal)
        state(out, "bad", "not served");
    else
        state(out, "ok", "serving");
    pb_buf_c(out, "</td>");
    pause_button(v, out, "function", fn->name, p != NULL);
    pb_buf_c(out, "</tr>");
}

static void functions(const struct pb_admin_view *v, struct pb_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < v->o->n_catalogs; i++) n += v->o->catalogs[i]->n;
    pb_buf_printf(out, "<section><h2>Functions<small>%zu</small></h2>", n);
    if (n)
        pb_buf_c(out, "<table><tr><th>Name<th>Catalog<th>Shape<th class=n>Calls<th class=n>Errors"
                      "<th class=n>Rows<th class=n>In flight<th class=n>Mean ms<th>State<th></tr>");
    else
        pb_buf_c(out, "<p class=none>patchbay.ini declares none.</p>");
    for (size_t i = 0; i < v->o->n_catalogs; i++)
        for (size_t k = 0; k < v->o->catalogs[i]->n; k++)
            function_row(v, v->o->catalogs[i], v->o->catalogs[i]->functions[k], out);
    pb_buf_c(out, n ? "</table></section>" : "</section>");
}

/* ------------------------------------------------------------------------------------------------
 * connectors */

/* One of the counts that pb_registry_publish keeps, over all workers. */
static int64_t connector_sum(struct pb_metrics *m, struct pb_connector *c, enum pb_metric_type type,
                             const char *name)
{
    struct pb_buf labels = {0};
    pb_metric_label(&labels, "connector", pb_connector_name(c));
    pb_metric_label(&labels, "plugin", pb_str_c(pb_connector_plugin(c)->name));
    pb_buf_ch(&labels, 0);
    int64_t n = pb_metric_sum(m, pb_metric(m, type, name, labels.p, ""));
    pb_buf_free(&labels);
    return n;
}

static void connector_row(const struct pb_admin_view *v, struct pb_connector *c, struct pb_buf *out)
{
    static const char *const classes[] = {"", "ok", "warn", "bad"};
    struct pb_metrics *m = v->o->metrics;
    pbay_str sentence = {NULL, 0}, name = pb_connector_name(c);
    enum pb_connector_state st = pb_connector_state(c, &sentence);
    const struct pb_pause *p = paused(v, "connector", name);
    pb_buf_c(out, "<tr><td class=wide><b>");
    text(out, name);
    pb_buf_c(out, "</b></td><td>");
    text(out, pb_str_c(pb_connector_plugin(c)->name));
    pb_buf_c(out, "<small>");
    text(out, pb_str_c(pb_connector_plugin(c)->descriptor.version));
    pb_buf_c(out, "</small></td>");
    cell(out, connector_sum(m, c, PB_METRIC_COUNTER, "connector_calls_total"));
    cell(out, connector_sum(m, c, PB_METRIC_COUNTER, "connector_failed_total"));
    cell(out, connector_sum(m, c, PB_METRIC_COUNTER, "connector_rows_total"));
    cell(out, connector_sum(m, c, PB_METRIC_GAUGE, "connector_in_flight"));
    if (p)
        state(out, "warn", "paused");
    else
        state(out, classes[st], pb_connector_state_name(st));
    if (p) pause_note(out, p);
    if (sentence.n) {
        pb_buf_c(out, "<small>");
        text(out, sentence);
        pb_buf_c(out, "</small>");
    }
    pb_buf_c(out, "</td>");
    pause_button(v, out, "connector", name, p != NULL);
    pb_buf_c(out, "</tr>");
}

static void connectors(const struct pb_admin_view *v, struct pb_buf *out)
{
    size_t n = pb_registry_n_connectors(v->o->registry);
    pb_buf_printf(out, "<section><h2>Connectors<small>%zu</small></h2>", n);
    if (!n) {
        pb_buf_c(out, "<p class=none>patchbay.ini configures none.</p></section>");
        return;
    }
    pb_buf_c(out, "<table><tr><th>Name<th>Plugin<th class=n>Batches<th class=n>Failed<th class=n>Rows"
                  "<th class=n>In flight<th>State<th></tr>");
    for (size_t i = 0; i < n; i++) connector_row(v, pb_registry_connector_at(v->o->registry, i), out);
    pb_buf_c(out, "</table></section>");
}

/* ------------------------------------------------------------------------------------------------ queues */

static void queues(const struct pb_admin_view *v, struct pb_buf *out)
{
    const struct pb_admin_store *s = v->store;
    pb_buf_printf(out, "<section><h2>Queues<small>%zu</small></h2>", s ? s->n : 0);
    if (!s || !s->n) {
        pb_buf_printf(out, "<p class=none>%s</p></section>",
                      s ? "No durable work is waiting." : "The store cannot be read; the log says why.");
        return;
    }
    pb_buf_c(out, "<table><tr><th>Queue<th class=n>Waiting<th class=n>Running<th class=n>Parked"
                  "<th class=n>Dead<th>State<th></tr>");
    for (size_t i = 0; i < s->n; i++) {
        const struct pb_admin_queue *q = &s->queues[i];
        pbay_str name = pb_str_c(q->name);
        const struct pb_pause *p = paused(v, "queue", name);
        pb_buf_c(out, "<tr><td class=wide><b>");
        text(out, name);
        pb_buf_c(out, "</b></td>");
        cell(out, (int64_t)q->n[PB_JOB_WAITING]);
        cell(out, (int64_t)q->n[PB_JOB_RUNNING]);
        cell(out, (int64_t)q->n[PB_JOB_PARKED]);
        cell(out, (int64_t)q->n[PB_JOB_DEAD]);
        state(out, p || q->n[PB_JOB_DEAD] ? "warn" : "ok", p ? "paused" : "running");
        if (p) pause_note(out, p);
        pb_buf_c(out, "</td>");
        pause_button(v, out, "queue", name, p != NULL);
        pb_buf_c(out, "</tr>");
    }
    pb_buf_c(out, "</table></section>");
}

/* ------------------------------------------------------------------------------------------------ workers */

/* Resident memory of a process in bytes; 0: it cannot be told. */
static int64_t resident(int pid)
{
    char path[64];
    long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    if (fscanf(f, "%*s %lld", &pages) != 1) pages = 0;
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static void worker_row(const struct pb_page *page, uint32_t i, struct pb_buf *out)
{
    const struct pb_page_row *r = &page->rows[i];
    const struct pb_page_mark *m = &r->mark;
    int pid = atomic_load(&r->pid);
    int64_t now = pb_mono_ns(), beat = now - atomic_load(&r->heartbeat_ns);
    int64_t up = (now - atomic_load(&r->started_ns)) / PB_SEC;
    pb_buf_printf(out, "<tr><td><b>%u</b><small>pid %d</small></td><td class=n>%u</td>", i, pid,
                  atomic_load(&r->generation));
    pb_buf_printf(out, "<td class=n>%lld:%02lld:%02lld</td>", (long long)(up / 3600),
                  (long long)(up / 60 % 60), (long long)(up % 60));
    cell(out, (int64_t)atomic_load(&r->conns));
    cell(out, (int64_t)atomic_load(&r->calls));
    pb_buf_printf(out, "<td class=n>%.0f</td>", (double)resident(pid) / (1 << 20));
    if (beat > 5 * PB_SEC)
        state(out, "bad", "not turning");
    else
        state(out, "ok", "turning");
    pb_buf_c(out, "</td><td class=wide>");
    if (atomic_load(&m->inside)) {
        /* Another process writes these: copied with an end before they are looked at. */
        char connector[PB_PAGE_NAME], what[PB_PAGE_WHAT];
        snprintf(connector, sizeof connector, "%.*s", PB_PAGE_NAME - 1, m->connector);
        snprintf(what, sizeof what, "%.*s", PB_PAGE_WHAT - 1, m->what);
        text(out, pb_str_c(connector));
        pb_buf_c(out, ": ");
        text(out, pb_str_c(what));
    }
    pb_buf_c(out, "</td></tr>");
}

static void workers(const struct pb_admin_view *v, struct pb_buf *out)
{
    const struct pb_page *page = v->o->page;
    uint32_t n = 0;
    for (uint32_t i = 0; i < PB_PAGE_ROWS; i++) n += atomic_load(&page->rows[i].pid) != 0;
    pb_buf_printf(out, "<section><h2>Workers<small>%u</small></h2>", n);
    pb_buf_c(out, "<table><tr><th>Worker<th class=n>Generation<th class=n>Up<th class=n>Connections"
                  "<th class=n>Calls<th class=n>MiB<th>Loop<th>Inside of</tr>");
    for (uint32_t i = 0; i < PB_PAGE_ROWS; i++)
        if (atomic_load(&page->rows[i].pid)) worker_row(page, i, out);
    pb_buf_c(out, "</table></section>");
}

/* ------------------------------------------------------------------------------------------------ whole */

void pb_admin_page(const struct pb_admin_view *v, struct pb_buf *out)
{
    char host[256] = "", at[PB_TIME_MAX];
    gethostname(host, sizeof host - 1);
    pb_format_time(pb_now_ms(), at);
    pb_admin_head(out);
    pb_buf_c(out, "<header><h1>Patchbay</h1>");
    pb_buf_printf(out, "<span class=\"state %s\">%s</span><span>", v->ready && !v->degraded ? "ok" : "bad",
                  !v->ready     ? "not ready"
                  : v->degraded ? "ready, degraded"
                                : "ready");
    text(out, pb_str_c(host));
    pb_buf_printf(out, "</span><span>%s</span><span class=grow></span><span>%s</span>", PB_VERSION, at);
    pb_buf_c(out, "<a href=/>Refresh</a><a href=/chains>Chains</a><a href=/metrics>Metrics</a>");
    if (v->csrf.n) {
        pb_buf_c(out, "<form method=post action=/logout>");
        hidden(out, "csrf", v->csrf);
        pb_buf_c(out, "<button>Sign out</button></form>");
    } else
        pb_buf_c(out, "<a href=/login>Sign in</a>");
    pb_buf_c(out, "</header><main>");
    if (v->notes.n) {
        pb_buf_c(out, "<p class=notes>");
        pbay_str rest = v->notes, line;
        while (pb_str_split(&rest, '\n', &line)) {
            text(out, line);
            if (rest.n) pb_buf_c(out, "\n");
        }
        pb_buf_c(out, "</p>");
    }
    functions(v, out);
    connectors(v, out);
    queues(v, out);
    workers(v, out);
    pb_buf_c(out, "</main></html>\n");
}

void pb_admin_login_page(bool wrong, struct pb_buf *out)
{
    pb_admin_head(out);
    pb_buf_c(out, "<section class=box><h1>Patchbay</h1>");
    if (wrong)
        pb_buf_c(out, "<p class=wrong>That key is not one that may sign in here.</p>");
    else
        pb_buf_c(out, "<p>The key is in admin.token of the state directory, or one with scope admin.</p>");
    pb_buf_c(out, "<form method=post action=/login><input type=password name=key placeholder=Key "
                  "autocomplete=current-password required autofocus><button>Sign in</button></form>"
                  "</section></html>\n");
}
