/* SPDX-License-Identifier: MIT */
#include "flow/lane.h"

#include <stddef.h>

#include "base/check.h"

bool pb_lane_enter(struct pb_lane *lane, struct pb_lane_waiter *w)
{
    if (lane->running < lane->limit && !lane->first) {
        lane->running++;
        return true;
    }
    if (!w->waiting) {
        w->waiting = true;
        w->next = NULL;
        w->prev = lane->last;
        if (lane->last) lane->last->next = w;
        else lane->first = w;
        lane->last = w;
        lane->n_waiting++;
    }
    return false;
}

void pb_lane_forget(struct pb_lane *lane, struct pb_lane_waiter *w)
{
    if (!w->waiting) return;
    if (w->prev) w->prev->next = w->next;
    else lane->first = w->next;
    if (w->next) w->next->prev = w->prev;
    else lane->last = w->prev;
    w->waiting = false;
    lane->n_waiting--;
}

void pb_lane_leave(struct pb_lane *lane)
{
    PB_REQUIRE(lane->running > 0);
    lane->running--;
    while (lane->running < lane->limit && lane->first) {
        struct pb_lane_waiter *w = lane->first;
        pb_lane_forget(lane, w);
        lane->running++;
        w->turn(w);
    }
}
