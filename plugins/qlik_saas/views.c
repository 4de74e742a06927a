/* SPDX-License-Identifier: MIT */
#include "views.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kit/percent.h"

enum { ORG_ROWS_MAX = 20000, ORG_DEPTH_MAX = 64 };

struct view {
    const char *format;
    uint32_t picture; /* PBAY_CHAIN_* */
    const char *content_type;
    int org;
};

static const struct view VIEWS[] = {
    {"list", PBAY_CHAIN_LIST, "application/json", 0},
    {"rows", PBAY_CHAIN_ROWS, "application/json", 0},
    {"orgchart", PBAY_CHAIN_ROWS, "application/json", 1},
    {"dot", PBAY_CHAIN_DOT, "text/vnd.graphviz; charset=utf-8", 0},
    {"mermaid", PBAY_CHAIN_MERMAID, "text/plain; charset=utf-8", 0},
    {"json", PBAY_CHAIN_JSON, "application/json", 0},
};

struct asked {
    struct qlik *q;
    pbay_request request;
    const struct view *view;
};

static void answer(struct qlik *q, pbay_request request, int32_t status, const char *type, pbay_str body)
{
    const pbay_header headers[] = {{STR("Content-Type"), pbay_str_c(type)},
                                   {STR("Cache-Control"), STR("no-store")}};
    q->request->respond(request, status, headers, COUNT(headers), body);
}

static void refuse(struct qlik *q, pbay_request request, int32_t status, const char *code, pbay_str message)
{
    pbay_text body = {NULL, 0, 0};
    pbay_text_printf(&body, "{\"error\":{\"code\":\"%s\",\"message\":", code);
    pbay_text_json(&body, message);
    pbay_text_c(&body, "}}");
    answer(q, request, status, "application/json", pbay_text_view(&body));
    pbay_text_free(&body);
}

/* ------------------------------------------------------------------------------------------------ org chart
 */

/* What the org chart wants: a row for each way that leads to a node, since a node of it has one parent. */
struct org {
    json_t *below; /* "CHAIN\nPARENT" -> its rows */
    pbay_text *out;
    size_t n;
};

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static void put(pbay_text *out, const char *name, const char *value)
{
    pbay_text_c(out, name);
    pbay_text_json(out, pbay_str_c(value));
}

static json_t *children(json_t *below, const char *chain, const char *parent, int make)
{
    pbay_text key = {NULL, 0, 0};
    pbay_text_printf(&key, "%s\n%s", chain, parent);
    pbay_text_add(&key, (pbay_str){"", 1});
    json_t *list = json_object_get(below, key.p);
    if (!list && make) {
        list = json_array();
        json_object_set_new(below, key.p, list);
    }
    pbay_text_free(&key);
    return list;
}

static void climb(struct org *g, const char *chain, const char *parent, const char *path, unsigned depth)
{
    json_t *row, *seen = json_object();
    size_t i;
    json_array_foreach(children(g->below, chain, parent, 0), i, row)
    {
        const char *id = member(row, "node_id");
        if (g->n >= ORG_ROWS_MAX) break;
        if (json_object_get(seen, id)) continue; /* by another condition: the same place */
        json_object_set(seen, id, row);
        pbay_text mine = {NULL, 0, 0};
        pbay_text_printf(&mine, "%s/%s", path, id);
        pbay_text_add(&mine, (pbay_str){"", 1});
        pbay_text_c(g->out, g->n++ ? ",\n{" : "{");
        put(g->out, "\"node\":", mine.p);
        put(g->out, ",\"parent\":", path);
        put(g->out, ",\"name\":", member(row, "node_name"));
        put(g->out, ",\"status\":", member(row, "last_status"));
        put(g->out, ",\"condition\":", member(row, "condition"));
        put(g->out, ",\"chain\":", chain);
        put(g->out, ",\"app_id\":", member(row, "app_id"));
        pbay_text_c(g->out, "}");
        if (depth < ORG_DEPTH_MAX && *id) climb(g, chain, id, mine.p, depth + 1);
        pbay_text_free(&mine);
    }
    json_decref(seen);
}

/* Rows of the service to rows of the chart; appended. */
static void org_chart(pbay_str text, pbay_text *out)
{
    json_t *rows = json_loadb(text.n ? text.p : "", text.n, 0, NULL), *row;
    json_t *chains = json_array(), *name;
    struct org g = {json_object(), out, 0};
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *chain = member(row, "chain"),
                   *last = json_string_value(json_array_get(chains, json_array_size(chains) - 1));
        if (!last || strcmp(last, chain) != 0)
            json_array_append_new(chains, json_string(chain)); /* they stand together */
        json_array_append(children(g.below, chain, member(row, "parent_id"), 1), row);
    }
    pbay_text_c(out, "[");
    json_array_foreach(chains, i, name)
    {
        const char *chain = json_string_value(name);
        pbay_text_c(out, g.n++ ? ",\n{" : "{");
        put(out, "\"node\":", chain);
        put(out, ",\"parent\":", "");
        put(out, ",\"name\":", chain);
        pbay_text_c(out, ",\"status\":\"\",\"condition\":\"\"");
        put(out, ",\"chain\":", chain);
        pbay_text_c(out, ",\"app_id\":\"\"}");
        climb(&g, chain, "", chain, 0);
    }
    pbay_text_c(out, "]\n");
    json_decref(g.below);
    json_decref(chains);
    json_decref(rows);
}

/* ------------------------------------------------------------------------------------------------ requests
 */

static void on_graph(void *user, const pbay_result *result, pbay_str text)
{
    struct asked *a = user;
    if (result->code != PBAY_OK) {
        int missing = result->code == PBAY_NOT_FOUND;
        refuse(a->q, a->request, missing ? 404 : 503, missing ? "NOT_FOUND" : "UNAVAILABLE", result->message);
    } else if (a->view->org) {
        pbay_text out = {NULL, 0, 0};
        org_chart(text, &out);
        answer(a->q, a->request, 200, a->view->content_type, pbay_text_view(&out));
        pbay_text_free(&out);
    } else
        answer(a->q, a->request, 200, a->view->content_type, text);
    free(a);
}

/* The value of a name in a query, decoded, owned; NULL: it is not there. */
static char *query_value(pbay_str query, const char *name)
{
    size_t n = strlen(name);
    while (query.n) {
        const char *end = memchr(query.p, '&', query.n);
        size_t len = end ? (size_t)(end - query.p) : query.n;
        if (len > n && !memcmp(query.p, name, n) && query.p[n] == '=') {
            char *value = qlik_copy((pbay_str){query.p + n + 1, len - n - 1});
            for (char *p = value; *p; p++)
                if (*p == '+') *p = ' ';
            ptrdiff_t got = pbay_percent_decode(pbay_str_c(value), value);
            if (got < 0 || memchr(value, 0, (size_t)got)) got = 0;
            value[got] = 0;
            return value;
        }
        query.p += len + (end != NULL);
        query.n -= len + (end != NULL);
    }
    return NULL;
}

void views_handle(struct qlik *q, pbay_request request, const pbay_request_info *info)
{
    char *format = query_value(info->query, "format"), *chain = query_value(info->query, "chain");
    const struct view *view = format ? NULL : &VIEWS[0];
    for (size_t i = 0; format && i < COUNT(VIEWS); i++)
        if (!strcmp(format, VIEWS[i].format)) view = &VIEWS[i];
    if (!view) {
        refuse(q, request, 400, "INVALID_ARGUMENT",
               STR("format is one of list, rows, orgchart, dot, mermaid, json"));
    } else if (!q->chain) {
        refuse(q, request, 501, "UNIMPLEMENTED", STR("this gateway has no chains"));
    } else {
        struct asked *a = qlik_alloc(sizeof *a);
        *a = (struct asked){q, request, view};
        q->chain->graph(q->host, view->picture, pbay_str_c(chain), on_graph, a);
    }
    free(format);
    free(chain);
}
