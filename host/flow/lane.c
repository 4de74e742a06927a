/* SPDX-License-Identifier: MIT */
#include "flow/lane.h"

#include <stddef.h>

#include "base/buf.h"
#include "base/check.h"

enum { RETRY_MS = 1 };

/* ------------------------------------------------------------------------------------------------ shared */

static void serve(struct pb_lane *lane);

static void look_again(void *user)
{
    serve(user);
}

void pb_lane_share(struct pb_lane *lane, struct pb_loop *loop, struct pb_page *page, uint32_t row)
{
    lane->shared = pb_page_limit(page, lane->name);
    if (lane->shared < 0)
        return; /* more names than the page has room for: each worker has the limit for itself */
    lane->page = page;
    lane->row = row;
    lane->loop = loop;
    lane->retry.fn = look_again;
    lane->retry.user = lane;
}

/* Who waits is told by the timer, unless places of his own come free first. */
static void settle(struct pb_lane *lane)
{
    bool waits = lane->first != NULL;
    pb_page_wait(lane->page, lane->row, lane->shared, waits);
    pb_page_queued(lane->page, lane->row, lane->shared, lane->n_waiting);
    if (!waits)
        pb_timer_cancel(&lane->retry);
    else if (!pb_timer_is_set(&lane->retry))
        pb_timer_set(lane->loop, &lane->retry, RETRY_MS);
}

/* ------------------------------------------------------------------------------------------------ places */

static struct pb_pace_shared *pace_of(const struct pb_lane *lane)
{
    /* Both are as atomic as one another; the lane itself is ours. */
    return lane->page ? &lane->page->limits[lane->shared].pace
                      : (struct pb_pace_shared *)(uintptr_t)&lane->own;
}

uint32_t pb_lane_allowed(const struct pb_lane *lane)
{
    return pb_pace_allowed(pace_of(lane), lane->limit);
}

static bool take(struct pb_lane *lane)
{
    uint32_t allowed = pb_lane_allowed(lane);
    if (lane->running >= allowed) return false;
    if (lane->page && !pb_page_take(lane->page, lane->row, lane->shared, allowed)) return false;
    lane->running++;
    if (lane->metrics) pb_metric_add(lane->metrics, lane->at_backend, 1);
    return true;
}

static void unlink_waiter(struct pb_lane *lane, struct pb_lane_waiter *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        lane->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        lane->last = w->prev;
    w->waiting = false;
    lane->n_waiting--;
}

/* Turns for those who wait, as far as there are places. */
static void serve(struct pb_lane *lane)
{
    while (lane->first && take(lane)) {
        struct pb_lane_waiter *w = lane->first;
        unlink_waiter(lane, w);
        w->turn(w);
    }
    if (lane->page) settle(lane);
}

bool pb_lane_enter(struct pb_lane *lane, struct pb_lane_waiter *w, bool again)
{
    if ((!lane->first || again) && take(lane)) return true;
    if (!w->waiting) {
        struct pb_lane_waiter *after = again ? NULL : lane->last, *before = again ? lane->first : NULL;
        w->waiting = true;
        w->next = before;
        w->prev = after;
        *(after ? &after->next : &lane->first) = w;
        *(before ? &before->prev : &lane->last) = w;
        lane->n_waiting++;
        if (lane->page) settle(lane);
    }
    return false;
}

void pb_lane_report(struct pb_lane *lane, enum pb_load load, uint32_t rows, int64_t ns, int64_t now_ns)
{
    struct pb_pace_shared *s = pace_of(lane);
    uint32_t taken = lane->page ? atomic_load(&lane->page->limits[lane->shared].taken) : lane->running;
    bool busy = taken >= pb_lane_allowed(lane);
    bool down = pb_pace_sample(&lane->pace, s, lane->limit, load, rows, ns, busy, now_ns);
    if (!lane->metrics) return;
    if (down) pb_metric_add(lane->metrics, lane->slowed, 1);
    if (load == PB_LOAD_THROTTLED) pb_metric_add(lane->metrics, lane->throttled, 1);
}

void pb_lane_count(struct pb_lane *lane, struct pb_metrics *metrics)
{
    struct pb_buf labels = {0};
    pb_metric_label(&labels, "lane", lane->name);
    pb_buf_ch(&labels, 0);
    lane->metrics = metrics;
    lane->at_backend =
        pb_metric(metrics, PB_METRIC_GAUGE, "lane_batches", labels.p, "Batches at the backend now.");
    lane->slowed =
        pb_metric(metrics, PB_METRIC_COUNTER, "lane_slowed_total", labels.p,
                  "How often there were fewer at once from then on, because the backend bore no more.");
    lane->throttled = pb_metric(metrics, PB_METRIC_COUNTER, "lane_throttled_total", labels.p,
                                "Batches that the backend did not take because there were too many.");
    pb_buf_free(&labels);
}

void pb_lane_forget(struct pb_lane *lane, struct pb_lane_waiter *w)
{
    if (!w->waiting) return;
    unlink_waiter(lane, w);
    if (lane->page) settle(lane);
}

void pb_lane_leave(struct pb_lane *lane)
{
    PB_REQUIRE(lane->running > 0);
    lane->running--;
    if (lane->metrics) pb_metric_add(lane->metrics, lane->at_backend, -1);
    if (lane->page) {
        pb_page_give(lane->page, lane->row, lane->shared);
        /* Fewer places than workers: not always to the one who had it, who looks again after the others have.
         */
        if (pb_page_others(lane->page, lane->row, lane->shared) >= pb_lane_allowed(lane)) {
            settle(lane);
            if (lane->first) pb_timer_set(lane->loop, &lane->retry, 2 * RETRY_MS);
            return;
        }
    }
    serve(lane);
}

uint32_t pb_lane_waiting(const struct pb_lane *lane)
{
    return lane->page ? atomic_load_explicit(&lane->page->limits[lane->shared].queued, memory_order_relaxed)
                      : lane->n_waiting;
}
