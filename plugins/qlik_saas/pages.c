/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <stdlib.h>
#include <string.h>

struct pages {
    struct qlik *q;
    struct pages_request rq;
    json_t *all;
    int n, hooks, cancelled;
    struct api_call *call;
    pages_done done;
    void *user;
};

static void finish(struct pages *p, const pbay_result *result, int cut)
{
    p->done(p->user, result, p->all, cut);
    json_decref(p->all);
    free(p);
}

static void fail(struct pages *p, int32_t code, const char *message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = (pbay_str){message, strlen(message)};
    finish(p, &r, 0);
}

static void on_page(void *user, const struct api_reply *reply);

static void ask(struct pages *p, pbay_str path)
{
    const struct api_request r = {
        .method = "GET", .path = path, .tier = TIER_READ, .deadline = p->rq.deadline, .max_reply = 32 << 20};
    p->call = api_send(p->q, &r, on_page, p);
}

static void ask_hooks(struct pages *p)
{
    pbay_text path = {NULL, 0, 0};
    pbay_text_printf(&path, "%s?limit=100", hooks_path(p->q));
    ask(p, pbay_text_view(&path));
    pbay_text_free(&path);
}

static void on_page(void *user, const struct api_reply *reply)
{
    struct pages *p = user;
    const pbay_result ok = PBAY_RESULT_OK;
    p->call = NULL;
    if (p->cancelled) {
        fail(p, PBAY_CANCELLED, "cancelled");
        return;
    }
    if (p->hooks && reply->status == 404 && p->q->host->get_int(p->q->config, "webhooks_api") == 0 &&
        !p->q->hooks_v1) {
        p->q->hooks_v1 = 1; /* a tenant that has only the older path */
        ask_hooks(p);
        return;
    }
    if (reply->result.code != PBAY_OK) {
        finish(p, &reply->result, 0);
        return;
    }
    json_t *root = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    const json_t *data = json_object_get(root, "data");
    if (!json_is_array(data)) {
        json_decref(root);
        fail(p, PBAY_INTERNAL, "Qlik Cloud's list is not JSON with an array `data`");
        return;
    }
    json_array_extend(p->all, (json_t *)(uintptr_t)data);
    pbay_str next = api_next_page(root);
    int wanted = next.n && (!p->rq.more || p->rq.more(p->user, data)), full = ++p->n >= p->rq.max_pages;
    if (wanted && !full)
        ask(p, next);
    else
        finish(p, &ok, wanted && full);
    json_decref(root);
}

static struct pages *begin(struct qlik *q, const struct pages_request *request, pages_done done, void *user)
{
    struct pages *p = qlik_alloc(sizeof *p);
    p->q = q;
    p->rq = *request;
    if (!p->rq.max_pages) p->rq.max_pages = 50;
    p->all = json_array();
    p->done = done;
    p->user = user;
    return p;
}

struct pages *pages_get(struct qlik *q, const struct pages_request *request, pages_done done, void *user)
{
    struct pages *p = begin(q, request, done, user);
    ask(p, request->path);
    return p;
}

void pages_cancel(struct pages *p)
{
    if (!p || p->cancelled) return;
    p->cancelled = 1;
    api_cancel(p->call);
}

const char *hooks_path(const struct qlik *q)
{
    int64_t which = q->host->get_int(q->config, "webhooks_api");
    return which == 2 || (which == 0 && q->hooks_v1) ? "/api/v1/webhooks" : "/api/core/webhooks";
}

struct pages *hooks_list(struct qlik *q, int64_t deadline, pages_done done, void *user)
{
    const struct pages_request request = {.deadline = deadline};
    struct pages *p = begin(q, &request, done, user);
    p->hooks = 1;
    ask_hooks(p);
    return p;
}
