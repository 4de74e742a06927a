/* SPDX-License-Identifier: MIT */
#include "flow/lane.h"

#include <stddef.h>

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

static bool take(struct pb_lane *lane)
{
    if (lane->running >= lane->limit) return false;
    if (lane->page && !pb_page_take(lane->page, lane->row, lane->shared, lane->limit)) return false;
    lane->running++;
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

bool pb_lane_enter(struct pb_lane *lane, struct pb_lane_waiter *w)
{
    if (!lane->first && take(lane)) return true;
    if (!w->waiting) {
        w->waiting = true;
        w->next = NULL;
        w->prev = lane->last;
        if (lane->last)
            lane->last->next = w;
        else
            lane->first = w;
        lane->last = w;
        lane->n_waiting++;
        if (lane->page) settle(lane);
    }
    return false;
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
    if (lane->page) {
        pb_page_give(lane->page, lane->row, lane->shared);
        /* Fewer places than workers: not always to the one who had it, who looks again after the others have.
         */
        if (pb_page_others(lane->page, lane->row, lane->shared) >= lane->limit) {
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
