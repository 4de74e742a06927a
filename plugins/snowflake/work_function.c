/* SPDX-License-Identifier: MIT */
/* The work that is a function of patchbay.ini: the rows go through its whole pipeline, and come back in
 * order.
 */
#include "flight.h"

static void on_ready(void *user, pbay_invoke call)
{
    struct flight *f = user;
    struct snowflake *s = f->s;
    if (s->invoke->push(call, f->in) == PBAY_OK) s->invoke->end(call); /* LATER: here again; else on_done */
}

static void on_rows(void *user, pbay_invoke call, const pbay_batch *rows)
{
    struct flight *f = user;
    struct snowflake *s = f->s;
    s->invoke->credit(call, rows->n_rows);
    if (f->over_limit || f->answered + rows->n_rows > f->in->n_rows) return;
    reply_add(&f->reply, rows);
    f->answered += rows->n_rows;
    if (f->reply.bytes <= 2 * s->max_reply) return;
    f->over_limit = 1;
    s->invoke->cancel(call);
}

static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct flight *f = user;
    pbay_result r = *result;
    (void)call;
    (void)json;
    f->call = 0;
    if (f->over_limit) r = (pbay_result)PBAY_RESULT_OK; /* flight_done says what is wrong */
    if (r.code == PBAY_OK && !f->over_limit && f->answered != f->in->n_rows) {
        r.code = PBAY_INTERNAL;
        r.message = STR("the function did not answer every row");
    }
    flight_done(f, &r);
}

/* The batch id, with the query's before it where it does not hold that anyway. */
static pbay_str text_id(const struct flight *f, char *room, size_t n)
{
    pbay_str q = f->query_id, b = f->batch_id;
    if (!q.n || (b.n >= q.n && memcmp(b.p, q.p, q.n) == 0) || q.n + b.n + 2 > n) return b;
    return (pbay_str){room, (size_t)snprintf(room, n, "%.*s/%.*s", (int)q.n, q.p, (int)b.n, b.n ? b.p : "")};
}

static int begin(struct flight *f, pbay_result *why)
{
    char id[512];
    static const pbay_invoke_events events = {sizeof events, 0, on_ready, NULL, on_rows, on_done};
    struct snowflake *s = f->s;
    pbay_invoke_info info = {.struct_size = sizeof info,
                             .kind = PBAY_INVOKE_FUNCTION,
                             .target = f->name,
                             .flags = PBAY_INVOKE_DETACHED | (f->rows_mode ? PBAY_INVOKE_ROW_ERRORS : 0),
                             .parent_request = f->waiters ? f->waiters->request : 0,
                             .deadline = f->deadline,
                             .user = f->user,
                             .app = f->account,
                             /* Without effects the key is only what the log calls it. */
                             .key = f->effects ? str_c(f->key) : text_id(f, id, sizeof id)};
    f->call = s->invoke->open(s->host, &info, (pbay_str){NULL, 0}, &events, f, why);
    if (!f->call) return -1;
    on_ready(f, f->call);
    return 0;
}

static void cancel(struct flight *f)
{
    if (f->call) f->s->invoke->cancel(f->call);
}

const struct work function_work = {"function", begin, cancel, NULL};
