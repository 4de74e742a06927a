/* SPDX-License-Identifier: MIT */
#include "mockhost/alloc.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint32_t made, fail_at;

uint32_t pb_alloc_fail(uint32_t n)
{
    atomic_store(&fail_at, n);
    return atomic_exchange(&made, 0);
}

static bool refused(void)
{
    if (atomic_fetch_add(&made, 1) + 1 != atomic_load(&fail_at)) return false;
    errno = ENOMEM;
    return true;
}

static void *our_malloc(size_t n)
{
    return refused() ? NULL : malloc(n);
}

static void *our_calloc(size_t n, size_t size)
{
    return refused() ? NULL : calloc(n, size);
}

static void *our_realloc(void *p, size_t n)
{
    return refused() ? NULL : realloc(p, n);
}

static void *our_reallocarray(void *p, size_t n, size_t size)
{
    return refused() ? NULL : reallocarray(p, n, size);
}

static void *our_aligned_alloc(size_t alignment, size_t n)
{
    return refused() ? NULL : aligned_alloc(alignment, n);
}

static int our_posix_memalign(void **out, size_t alignment, size_t n)
{
    return refused() ? ENOMEM : posix_memalign(out, alignment, n);
}

static char *our_strdup(const char *s)
{
    return refused() ? NULL : strdup(s);
}

static char *our_strndup(const char *s, size_t n)
{
    return refused() ? NULL : strndup(s, n);
}

/* ------------------------------------------------------------------------------------------------ references
 */

struct ours {
    const char *name;
    void (*fn)(void);
};

#define OURS(name)                                                                                           \
    {                                                                                                        \
#name, (void (*)(void))our_##name                                                                    \
    }
static const struct ours all[] = {
    OURS(malloc),       OURS(calloc),        OURS(realloc),
    OURS(reallocarray), OURS(aligned_alloc), OURS(posix_memalign),
    OURS(strdup),       OURS(strndup),       {"__strdup", (void (*)(void))our_strdup}};

struct object {
    const char *code;
    uint32_t bent;
};

/* A slot lies in what the loader made read-only (RELRO). */
static void write_slot(ElfW(Addr) slot, void (*fn)(void))
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = slot & ~(page - 1);
    void *at;
    memcpy(&at, &from, sizeof at);
    if (mprotect(at, page, PROT_READ | PROT_WRITE)) return;
    void *to;
    memcpy(&to, &slot, sizeof to);
    memcpy(to, &fn, sizeof fn);
    mprotect(at, page, PROT_READ);
}

static void bend(struct object *o, ElfW(Addr) base, const ElfW(Rela) * list, size_t n,
                 const ElfW(Sym) * symbols, const char *names)
{
    for (size_t i = 0; i < n; i++) {
        const size_t symbol = ELF64_R_SYM(list[i].r_info);
        if (!symbol || list[i].r_addend) continue;
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (!strcmp(names + symbols[symbol].st_name, all[k].name) &&
                symbols[symbol].st_shndx == SHN_UNDEF) {
                write_slot(base + list[i].r_offset, all[k].fn);
                o->bent++;
            }
    }
}

static const void *address(ElfW(Addr) base, ElfW(Addr) value)
{
    /* The loader has added the base to the pointers of the dynamic section, but not on every machine. */
    const ElfW(Addr) at = value < base ? base + value : value;
    const void *p;
    memcpy(&p, &at, sizeof p);
    return p;
}

static int find(struct dl_phdr_info *info, size_t size, void *user)
{
    struct object *o = user;
    const ElfW(Dyn) *dynamic = NULL;
    bool holds = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *s = &info->dlpi_phdr[i];
        const char *from = address(info->dlpi_addr, info->dlpi_addr + s->p_vaddr);
        if (s->p_type == PT_LOAD && o->code >= from && o->code < from + s->p_memsz) holds = true;
        if (s->p_type == PT_DYNAMIC) dynamic = (const void *)from;
    }
    if (!holds) return 0;
    if (!info->dlpi_name || !*info->dlpi_name || !dynamic) return 1; /* the program itself */
    const ElfW(Rela) *plt = NULL, *rela = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    size_t plt_size = 0, rela_size = 0;
    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
        const void *p = address(info->dlpi_addr, d->d_un.d_ptr);
        switch (d->d_tag) {
        case DT_JMPREL: plt = p; break;
        case DT_PLTRELSZ: plt_size = d->d_un.d_val; break;
        case DT_RELA: rela = p; break;
        case DT_RELASZ: rela_size = d->d_un.d_val; break;
        case DT_SYMTAB: symbols = p; break;
        case DT_STRTAB: names = p; break;
        default: break;
        }
    }
    if (!symbols || !names) return 1;
    if (plt) bend(o, info->dlpi_addr, plt, plt_size / sizeof *plt, symbols, names);
    if (rela) bend(o, info->dlpi_addr, rela, rela_size / sizeof *rela, symbols, names);
    return 1;
}

bool pb_alloc_watch(const void *code)
{
    struct object o = {.code = code};
    dl_iterate_phdr(find, &o);
    return o.bent > 0;
}
