/* SPDX-License-Identifier: MIT */
#include "plugin/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The part of an ELF header that is the same in 32 and 64 bits. */
struct elf_head {
    unsigned char ident[EI_NIDENT];
    uint16_t type;
    uint16_t machine;
};

static const char *machine_name(uint16_t m, char buf[24])
{
    switch (m) {
    case EM_386: return "i386";
    case EM_X86_64: return "x86-64";
    case EM_ARM: return "arm";
    case EM_AARCH64: return "aarch64";
    case EM_RISCV: return "riscv";
    case EM_PPC64: return "ppc64";
    case EM_S390: return "s390";
    default: snprintf(buf, 24, "machine %u", (unsigned)m); return buf;
    }
}

static int read_head(int fd, struct elf_head *h)
{
    ssize_t n = pread(fd, h, sizeof *h, 0);
    return n < 0 ? -1 : n == (ssize_t)sizeof *h;
}

/* What is mapped of a file that ends before is a crash when it is touched. */
static int check_length(int fd, const char *path, struct pb_err *err)
{
    struct stat st;
    ElfW(Ehdr) head;
    ElfW(Phdr) part;
    if (fstat(fd, &st)) return pb_fail(err, PBAY_INTERNAL, "%s: %s", path, strerror(errno));
    const uint64_t size = (uint64_t)st.st_size;
    uint64_t ends = sizeof head;
    bool whole = pread(fd, &head, sizeof head, 0) == (ssize_t)sizeof head && head.e_phentsize == sizeof part;
    for (uint64_t i = 0; whole && i < head.e_phnum; i++) {
        whole =
            pread(fd, &part, sizeof part, (off_t)(head.e_phoff + i * sizeof part)) == (ssize_t)sizeof part;
        if (whole && part.p_type == PT_LOAD && part.p_offset + part.p_filesz > ends)
            ends = part.p_offset + part.p_filesz;
    }
    if (whole && ends <= size) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "%s: cut off: it has %llu bytes, and its headers speak of %s%llu: copy it again", path,
                   (unsigned long long)size, whole ? "" : "more than ",
                   (unsigned long long)(whole ? ends : size));
}

int pb_image_check(int fd, const char *path, struct pb_err *err)
{
    struct elf_head h, own;
    int got = read_head(fd, &h);
    if (got < 0) return pb_fail(err, PBAY_INTERNAL, "%s: %s", path, strerror(errno));
    if (!got || memcmp(h.ident, ELFMAG, SELFMAG))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: not an ELF file, so not a plugin", path);
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    got = self < 0 ? -1 : read_head(self, &own);
    if (self >= 0) close(self);
    if (got != 1) return pb_fail(err, PBAY_INTERNAL, "/proc/self/exe: %s", strerror(errno));
    if (h.ident[EI_CLASS] != own.ident[EI_CLASS])
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: built for %d bits, this gateway has %d", path,
                       h.ident[EI_CLASS] == ELFCLASS64 ? 64 : 32,
                       own.ident[EI_CLASS] == ELFCLASS64 ? 64 : 32);
    if (h.ident[EI_DATA] != own.ident[EI_DATA])
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: byte order %d, this gateway has %d", path,
                       h.ident[EI_DATA], own.ident[EI_DATA]);
    char a[24], b[24];
    if (h.machine != own.machine)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: built for %s, this gateway runs on %s", path,
                       machine_name(h.machine, a), machine_name(own.machine, b));
    if (h.type != ET_DYN)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: ELF type %u, a shared object is type %u", path,
                       (unsigned)h.type, (unsigned)ET_DYN);
    return check_length(fd, path, err);
}
