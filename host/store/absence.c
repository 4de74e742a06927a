/* SPDX-License-Identifier: MIT */
#include "store/absence.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/engine.h"

enum {
    LOOK_MS = 500,            /* what is full, read-only or not there costs nothing to look at */
    LOOK_DAMAGED_MS = 500,    /* reads all of it */
    LOOK_DAMAGED_MAX = 60000, /* twice as long each time */
    PROBE_TTL_MS = 60 * 1000,
};

void pb_absence_init(struct pb_absence *a, struct pb_store *s)
{
    *a = (struct pb_absence){.store = s, .next_ns = INT64_MAX};
    pthread_mutex_init(&a->lock, NULL);
    a->health.up = s != NULL;
    a->health.since_ms = pb_now_ms();
}

void pb_absence_free(struct pb_absence *a)
{
    pb_store_close(a->store);
    pthread_mutex_destroy(&a->lock);
    pb_free(a->url);
}

static void look_later(struct pb_absence *a)
{
    int64_t ms = LOOK_MS;
    if (a->damaged) {
        ms = a->pause_ms < LOOK_DAMAGED_MS ? LOOK_DAMAGED_MS : 2 * a->pause_ms;
        if (ms > LOOK_DAMAGED_MAX) ms = LOOK_DAMAGED_MAX;
    }
    a->pause_ms = ms;
    a->next_ns = pb_mono_ns() + ms * PB_MS;
}

/* True: it is another than before. */
static bool set_health(struct pb_absence *a, const struct pb_err *why)
{
    pthread_mutex_lock(&a->lock);
    bool up = !why, turned = a->health.up != up;
    bool changed = turned || (why && strcmp(why->msg, a->health.why.msg) != 0);
    if (turned) a->health.since_ms = pb_now_ms();
    a->health.up = up;
    if (why) a->health.why = *why;
    pthread_mutex_unlock(&a->lock);
    return changed;
}

void pb_absence_keep(struct pb_absence *a, const char *url, const struct pb_err *why)
{
    pb_free(a->url);
    a->url = pb_strdup(url);
    if (a->store) return;
    a->damaged = why->code == PBAY_DATA_LOSS;
    set_health(a, why);
    look_later(a);
}

/*
 * Whether a fresh look at the file may find more than the descriptor that is open. A full disk and a lock are
 * over by themselves.
 */
static bool reopens(const struct pb_err *why)
{
    return why->code != PBAY_RESOURCE_EXHAUSTED && why->advice != PBAY_ADVICE_RETRY &&
           why->code != PBAY_ABORTED;
}

bool pb_absence_note(struct pb_absence *a, const struct pb_err *why)
{
    if (!why) {
        if (a->next_ns == INT64_MAX) return false;
        a->next_ns = INT64_MAX;
        a->pause_ms = 0;
        a->damaged = false;
        return set_health(a, NULL);
    }
    if (a->store && a->url && reopens(why)) {
        a->damaged = why->code == PBAY_DATA_LOSS;
        if (a->damaged) a->store->engine->spare(a->store);
        pb_store_close(a->store);
        a->store = NULL;
    }
    if (a->next_ns == INT64_MAX) look_later(a);
    return set_health(a, why);
}

/* That it can be read says little of a full disk. */
static int probe(struct pb_store *s, struct pb_err *err)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%lld", (long long)pb_now_ms());
    return pb_store_kv_put(s, PB_STR("store:probe"), PB_STR("written"), pb_str(text, (size_t)n), NULL,
                           PROBE_TTL_MS, err);
}

static int open_again(struct pb_absence *a, struct pb_err *err)
{
    struct pb_store *s;
    if (pb_store_open(a->url, &s, err) != 0) return -1;
    if ((a->damaged && pb_store_check(s, true, err) != 0) || probe(s, err) != 0) {
        s->engine->spare(s);
        pb_store_close(s);
        return -1;
    }
    a->store = s;
    if (a->opened) a->opened(s, a->user);
    return 0;
}

bool pb_absence_look(struct pb_absence *a)
{
    struct pb_err err = {0};
    if (!a->store && !a->url) {
        a->next_ns = INT64_MAX;
        return false;
    }
    if ((a->store ? probe(a->store, &err) : open_again(a, &err)) == 0) return pb_absence_note(a, NULL);
    if (!a->store && err.code == PBAY_DATA_LOSS) a->damaged = true;
    look_later(a);
    return pb_absence_note(a, &err);
}

void pb_absence_health(struct pb_absence *a, struct pb_store_health *out)
{
    pthread_mutex_lock(&a->lock);
    *out = a->health;
    pthread_mutex_unlock(&a->lock);
}
