/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"

enum { PAGES_MAX = 50, LISTED = 8, CACHE_MAX = 20000 };

struct name_entry {
    struct name_entry *next;
    char *name, *space, *id, *json;
    int is_space;
    int64_t until; /* monotonic ns */
};

struct name_lookup {
    struct qlik *q;
    char *name, *space, *space_id;
    int is_space, in_space; /* what is asked for; the space of the app is being looked for now */
    int cancelled, pages, found;
    int64_t deadline;
    struct api_call *call;
    pbay_timer later;
    char *id;
    pbay_text json, near; /* of the one that was found; names of others */
    unsigned n_near;
    names_done done;
    void *user;
    pbay_result result;
    char message[900];
};

/* ------------------------------------------------------------------------------------------------ cache */

static struct name_entry *cached(struct qlik *q, pbay_str name, pbay_str space, int is_space)
{
    int64_t now = q->timer->monotonic_ns();
    for (struct name_entry *e = q->names; e; e = e->next)
        if (e->is_space == is_space && e->until > now && fold_equal(pbay_str_c(e->name), name) &&
            fold_equal(pbay_str_c(e->space), space))
            return e;
    return NULL;
}

static void drop(struct name_entry **at)
{
    struct name_entry *e = *at;
    *at = e->next;
    free(e->name);
    free(e->space);
    free(e->id);
    free(e->json);
    free(e);
}

static void keep(struct name_lookup *l)
{
    struct qlik *q = l->q;
    int64_t life = q->host->get_int(q->config, "name_cache"), now = q->timer->monotonic_ns();
    unsigned n = 0;
    for (struct name_entry **at = &q->names; *at;) {
        if ((*at)->until <= now || n >= CACHE_MAX)
            drop(at);
        else {
            at = &(*at)->next;
            n++;
        }
    }
    if (!life) return;
    struct name_entry *e = qlik_alloc(sizeof *e);
    e->name = qlik_copy(pbay_str_c(l->name));
    e->space = qlik_copy(pbay_str_c(l->space));
    e->id = qlik_copy(pbay_str_c(l->id));
    e->json = qlik_copy(pbay_text_view(&l->json));
    e->is_space = l->is_space;
    e->until = now + life * NS_PER_MS;
    e->next = q->names;
    q->names = e;
}

void names_forget(struct qlik *q, pbay_str app)
{
    for (struct name_entry **at = &q->names; *at;) {
        if (!app.n || qlik_same(pbay_str_c((*at)->id), app))
            drop(at);
        else
            at = &(*at)->next;
    }
}

void names_free(struct qlik *q)
{
    while (q->names) drop(&q->names);
}

/* ------------------------------------------------------------------------------------------------ the end */

static void finish(void *user)
{
    struct name_lookup *l = user;
    if (l->cancelled) {
        l->result = (pbay_result)PBAY_RESULT_OK;
        l->result.code = PBAY_CANCELLED;
    }
    int ok = l->result.code == PBAY_OK;
    l->done(l->user, &l->result, ok ? pbay_str_c(l->id) : pbay_str_c(NULL),
            ok ? pbay_text_view(&l->json) : pbay_str_c(NULL));
    free(l->name);
    free(l->space);
    free(l->space_id);
    free(l->id);
    pbay_text_free(&l->json);
    pbay_text_free(&l->near);
    free(l);
}

static void fail(struct name_lookup *l, const pbay_result *result)
{
    l->result = *result;
    snprintf(l->message, sizeof l->message, "%.*s", FMT(result->message));
    l->result.message = pbay_str_c(l->message);
    l->result.vendor_code = pbay_str_c(NULL);
    finish(l);
}

static void settle(struct name_lookup *l);

/* ------------------------------------------------------------------------------------------------ asking */

static pbay_str member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static void add_member(pbay_text *t, const char *name, pbay_str value)
{
    pbay_text_printf(t, "%s\"%s\":", t->n > 1 ? "," : "", name);
    if (value.p)
        pbay_text_json(t, value);
    else
        pbay_text_c(t, "null");
}

/* One item or space that the search found. */
static void look_at(struct name_lookup *l, const json_t *item, int space)
{
    pbay_str name = member(item, "name"), id = member(item, space ? "id" : "resourceId");
    if (!name.n || !id.n) return;
    int same = fold_equal(name, space && l->in_space ? pbay_str_c(l->space) : pbay_str_c(l->name));
    if (!same || l->found) {
        if (l->n_near++ < LISTED || same)
            pbay_text_printf(&l->near, "%s\"%.*s\"%s%.*s", l->near.n ? ", " : "", FMT(name), same ? " " : "",
                             same ? (int)id.n : 0, id.p);
        l->found += same;
        return;
    }
    l->found = 1;
    free(l->id);
    l->id = qlik_copy(id);
    pbay_text_clear(&l->json);
    pbay_text_c(&l->json, "{");
    if (space) {
        add_member(&l->json, "id", id);
        add_member(&l->json, "name", name);
        add_member(&l->json, "type", member(item, "type"));
    } else {
        add_member(&l->json, "appId", id);
        add_member(&l->json, "name", name);
        add_member(&l->json, "spaceId", member(item, "spaceId"));
        add_member(&l->json, "itemId", member(item, "id"));
    }
    pbay_text_c(&l->json, "}");
}

static void on_page(void *user, const struct api_reply *reply);

static void ask(struct name_lookup *l, pbay_str path)
{
    const struct api_request r = {.method = "GET", .path = path, .tier = TIER_READ, .deadline = l->deadline};
    l->call = api_send(l->q, &r, on_page, l);
}

static void ask_first(struct name_lookup *l)
{
    pbay_text path = {NULL, 0, 0};
    int space = l->is_space || l->in_space;
    l->found = 0;
    l->pages = 0;
    l->n_near = 0;
    pbay_text_clear(&l->near);
    pbay_text_c(&path, space ? "/api/v1/spaces?limit=100&name="
                             : "/api/v1/items?resourceType=app&noActions=true&limit=100&name=");
    pbay_text_percent(&path, pbay_str_c(l->in_space ? l->space : l->name));
    if (!space && l->space_id) {
        pbay_text_c(&path, "&spaceId=");
        pbay_text_percent(&path, pbay_str_c(l->space_id));
    }
    ask(l, pbay_text_view(&path));
    pbay_text_free(&path);
}

static void on_page(void *user, const struct api_reply *reply)
{
    struct name_lookup *l = user;
    l->call = NULL;
    if (reply->result.code != PBAY_OK || l->cancelled) {
        fail(l, &reply->result);
        return;
    }
    json_t *root = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    const json_t *data = json_object_get(root, "data"), *item;
    size_t i;
    if (!json_is_array(data)) {
        pbay_result r = PBAY_RESULT_OK;
        r.code = PBAY_INTERNAL;
        r.message = STR("Qlik Cloud's list of items is not JSON with an array `data`");
        json_decref(root);
        fail(l, &r);
        return;
    }
    json_array_foreach(data, i, item) look_at(l, item, l->is_space || l->in_space);
    pbay_str next = api_next_page(root);
    if (next.n && ++l->pages < PAGES_MAX)
        ask(l, next);
    else
        settle(l);
    json_decref(root);
}

/* Everything was seen. */
static void settle(struct name_lookup *l)
{
    int space = l->is_space || l->in_space;
    const char *wanted = l->in_space ? l->space : l->name;
    l->result = (pbay_result)PBAY_RESULT_OK;
    if (l->found == 1 && l->in_space) {
        l->in_space = 0;
        l->space_id = l->id;
        l->id = NULL;
        ask_first(l);
        return;
    }
    if (l->found == 1) {
        keep(l);
        finish(l);
        return;
    }
    const char *in = !space && l->space[0] ? l->space : NULL;
    if (l->found)
        snprintf(l->message, sizeof l->message,
                 "there are %d %ss named \"%.200s\"%s%s%s; the others are %.*s", l->found,
                 space ? "space" : "app", wanted, in ? " in the space \"" : "", in ? in : "", in ? "\"" : "",
                 (int)(l->near.n < 400 ? l->near.n : 400), l->near.n ? l->near.p : "");
    else
        snprintf(l->message, sizeof l->message, "there is no %s named \"%.200s\"%s%s%s%s%.*s",
                 space ? "space" : "app", wanted, in ? " in the space \"" : "", in ? in : "", in ? "\"" : "",
                 l->near.n ? "; there is " : "", (int)(l->near.n < 400 ? l->near.n : 400),
                 l->near.n ? l->near.p : "");
    l->result.code = l->found ? PBAY_FAILED_PRECONDITION : PBAY_NOT_FOUND;
    l->result.message = pbay_str_c(l->message);
    finish(l);
}

static struct name_lookup *begin(struct qlik *q, pbay_str name, pbay_str space, int is_space,
                                 int64_t deadline, names_done done, void *user)
{
    struct name_lookup *l = qlik_alloc(sizeof *l);
    l->q = q;
    l->name = qlik_copy(name);
    l->space = qlik_copy(space);
    l->is_space = is_space;
    l->deadline = deadline;
    l->done = done;
    l->user = user;
    const struct name_entry *e = cached(q, name, space, is_space);
    if (e) {
        l->result = (pbay_result)PBAY_RESULT_OK;
        l->id = qlik_copy(pbay_str_c(e->id));
        pbay_text_c(&l->json, e->json);
        l->later = q->timer->start(q->host, 0, 0, finish, l);
        return l;
    }
    if (!is_space && fold_equal(space, STR("personal")))
        l->space_id = qlik_copy(STR("personal")); /* not among the spaces, but understood */
    else
        l->in_space = !is_space && space.n;
    ask_first(l);
    return l;
}

struct name_lookup *names_app(struct qlik *q, pbay_str name, pbay_str space, int64_t deadline,
                              names_done done, void *user)
{
    return begin(q, name, space, 0, deadline, done, user);
}

struct name_lookup *names_space(struct qlik *q, pbay_str name, int64_t deadline, names_done done, void *user)
{
    return begin(q, name, pbay_str_c(""), 1, deadline, done, user);
}

void names_cancel(struct name_lookup *l)
{
    if (!l || l->cancelled) return;
    l->cancelled = 1;
    api_cancel(l->call);
}
