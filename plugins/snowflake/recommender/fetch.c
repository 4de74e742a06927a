/* SPDX-License-Identifier: MIT */
#include "fetch.h"

#include <errno.h>
#include <time.h>

#include "base/mem.h"

struct rec_fetcher {
    struct pb_loop *loop;
    struct pb_http_client *client;
};

struct wait {
    struct rec_reply *reply;
    struct pb_err *err;
    bool done;
    int rc;
};

struct rec_fetcher *rec_fetcher_new(struct pb_err *err)
{
    static const struct pb_http_client_conf conf = {.user_agent = "patchbay-recommender/" PB_VERSION};
    struct rec_fetcher *f = pb_zalloc(sizeof *f);
    f->loop = pb_loop_new(err);
    if (f->loop) f->client = pb_http_client_new(f->loop, &conf, err);
    if (f->client) return f;
    if (f->loop) pb_loop_free(f->loop);
    pb_free(f);
    return NULL;
}

static void set(void *user)
{
    *(bool *)user = true;
}

void rec_fetcher_free(struct rec_fetcher *f)
{
    if (!f) return;
    bool closed = false;
    pb_http_client_close(f->client, set, &closed);
    while (!closed) pb_loop_turn(f->loop, true);
    pb_loop_free(f->loop);
    pb_free(f);
}

static void on_done(void *user, uint64_t exchange, const struct pb_fetch_reply *reply)
{
    struct wait *w = user;
    (void)exchange;
    w->done = true;
    if (reply->result.code != PBAY_OK) {
        pb_err_from_result(w->err, &reply->result);
        w->rc = -1;
        return;
    }
    w->reply->status = reply->status;
    pb_buf_str(&w->reply->body, reply->body);
    for (uint32_t i = 0; i < reply->n_headers; i++)
        if (pb_str_is(reply->headers[i].name, "retry-after"))
            pb_parse_i64(reply->headers[i].value, &w->reply->retry_after_s);
}

int rec_fetch(struct rec_fetcher *f, const struct pb_fetch_request *request, struct rec_reply *reply,
              struct pb_err *err)
{
    static const struct pb_fetch_events events = {.on_done = on_done};
    struct wait w = {.reply = reply, .err = err};
    *reply = (struct rec_reply){0};
    if (!pb_fetch_send(f->client, request, &events, &w, err)) return -1;
    while (!w.done) pb_loop_turn(f->loop, true);
    return w.rc;
}

void rec_reply_free(struct rec_reply *reply)
{
    pb_buf_free(&reply->body);
}

void rec_sleep_ms(int64_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR) {
    }
}
