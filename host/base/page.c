/* SPDX-License-Identifier: MIT */
#include "base/page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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

static bool same(const char *kept, pbay_str name)
{
    size_t n = name.n < PB_PAGE_NAME - 1 ? name.n : PB_PAGE_NAME - 1;
    return strlen(kept) == n && memcmp(kept, name.p, n) == 0;
}

const char *pb_page_out_reason(const struct pb_page *page, pbay_str connector)
{
    for (size_t i = 0; i < PB_PAGE_OUTS; i++) {
        const struct pb_page_out *o = &page->outs[i];
        if (atomic_load_explicit(&o->set, memory_order_acquire) && same(o->connector, connector)) return o->reason;
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
