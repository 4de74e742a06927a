/* SPDX-License-Identifier: MIT */
/* A batch under way: a request for each row, some of them at once, and for each row page after page. */
#include <stdio.h>
#include <stdlib.h>

#include "reply.h"
#include "rest_json.h"

enum { REPLY_MOST = 4 << 20 };

/* One batch under way: the host's input, and a row of ours for each of its rows. */
struct rows {
    struct instance *x;
    const struct function *fn;
    const pbay_batch *in;
    pbay_call call;
    struct row *rows;
    uint32_t next, running;
    pbay_result end; /* the first failure: no more requests are made */
    char why[WHY];
};

struct row {
    struct rows *all;
    json_t *answer;              /* NULL: null */
    pbay_text first, url, body;  /* borrowed by the host until on_done */
    uint32_t page, unauthorized; /* requests that were answered; 401 among them */
    pbay_http exchange;
};

static void go_on(struct rows *r);

static void failed(struct rows *r, int32_t code, uint32_t advice, int32_t status, const char *what,
                   pbay_str more)
{
    if (r->end.code) return;
    snprintf(r->why, sizeof r->why, "%s%.*s", what, (int)(more.n < 300 ? more.n : 300), more.n ? more.p : "");
    pbay_fail(&r->end, code, r->why);
    r->end.advice = advice;
    r->end.vendor_status = status;
    r->end.effect =
        r->fn->method.n == 3 && !memcmp(r->fn->method.p, "GET", 3) ? PBAY_EFFECT_NONE : PBAY_EFFECT_MAYBE;
}

static void finish(struct rows *r)
{
    struct instance *x = r->x;
    pbay_builder *out = NULL;
    if (!r->end.code) {
        out = x->batch->create(x->host);
        x->batch->add_column(out, pbay_str_c("answer"), r->fn->kind);
        for (uint32_t i = 0; i < r->in->n_rows; i++)
            reply_put(x->batch, out, i, r->fn->kind, r->rows[i].answer);
    }
    for (uint32_t i = 0; i < r->in->n_rows; i++) {
        json_decref(r->rows[i].answer);
        pbay_text_free(&r->rows[i].first);
        pbay_text_free(&r->rows[i].url);
        pbay_text_free(&r->rows[i].body);
    }
    x->call->complete(r->call, &r->end, out);
    free(r->rows);
    free(r);
}

static void request(struct row *w);

/* A page of a row: its answer, or more of it, and the next page's request. */
static void page(struct row *w, pbay_str text)
{
    struct rows *r = w->all;
    const struct function *fn = r->fn;
    json_error_t e;
    json_t *v = json_loadb(text.p ? text.p : "", text.n, JSON_DECODE_ANY, &e);
    if (!v)
        failed(r, PBAY_DATA_LOSS, PBAY_ADVICE_NONE, 0,
               "the API answers something else than JSON: ", pbay_str_c(e.text));
    json_t *picked = reply_pick(v, fn->pick);
    if (fn->next.n && json_is_array(picked) && json_is_array(w->answer))
        json_array_extend(w->answer, picked);
    else if (!w->answer)
        w->answer = json_incref(picked);
    const int more = fn->next.n ? reply_next(reply_pick(v, fn->next), r->x->base, pbay_text_view(&w->first),
                                             fn->cursor, &w->url)
                                : 0;
    json_decref(v);
    if (more && w->page >= fn->pages)
        failed(r, PBAY_OUT_OF_RANGE, PBAY_ADVICE_NONE, 0, "there are more pages than `pages`",
               pbay_str_c(NULL));
    else if (more < 0)
        failed(r, PBAY_DATA_LOSS, PBAY_ADVICE_NONE, 0,
               "the next page would be at another address than `base`", pbay_str_c(NULL));
    else if (more && !r->end.code)
        request(w);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct row *w = user;
    struct rows *r = w->all;
    const int s = reply->status;
    char what[80];
    (void)exchange;
    w->exchange = 0;
    w->page++;
    r->running--;
    snprintf(what, sizeof what, "the API answers %d: ", s);
    if (r->end.code) {
        /* Somebody else's failure, or cancelled: nobody wants it any more. */
    } else if (reply->result.code) {
        failed(r, reply->result.code, reply->result.advice, 0,
               "the API does not answer: ", reply->result.message);
        r->end.effect = reply->result.effect;
    } else if (s >= 200 && s < 300) {
        page(w, reply->body);
    } else if (s == 401 && !w->unauthorized++) { /* perhaps the token is another by now */
        r->x->secret->refused(r->x->host, "token");
        w->page--;
        request(w);
    } else if (s == 429) {
        failed(r, PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW, s, what, reply->body);
        r->end.effect = PBAY_EFFECT_NONE;
    } else if (s >= 500) {
        failed(r, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, s, what, reply->body);
    } else if (s != 404) {
        failed(r, s == 401 || s == 403 ? PBAY_PERMISSION_DENIED : PBAY_INVALID_ARGUMENT, PBAY_ADVICE_NONE, s,
               what, reply->body);
    }
    go_on(r);
}

/* ------------------------------------------------------------------------------------------ the requests */

/* What w->url and w->body say. */
static void request(struct row *w)
{
    static const pbay_http_events events = {.struct_size = sizeof events, .on_done = on_done};
    struct rows *r = w->all;
    const struct instance *x = r->x;
    const pbay_host *h = x->host;
    pbay_header headers[2 * HEADERS + 3] = {{pbay_str_c("Accept"), pbay_str_c("application/json")}};
    pbay_text values[HEADERS] = {{0}}, bearer = {0};
    pbay_result why = PBAY_RESULT_OK, unset = PBAY_RESULT_OK;
    uint32_t n = 1;
    pbay_str token;
    if (w->body.n) headers[n++] = (pbay_header){pbay_str_c("Content-Type"), pbay_str_c("application/json")};
    if (x->secret->get(h, "token", &token, &unset) == PBAY_OK) {
        pbay_text_add(&bearer, x->scheme);
        pbay_text_c(&bearer, x->scheme.n ? " " : "");
        pbay_text_add(&bearer, token);
        headers[n++] = (pbay_header){h->get_str(x->config, "token_header"), pbay_text_view(&bearer)};
    }
    for (uint32_t i = 0; i < h->count(x->config, "header") && i < HEADERS; i++, n++)
        headers[n].value = h->item(x->config, "header", i, &headers[n].name);
    for (uint32_t i = 0; i < r->fn->n_headers; i++, n++) {
        template_fill(&r->fn->headers[i], r->in, (uint32_t)(w - r->rows), FILL_TEXT, &values[i]);
        headers[n] = (pbay_header){r->fn->names[i], pbay_text_view(&values[i])};
    }
    const pbay_http_request q = {.struct_size = sizeof q,
                                 .flags = PBAY_HTTP_CONFIGURED,
                                 .method = r->fn->method,
                                 .url = pbay_text_view(&w->url),
                                 .headers = headers,
                                 .n_headers = n,
                                 .body = pbay_text_view(&w->body),
                                 .max_reply = REPLY_MOST};
    w->exchange = x->http->send(h, &q, &events, w, &why);
    if (w->exchange)
        r->running++;
    else
        failed(r, why.code, why.advice, 0, "", why.message);
    for (uint32_t i = 0; i < r->fn->n_headers; i++) pbay_text_free(&values[i]);
    pbay_text_free(&bearer);
}

static void go_on(struct rows *r)
{
    while (!r->end.code && r->running < r->fn->at_once && r->next < r->in->n_rows) {
        struct row *w = &r->rows[r->next];
        w->all = r;
        pbay_text_add(&w->first, r->x->base);
        template_fill(&r->fn->path, r->in, r->next, FILL_URL, &w->first);
        template_fill(&r->fn->body, r->in, r->next++, FILL_JSON, &w->body);
        pbay_text_add(&w->url, pbay_text_view(&w->first));
        request(w);
    }
    if (!r->running) finish(r);
}

int32_t submit_rows(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct instance *x = self;
    struct rows *r = calloc(1, sizeof *r);
    struct row *rows = calloc(in->n_rows, sizeof *rows);
    if (!r || !rows) {
        free(r);
        free(rows);
        return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    }
    *r = (struct rows){.x = x, .fn = bound, .in = in, .call = call, .rows = rows, .end = PBAY_RESULT_OK};
    x->call->set_user(call, r);
    go_on(r);
    return PBAY_OK;
}

void cancel_rows(void *self, void *bound, pbay_call call)
{
    const struct instance *x = self;
    struct rows *r = x->call->user(call);
    (void)bound;
    if (!r) return;
    failed(r, PBAY_CANCELLED, PBAY_ADVICE_NONE, 0, "cancelled", pbay_str_c(NULL));
    for (uint32_t i = 0; i < r->in->n_rows; i++)
        if (r->rows[i].exchange) x->http->cancel(r->rows[i].exchange); /* on_done comes later */
}
