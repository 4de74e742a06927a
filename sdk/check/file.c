/* SPDX-License-Identifier: MIT */
/* What can be seen without running anything: the ELF file. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "plugin/image.h"

struct image {
    const uint8_t *p;
    size_t n;
    const ElfW(Ehdr) * head;
    const ElfW(Phdr) * segments;
    const ElfW(Dyn) * dynamic;
    size_t n_dynamic;
};

static const void *at(const struct image *m, uint64_t offset, uint64_t n)
{
    if (offset > m->n || n > m->n - offset)
        kit_fault("the ELF file is cut off or damaged at offset %llu", (unsigned long long)offset);
    return m->p + offset;
}

static const void *of_address(const struct image *m, uint64_t address, uint64_t n)
{
    for (size_t i = 0; i < m->head->e_phnum; i++) {
        const ElfW(Phdr) *s = &m->segments[i];
        if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz)
            return at(m, address - s->p_vaddr + s->p_offset, n);
    }
    kit_fault("the ELF file names the address %llx, which no segment holds", (unsigned long long)address);
}

static struct image map(struct kit *k)
{
    struct image m = {0};
    struct stat st;
    struct pb_err err;
    int fd = open(k->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) kit_fault("%s cannot be read: %s", k->path, strerror(errno));
    if (pb_image_check(fd, k->path, &err)) kit_fault("%s", err.msg);
    m.n = (size_t)st.st_size;
    m.p = mmap(NULL, m.n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (m.p == MAP_FAILED) kit_fault("%s cannot be mapped: %s", k->path, strerror(errno));
    m.head = at(&m, 0, sizeof *m.head);
    m.segments = at(&m, m.head->e_phoff, (uint64_t)m.head->e_phnum * sizeof *m.segments);
    for (size_t i = 0; i < m.head->e_phnum; i++)
        if (m.segments[i].p_type == PT_DYNAMIC) {
            m.dynamic = at(&m, m.segments[i].p_offset, m.segments[i].p_filesz);
            m.n_dynamic = m.segments[i].p_filesz / sizeof *m.dynamic;
        }
    if (!m.dynamic) kit_fault("%s has no dynamic section: it is not a shared object", k->path);
    return m;
}

static const ElfW(Dyn) * entry(const struct image *m, int64_t tag)
{
    for (size_t i = 0; i < m->n_dynamic && m->dynamic[i].d_tag != DT_NULL; i++)
        if (m->dynamic[i].d_tag == tag) return &m->dynamic[i];
    return NULL;
}

static const char *string(const struct image *m, uint64_t offset)
{
    const ElfW(Dyn) *table = entry(m, DT_STRTAB);
    if (!table) kit_fault("the ELF file has no table of strings");
    return of_address(m, table->d_un.d_ptr + offset, 1);
}

void check_file(struct kit *k)
{
    map(k);
}

/* The section table says how many dynamic symbols there are; a stripped plugin keeps it. */
static const ElfW(Sym) * symbols(const struct image *m, size_t *n)
{
    const ElfW(Shdr) *s = at(m, m->head->e_shoff, (uint64_t)m->head->e_shnum * sizeof *s);
    for (size_t i = 0; i < m->head->e_shnum; i++)
        if (s[i].sh_type == SHT_DYNSYM) {
            *n = s[i].sh_size / sizeof(ElfW(Sym));
            return at(m, s[i].sh_offset, s[i].sh_size);
        }
    kit_fault("the ELF file has no dynamic symbols");
}

void check_exports(struct kit *k)
{
    struct image m = map(k);
    size_t n;
    bool found = false;
    const ElfW(Sym) *all = symbols(&m, &n);
    for (size_t i = 1; i < n; i++) {
        if (all[i].st_shndx == SHN_UNDEF || all[i].st_shndx == SHN_ABS) continue;
        unsigned bind = ELF64_ST_BIND(all[i].st_info), visible = ELF64_ST_VISIBILITY(all[i].st_other);
        if (bind == STB_LOCAL || visible == STV_HIDDEN || visible == STV_INTERNAL) continue;
        const char *name = string(&m, all[i].st_name);
        if (!strcmp(name, "pbay_plugin_entry"))
            found = true;
        else
            kit_fault("it exports \"%s\": two plugins could meet in it; build with -fvisibility=hidden and "
                      "the SDK's "
                      "plugin.map (pbay_add_plugin does)",
                      name);
    }
    if (!found) kit_fault("it does not export pbay_plugin_entry: mark it PBAY_EXPORT");
}

void check_hardening(struct kit *k)
{
    struct image m = map(k);
    bool relro = false;
    for (size_t i = 0; i < m.head->e_phnum; i++) {
        const ElfW(Phdr) *s = &m.segments[i];
        if (s->p_type == PT_GNU_RELRO) relro = true;
        if (s->p_type == PT_GNU_STACK && (s->p_flags & PF_X))
            kit_fault("its stack is executable: link with -Wl,-z,noexecstack");
        if (s->p_type == PT_LOAD && (s->p_flags & PF_W) && (s->p_flags & PF_X))
            kit_fault("it has a segment that is writable and executable");
    }
    const ElfW(Dyn) *flags = entry(&m, DT_FLAGS), *flags_1 = entry(&m, DT_FLAGS_1);
    bool now = entry(&m, DT_BIND_NOW) || (flags && flags->d_un.d_val & DF_BIND_NOW) ||
               (flags_1 && flags_1->d_un.d_val & DF_1_NOW);
    if (!relro || !now) kit_fault("its tables stay writable: link with -Wl,-z,relro,-z,now");
    if (entry(&m, DT_TEXTREL)) kit_fault("it has text relocations: compile with -fPIC");
    if (entry(&m, DT_RPATH) || entry(&m, DT_RUNPATH))
        kit_fault("it looks for libraries in places of its own (RPATH): install them where the system looks");
}

void check_libraries(struct kit *k)
{
    static const struct {
        const char *prefix, *instead;
    } refused[] = {{"libcurl", "pbay.host.http/1"},    {"libuv", "pbay.host.timer/1, .stream/1 and .work/1"},
                   {"libssl", "pbay.host.stream/1"},   {"libcrypto", "pbay.host.crypto/1"},
                   {"libnghttp2", "pbay.host.http/1"}, {"libwslay", "pbay.host.ws/1"}};
    struct image m = map(k);
    for (size_t i = 0; i < m.n_dynamic && m.dynamic[i].d_tag != DT_NULL; i++) {
        if (m.dynamic[i].d_tag != DT_NEEDED) continue;
        const char *name = string(&m, m.dynamic[i].d_un.d_val);
        for (size_t r = 0; r < PB_COUNTOF(refused); r++)
            if (!strncmp(name, refused[r].prefix, strlen(refused[r].prefix)))
                kit_fault("it links %s: the host has %s, under its rules for what may be talked to", name,
                          refused[r].instead);
    }
}
