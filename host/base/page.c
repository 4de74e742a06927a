/* SPDX-License-Identifier: MIT */
#include "base/page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define PAGE_MAGIC UINT64_C(0x7061676562617900)

static struct pb_page *map(int fd, struct pb_err *err)
{
    struct pb_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) return page;
    pb_fail(err, PBAY_INTERNAL, "the page of counters cannot be mapped: %s", strerror(errno));
    return NULL;
}

struct pb_page *pb_page_make(int *fd, struct pb_err *err)
{
    int f = memfd_create("patchbay-page", MFD_CLOEXEC);
    if (f < 0 || ftruncate(f, sizeof(struct pb_page))) {
        pb_fail(err, PBAY_INTERNAL, "the page of counters cannot be made: %s", strerror(errno));
        if (f >= 0) close(f);
        return NULL;
    }
    struct pb_page *page = map(f, err);
    if (!page) {
        close(f);
        return NULL;
    }
    page->magic = PAGE_MAGIC;
    page->size = sizeof *page;
    /* Without entropy the names of peers hash predictably: less fair, not unsafe. */
    if (getrandom(&page->seed, sizeof page->seed, GRND_NONBLOCK) < 0) page->seed = (uint64_t)getpid();
    *fd = f;
    return page;
}

struct pb_page *pb_page_map(int fd, struct pb_err *err)
{
    struct stat st;
    if (fstat(fd, &st) || st.st_size != (off_t)sizeof(struct pb_page)) {
        pb_fail(err, PBAY_INTERNAL, "descriptor %d is not this program's page of counters", fd);
        return NULL;
    }
    struct pb_page *page = map(fd, err);
    if (page && (page->magic != PAGE_MAGIC || page->size != sizeof *page)) {
        pb_fail(err, PBAY_INTERNAL, "the page of counters is another version's");
        pb_page_unmap(page);
        return NULL;
    }
    return page;
}

void pb_page_unmap(struct pb_page *page)
{
    if (page) munmap(page, sizeof *page);
}

/* ------------------------------------------------------------------------------------------------ limits */

static void give_back(_Atomic uint32_t *word, uint32_t n)
{
    uint32_t now = atomic_load(word);
    while (n && !atomic_compare_exchange_weak(word, &now, now > n ? now - n : 0)) continue;
}

void pb_page_clear_row(struct pb_page *page, uint32_t row)
{
    struct pb_page_row *r = &page->rows[row];
    for (int i = 0; i < PB_PAGE_LIMITS; i++) {
        give_back(&page->limits[i].taken, atomic_load(&r->held[i]));
        give_back(&page->limits[i].queued, atomic_load(&r->queued[i]));
        pb_page_wait(page, row, i, false);
    }
    uint64_t calls = atomic_load(&r->calls), now = atomic_load(&page->calls);
    while (calls && !atomic_compare_exchange_weak(&page->calls, &now, now > calls ? now - calls : 0))
        continue;
    memset(r, 0, sizeof *r);
    pb_metrics_retire(&page->metrics, row);
}

int pb_page_limit(struct pb_page *page, pbay_str name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < name.n; i++) h = (h ^ (unsigned char)name.p[i]) * UINT64_C(0x100000001b3);
    if (!h) h = 1;
    for (int i = 0; i < PB_PAGE_LIMITS; i++) {
        int at = (int)((h + (uint64_t)i) % PB_PAGE_LIMITS);
        uint64_t is = 0;
        if (atomic_compare_exchange_strong(&page->limits[at].name, &is, h) || is == h) return at;
    }
    return -1;
}

uint32_t pb_page_others(const struct pb_page *page, uint32_t row, int limit)
{
    uint64_t w =
        atomic_load_explicit(&page->limits[limit].waiting, memory_order_relaxed) & ~(UINT64_C(1) << row);
    uint32_t n = 0;
    for (; w; w &= w - 1) n++;
    return n;
}

bool pb_page_take(struct pb_page *page, uint32_t row, int limit, uint32_t max)
{
    struct pb_page_limit *l = &page->limits[limit];
    _Atomic uint32_t *held = &page->rows[row].held[limit];
    uint32_t others = pb_page_others(page, row, limit);
    if (others) {
        uint32_t share = max / (others + 1);
        if (atomic_load(held) >= (share ? share : 1)) return false;
    }
    atomic_fetch_add(held, 1);
    uint32_t now = atomic_load(&l->taken);
    while (now < max)
        if (atomic_compare_exchange_weak(&l->taken, &now, now + 1)) return true;
    atomic_fetch_sub(held, 1);
    return false;
}

void pb_page_give(struct pb_page *page, uint32_t row, int limit)
{
    give_back(&page->limits[limit].taken, 1);
    atomic_fetch_sub(&page->rows[row].held[limit], 1);
}

void pb_page_wait(struct pb_page *page, uint32_t row, int limit, bool waiting)
{
    uint64_t bit = UINT64_C(1) << row;
    _Atomic uint64_t *w = &page->limits[limit].waiting;
    if (((atomic_load_explicit(w, memory_order_relaxed) & bit) != 0) == waiting) return;
    if (waiting)
        atomic_fetch_or(w, bit);
    else
        atomic_fetch_and(w, ~bit);
}

void pb_page_queued(struct pb_page *page, uint32_t row, int limit, uint32_t n)
{
    uint32_t was = atomic_exchange(&page->rows[row].queued[limit], n);
    if (n > was) atomic_fetch_add(&page->limits[limit].queued, n - was);
    if (n < was) give_back(&page->limits[limit].queued, was - n);
}

/* ------------------------------------------------------------------------------------------------ connectors
 * that are out */

static bool same(const char *kept, pbay_str name)
{
    size_t n = name.n < PB_PAGE_NAME - 1 ? name.n : PB_PAGE_NAME - 1;
    return strlen(kept) == n && (!n || memcmp(kept, name.p, n) == 0);
}

const char *pb_page_out_reason(const struct pb_page *page, pbay_str connector)
{
    for (size_t i = 0; i < PB_PAGE_OUTS; i++) {
        const struct pb_page_out *o = &page->outs[i];
        if (atomic_load_explicit(&o->set, memory_order_acquire) && same(o->connector, connector))
            return o->reason;
    }
    return NULL;
}

bool pb_page_put_out(struct pb_page *page, const char *connector, const char *reason)
{
    if (pb_page_out_reason(page, pb_str_c(connector))) return true;
    for (size_t i = 0; i < PB_PAGE_OUTS; i++) {
        struct pb_page_out *o = &page->outs[i];
        if (atomic_load(&o->set)) continue;
        snprintf(o->connector, sizeof o->connector, "%s", connector);
        snprintf(o->reason, sizeof o->reason, "%s", reason);
        atomic_store_explicit(&o->set, 1, memory_order_release);
        return true;
    }
    return false;
}

void pb_page_clear_outs(struct pb_page *page)
{
    for (size_t i = 0; i < PB_PAGE_OUTS; i++) atomic_store(&page->outs[i].set, 0);
}

/* ------------------------------------------------------------------------------------------------ levels of
 * the log */

int pb_page_log_level(struct pb_page *page, pbay_str level, pbay_str room, struct pb_err *err)
{
    enum pb_log_level l;
    size_t at = 0;
    if (pb_str_is(level, "default")) {
        for (size_t i = 0; i <= PB_LOG_ROOMS; i++) atomic_store(&page->log_levels[i], 0);
        atomic_fetch_add(&page->log_turn, 1);
        return 0;
    }
    if (!pb_log_level_parse(level, &l))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "\"%.*s\" is no level; there are debug, info, warn, error, off and default",
                       PB_FMT(level));
    if (room.n) {
        while (pb_log_room_at(at) && !pb_str_is(room, pb_log_room_at(at))) at++;
        if (!pb_log_room_at(at))
            return pb_fail(err, PBAY_INVALID_ARGUMENT,
                           "there is no room \"%.*s\"; rooms are named in the lines of the log",
                           PB_FMT(room));
        at++;
    }
    atomic_store(&page->log_levels[at], (uint8_t)l);
    atomic_fetch_add(&page->log_turn, 1);
    return 0;
}

void pb_page_log_apply(const struct pb_page *page, uint32_t *turn, void (*configured)(void *user), void *user)
{
    uint32_t now = atomic_load(&page->log_turn);
    if (now == *turn) return;
    *turn = now;
    configured(user);
    for (size_t i = 0; i <= PB_LOG_ROOMS; i++) {
        uint8_t l = atomic_load(&page->log_levels[i]);
        if (l) pb_log_level(i ? pb_log_room_at(i - 1) : NULL, (enum pb_log_level)l);
    }
}
