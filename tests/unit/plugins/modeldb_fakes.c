/* SPDX-License-Identifier: MIT */
#include "modeldb_fakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ------------------------------------------------------------------------------------------------ the host
 */

struct fake_stream streams[64];
size_t n_streams;
bool refuse;

static pbay_stream stream_open(const pbay_host *host, const pbay_stream_open_info *info,
                               const pbay_stream_events *events, void *user, pbay_result *why)
{
    (void)host;
    assert_int_equal(info->flags, PBAY_STREAM_CONFIGURED);
    if (refuse) {
        why->code = PBAY_PERMISSION_DENIED;
        why->message = S("169.254.169.254 is not for plugins");
        return 0;
    }
    streams[n_streams] = (struct fake_stream){.events = *events, .user = user};
    return ++n_streams;
}

static int32_t stream_write(pbay_stream s, pbay_str piece)
{
    struct fake_stream *t = &streams[s - 1];
    if (t->gone) return PBAY_CANCELLED;
    assert_true(t->open);
    pbay_text_add(&t->written, piece);
    return PBAY_OK;
}

static void stream_credit(pbay_stream s, size_t n)
{
    assert_true(s <= n_streams && n > 0);
}

static void stream_close(pbay_stream s)
{
    streams[s - 1].closing = true;
}

static const pbay_stream_1 stream = {sizeof stream, 0,    stream_open, stream_write,
                                     stream_credit, NULL, stream_close};

struct fake_timer timers[256];
size_t n_timers;
static int64_t now;

static int64_t monotonic_ns(void)
{
    return now * 1000000;
}

static pbay_timer timer_start(const pbay_host *host, int64_t delay, int64_t period, void (*fn)(void *user),
                              void *user)
{
    (void)host;
    assert_int_equal(period, 0);
    assert_true(n_timers < 256);
    timers[n_timers] = (struct fake_timer){now + delay, fn, user};
    return ++n_timers;
}

static void timer_cancel(pbay_timer t)
{
    timers[t - 1].fn = NULL;
}

static const pbay_timer_1 timer = {sizeof timer, 0, monotonic_ns, monotonic_ns, timer_start, timer_cancel};

static pbay_result result_of(int32_t code, const char *message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = (pbay_str){message, strlen(message)};
    return r;
}

/* All that is due, and the ends of what was closed. */
void turn(int64_t ms)
{
    now += ms;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < n_timers; i++) {
            if (!timers[i].fn || timers[i].due_ms > now) continue;
            void (*fn)(void *user) = timers[i].fn;
            timers[i].fn = NULL;
            fn(timers[i].user);
            again = true;
        }
        for (size_t i = 0; i < n_streams; i++) {
            if (!streams[i].closing || streams[i].gone) continue;
            const pbay_result ok = PBAY_RESULT_OK;
            streams[i].gone = true;
            streams[i].events.on_close(streams[i].user, i + 1, &ok);
            again = true;
        }
    }
}

void came(size_t s, const char *what)
{
    struct fake_stream *t = &streams[s - 1];
    if (!strcmp(what, "open")) {
        t->open = true;
        t->events.on_open(t->user, s);
    } else if (!strcmp(what, "end")) {
        t->events.on_end(t->user, s);
    } else {
        const pbay_result r = result_of(PBAY_UNAVAILABLE, what);
        t->gone = true;
        t->events.on_close(t->user, s, &r);
    }
    turn(0);
}

void answer(size_t s, const pbay_text *bytes, size_t step)
{
    for (size_t at = 0; at < bytes->n && !streams[s - 1].closing; at += step) {
        const size_t n = bytes->n - at < step ? bytes->n - at : step;
        streams[s - 1].events.on_data(streams[s - 1].user, s, (pbay_str){bytes->p + at, n});
    }
    turn(0);
}

/* ------------------------------------------------------------------------------------------------- callers
 */

struct seen seen[16];

void done(void *user, const pbay_result *failed, const v1_answer *a)
{
    struct seen *s = user;
    s->calls++;
    s->code = failed ? failed->code : 0;
    s->effect = failed ? failed->effect : 0;
    s->advice = failed ? failed->advice : 0;
    s->id = a ? a->id : -9;
    snprintf(s->message, sizeof s->message, "%.*s", failed ? (int)failed->message.n : 0,
             failed ? failed->message.p : "");
}

v1_pool_settings settings(uint32_t connections)
{
    return (v1_pool_settings){.stream = &stream,
                              .timer = &timer,
                              .address = S("db"),
                              .port = 6543,
                              .connections = connections,
                              .connect_ms = 1000,
                              .answer_ms = 5000};
}

v1_pool *fresh(uint32_t connections)
{
    for (size_t i = 0; i < n_streams; i++) pbay_text_free(&streams[i].written);
    n_streams = n_timers = 0;
    refuse = false;
    memset(seen, 0, sizeof seen);
    const v1_pool_settings o = settings(connections);
    return v1_pool_new(&o);
}

void says(int k, int32_t code, uint32_t effect, const char *words)
{
    assert_int_equal(seen[k].calls, 1);
    if (seen[k].code != code || seen[k].effect != effect || !strstr(seen[k].message, words))
        fail_msg("%d: code %d effect %u \"%s\"", k, (int)seen[k].code, seen[k].effect, seen[k].message);
    if (code && !strstr(seen[k].message, "db:6543")) fail_msg("who? \"%s\"", seen[k].message);
}
