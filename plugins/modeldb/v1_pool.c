/* SPDX-License-Identifier: MIT */
#include "v1_pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHERE = 300, WHY = 700 };
#define IDLE_MS   INT64_C(60000)
#define REOPEN_NS INT64_C(1000000000)

struct v1_call {
    v1_call *next;
    pbay_text frame;
    enum v1_method method;
    int32_t seqid;
    bool again; /* it is on its second connection */
    v1_done done;
    void *user;
};

struct line {
    v1_pool *pool;
    struct line *next;
    pbay_stream s;
    bool open, used, closing;
    v1_call *call;
    pbay_text in;
    pbay_timer patience; /* for the answer; or until an idle one closes */
};

struct v1_pool {
    v1_pool_settings o;
    char *address;
    struct line *lines;
    uint32_t n_lines;
    v1_call *first, **last;
    int32_t seqid;
    pbay_timer soon; /* a turn in which what waits is given out: callbacks never come from inside a call */
    bool stopped;
    bool failing;          /* what waits ends with `failure` on that turn */
    int64_t not_before_ns; /* one more connection did not come about: not at once again, as long as there are
                              others */
    pbay_result failure;
    char failure_text[WHY];
    char where[WHERE];
    char why[WHY];
    pbay_result result;
};

static void pump(v1_pool *p);

/* ------------------------------------------------------------------------------------------------- words */

static const pbay_result *say(v1_pool *p, int32_t code, uint32_t effect, uint32_t advice, const char *fmt,
                              ...) __attribute__((format(printf, 5, 6)));

static const pbay_result *say(v1_pool *p, int32_t code, uint32_t effect, uint32_t advice, const char *fmt,
                              ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->why, sizeof p->why, fmt, ap);
    va_end(ap);
    p->result = (pbay_result)PBAY_RESULT_OK;
    p->result.code = code;
    p->result.effect = effect;
    p->result.advice = advice;
    p->result.message = (pbay_str){p->why, strlen(p->why)};
    return &p->result;
}

static uint32_t effect_of(const v1_call *c)
{
    return v1_method_repeats(c->method) ? PBAY_EFFECT_NONE : PBAY_EFFECT_MAYBE;
}

static int cut(pbay_str s)
{
    return (int)(s.n < 300 ? s.n : 300);
}

static bool holds(pbay_str s, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= s.n; i++)
        if (!memcmp(s.p + i, word, n)) return true;
    return false;
}

/* A ServerLogicException is any Java exception at all. These come again however often the call is made. */
static bool for_good(pbay_str message)
{
    static const char *const names[] = {
        "NullPointerException",   "IllegalArgumentException", "ClassCastException",
        "NumberFormatException",  "JSONParseException",       "TooManyRowsException",
        "InvalidResultException", "constraint failed",        "BsonSerializationException"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (holds(message, names[i])) return true;
    return false;
}

/* What the server said instead of a result. NULL: the caller is the judge. */
static const pbay_result *judged(v1_pool *p, const v1_call *c, const v1_answer *a)
{
    const char *method = v1_method_name(c->method);
    const pbay_str m = a->message;
    const pbay_result *r = NULL;
    if (a->end == V1_UNREADABLE) {
        r = say(p, PBAY_DATA_LOSS, effect_of(c), PBAY_ADVICE_RETRY, "%s: the answer to %s cannot be read: %s",
                p->where, method, a->why);
    } else if (a->end == V1_FAILED) {
        const bool unknown = !strcmp(a->exception.p, "unknown method");
        r = say(p, unknown ? PBAY_UNIMPLEMENTED : PBAY_INTERNAL, unknown ? PBAY_EFFECT_NONE : effect_of(c),
                unknown ? PBAY_ADVICE_NONE : PBAY_ADVICE_RETRY, "%s failed in %s: %.*s (%.*s)%s", p->where,
                method, cut(m), m.p, cut(a->exception), a->exception.p,
                unknown ? "; is this ModelDB 1.0?" : "");
    } else if (a->end == V1_REFUSED && !strcmp(a->exception.p, "ServerLogicException")) {
        const bool final = for_good(m);
        r = say(p, final ? PBAY_FAILED_PRECONDITION : PBAY_UNAVAILABLE, effect_of(c),
                final ? PBAY_ADVICE_NONE : PBAY_ADVICE_RETRY, "%s refused %s: %.*s", p->where, method, cut(m),
                m.p);
    } else if (a->end == V1_REFUSED && !strcmp(a->exception.p, "InvalidExperimentRunException")) {
        r = say(p, PBAY_ABORTED, PBAY_EFFECT_NONE, PBAY_ADVICE_RETRY, "%s refused %s: %.*s", p->where, method,
                cut(m), m.p);
    }
    if (r && a->exception.n) p->result.vendor_code = a->exception;
    return r;
}

/* ------------------------------------------------------------------------------------------------- calls */

static void free_call(v1_call *c)
{
    pbay_text_free(&c->frame);
    free(c);
}

static void end(v1_call *c, const pbay_result *failed, const v1_answer *a)
{
    if (c->done) c->done(c->user, failed, a);
    free_call(c);
}

static void put_first(v1_pool *p, v1_call *c)
{
    c->next = p->first;
    if (!p->first) p->last = &c->next;
    p->first = c;
}

static v1_call *take_first(v1_pool *p)
{
    v1_call *c = p->first;
    p->first = c->next;
    if (!p->first) p->last = &p->first;
    return c;
}

/* What waits now ends the same way; what callbacks ask for anew stays. */
static void fail_waiting(v1_pool *p)
{
    size_t n = 0;
    p->failing = false;
    for (const v1_call *c = p->first; c; c = c->next) n++;
    while (n-- && p->first) end(take_first(p), &p->failure, NULL);
}

static void on_soon(void *user)
{
    v1_pool *p = user;
    p->soon = 0;
    if (p->failing) fail_waiting(p);
    pump(p);
}

static void later(v1_pool *p)
{
    if (!p->soon) p->soon = p->o.timer->start(p->o.host, 0, 0, on_soon, p);
}

/* What waits fails with this, on the next turn. Nothing of it was done. */
static void fail_later(v1_pool *p, int32_t code, uint32_t advice, pbay_str message)
{
    snprintf(p->failure_text, sizeof p->failure_text, "%s: %.*s", p->where, cut(message),
             message.p ? message.p : "");
    p->failure = (pbay_result)PBAY_RESULT_OK;
    p->failure.code = code ? code : PBAY_UNAVAILABLE;
    p->failure.advice = advice;
    p->failure.message = (pbay_str){p->failure_text, strlen(p->failure_text)};
    p->failing = true;
    later(p);
}

static void stopping(v1_pool *p)
{
    static const char text[] = "the connector stops";
    fail_later(p, PBAY_CANCELLED, PBAY_ADVICE_RETRY, (pbay_str){text, sizeof text - 1});
}

/* ------------------------------------------------------------------------------------------------- lines */

static void calm(struct line *l)
{
    if (l->patience) l->pool->o.timer->cancel(l->patience);
    l->patience = 0;
}

static void hang_up(struct line *l)
{
    calm(l);
    l->closing = true;
    l->pool->o.stream->close(l->s);
}

static void idle_over(void *user)
{
    struct line *l = user;
    l->patience = 0;
    hang_up(l);
}

static void rest(struct line *l)
{
    if (l->pool->stopped)
        hang_up(l);
    else
        l->patience = l->pool->o.timer->start(l->pool->o.host, IDLE_MS, 0, idle_over, l);
}

static void no_answer(void *user)
{
    struct line *l = user;
    v1_pool *p = l->pool;
    v1_call *c = l->call;
    l->patience = 0;
    l->call = NULL;
    hang_up(l); /* what comes now would be taken for the answer to something else */
    end(c,
        say(p, PBAY_DEADLINE_EXCEEDED, effect_of(c), PBAY_ADVICE_RETRY,
            "%s has not answered %s within %ld ms", p->where, v1_method_name(c->method),
            (long)p->o.answer_ms),
        NULL);
    later(p);
}

static void send_on(struct line *l, v1_call *c)
{
    v1_pool *p = l->pool;
    calm(l);
    l->call = c;
    l->patience = p->o.timer->start(p->o.host, p->o.answer_ms, 0, no_answer, l);
    const int32_t rc = p->o.stream->write(l->s, pbay_text_view(&c->frame));
    if (rc == PBAY_OK || rc == PBAY_LATER) return;
    /* The other side went at this moment: nothing has left. */
    l->call = NULL;
    hang_up(l);
    put_first(p, c);
    later(p);
}

static void on_open(void *user, pbay_stream s)
{
    struct line *l = user;
    (void)s;
    l->open = true;
    if (l->closing) return;
    rest(l);
    pump(l->pool);
}

static void answered(struct line *l, pbay_str frame)
{
    v1_pool *p = l->pool;
    v1_call *c = l->call;
    v1_answer a;
    calm(l);
    l->call = NULL;
    l->used = true;
    v1_read(frame, c->method, c->seqid, &a);
    const pbay_result *r = judged(p, c, &a);
    if (a.end == V1_UNREADABLE)
        hang_up(l);
    else
        rest(l);
    end(c, r, &a);
    v1_answer_free(&a);
    later(p);
}

/* Bytes that cannot be an answer. */
static void foreign(struct line *l, enum thrift_fault fault, const char *why)
{
    v1_pool *p = l->pool;
    v1_call *c = l->call;
    l->call = NULL;
    hang_up(l);
    if (!c) return;
    const bool other = fault == THRIFT_FOREIGN;
    const pbay_result *r =
        say(p, other ? PBAY_FAILED_PRECONDITION : PBAY_DATA_LOSS, effect_of(c), PBAY_ADVICE_RETRY,
            "%s: %s (the call was %s)", p->where, why, v1_method_name(c->method));
    end(c, r, NULL);
    later(p);
}

static void on_data(void *user, pbay_stream s, pbay_str piece)
{
    struct line *l = user;
    pbay_str frame;
    size_t more;
    enum thrift_fault fault = THRIFT_FINE;
    char why[THRIFT_WHY];
    l->pool->o.stream->credit(s, piece.n);
    if (l->closing) return;
    if (!l->call) { /* nobody asked */
        hang_up(l);
        return;
    }
    pbay_text_add(&l->in, piece);
    const int rc = thrift_frame(pbay_text_view(&l->in), &frame, &more, &fault, why);
    if (rc == 0) return;
    if (rc > 0 && l->in.n > frame.n + THRIFT_HEAD) {
        snprintf(why, sizeof why, "%zu bytes follow the answer", l->in.n - frame.n - THRIFT_HEAD);
        fault = THRIFT_MALFORMED;
    }
    if (rc < 0 || fault) {
        foreign(l, fault, why);
        return;
    }
    /* The text is the line's and outlives the call's end only in this way. */
    pbay_text whole = l->in;
    l->in = (pbay_text){NULL, 0, 0};
    answered(l, frame);
    pbay_text_free(&whole);
}

static void on_end(void *user, pbay_stream s)
{
    struct line *l = user;
    (void)s;
    /* With a call on it on_close tells; without one the server wanted its thread back. */
    if (!l->closing) {
        if (l->call)
            l->pool->o.stream->close(s);
        else
            hang_up(l);
    }
}

static void unlink_line(struct line *l)
{
    struct line **at = &l->pool->lines;
    while (*at != l) at = &(*at)->next;
    *at = l->next;
    l->pool->n_lines--;
}

static void on_close(void *user, pbay_stream s, const pbay_result *result)
{
    struct line *l = user;
    v1_pool *p = l->pool;
    v1_call *c = l->call;
    const size_t got = l->in.n;
    (void)s;
    calm(l);
    unlink_line(l);
    const pbay_str m = result->message;
    if (c && !got && l->used && !c->again && v1_method_repeats(c->method) && !p->stopped) {
        c->again = true; /* a connection that was too old */
        put_first(p, c);
    } else if (c) {
        const pbay_result *r =
            say(p, PBAY_UNAVAILABLE, effect_of(c), PBAY_ADVICE_RETRY, "%s closed the connection %s%s%s%.*s%s",
                p->where, got ? "in the middle of its answer to " : "instead of answering ",
                v1_method_name(c->method), m.n ? " (" : "", cut(m), m.p ? m.p : "", m.n ? ")" : "");
        end(c, r, NULL);
    } else if (!l->open && !l->closing) {
        /* No way there at all: whoever waits would wait for the same again. The durable job comes back. */
        if (!p->lines) fail_later(p, result->code, PBAY_ADVICE_RETRY, m);
        p->not_before_ns = p->o.timer->monotonic_ns() + REOPEN_NS;
    }
    pbay_text_free(&l->in);
    free(l);
    later(p);
}

static bool open_line(v1_pool *p, pbay_result *why)
{
    static const pbay_stream_events events = {sizeof events, 0, on_open, on_data, NULL, on_end, on_close};
    struct line *l = calloc(1, sizeof *l);
    if (!l) abort();
    const pbay_stream_open_info info = {.struct_size = sizeof info,
                                        .flags = PBAY_STREAM_CONFIGURED | (p->o.tls ? PBAY_STREAM_TLS : 0),
                                        .host = p->o.address,
                                        .port = p->o.port,
                                        .connect_timeout_ms = p->o.connect_ms};
    l->pool = p;
    l->s = p->o.stream->open(p->o.host, &info, &events, l, why);
    if (!l->s) {
        free(l);
        return false;
    }
    l->next = p->lines;
    p->lines = l;
    p->n_lines++;
    return true;
}

static void pump(v1_pool *p)
{
    while (p->first && !p->stopped && !p->failing) {
        struct line *idle = p->lines;
        uint32_t opening = 0;
        for (const struct line *l = p->lines; l; l = l->next) opening += !l->open && !l->closing;
        while (idle && (!idle->open || idle->closing || idle->call)) idle = idle->next;
        if (idle) {
            send_on(idle, take_first(p));
            continue;
        }
        uint32_t waiting = 0;
        for (const v1_call *c = p->first; c && waiting <= opening; c = c->next) waiting++;
        if (p->n_lines >= p->o.connections || waiting <= opening) break;
        if (p->lines && p->o.timer->monotonic_ns() < p->not_before_ns) break;
        pbay_result why = PBAY_RESULT_OK;
        if (!open_line(p, &why)) {
            fail_later(p, why.code, why.advice, why.message);
        }
    }
}

/* -------------------------------------------------------------------------------------------------- life */

v1_pool *v1_pool_new(const v1_pool_settings *settings)
{
    v1_pool *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->o = *settings;
    p->address = calloc(1, settings->address.n + 1);
    if (!p->address) abort();
    memcpy(p->address, settings->address.p, settings->address.n);
    p->o.address.p = p->address;
    p->last = &p->first;
    const bool literal6 = memchr(p->address, ':', settings->address.n) != NULL;
    snprintf(p->where, sizeof p->where, literal6 ? "[%s]:%u" : "%s:%u", p->address, (unsigned)settings->port);
    return p;
}

const char *v1_pool_where(const v1_pool *pool)
{
    return pool->where;
}

int32_t v1_pool_seqid(v1_pool *pool)
{
    pool->seqid = pool->seqid == INT32_MAX ? 1 : pool->seqid + 1;
    return pool->seqid;
}

v1_call *v1_pool_call(v1_pool *p, pbay_str frame, enum v1_method method, int32_t seqid, v1_done done,
                      void *user)
{
    v1_call *c = calloc(1, sizeof *c);
    if (!c) abort();
    pbay_text_add(&c->frame, frame);
    c->method = method;
    c->seqid = seqid;
    c->done = done;
    c->user = user;
    *p->last = c;
    p->last = &c->next;
    if (p->stopped)
        stopping(p);
    else
        later(p);
    return c;
}

bool v1_pool_drop(v1_pool *p, v1_call *call)
{
    for (v1_call **at = &p->first; *at; at = &(*at)->next) {
        if (*at != call) continue;
        *at = call->next;
        if (p->last == &call->next) p->last = at;
        free_call(call);
        return false;
    }
    for (struct line *l = p->lines; l; l = l->next)
        if (l->call == call) call->done = NULL;
    return true;
}

void v1_pool_stop(v1_pool *p)
{
    if (p->stopped) return;
    p->stopped = true;
    for (struct line *l = p->lines, *next; l; l = next) {
        next = l->next;
        if (!l->call && !l->closing) hang_up(l);
    }
    if (p->first) stopping(p);
}

void v1_pool_free(v1_pool *p)
{
    if (!p) return;
    if (p->soon) p->o.timer->cancel(p->soon);
    free(p->address);
    free(p);
}
