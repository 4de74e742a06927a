/* SPDX-License-Identifier: MIT */
#include "sync_shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at);
int ftruncate64(int fd, off64_t size);
int fdatasync(int fd);
int fsync(int fd);

struct note {
    int64_t at, old_n, old_size; /* old_n bytes follow */
};

static char watched[PATH_MAX];

/* The real one. Through memcpy: C has no cast from an object pointer to a function's. */
#define REAL(name)                                                                                           \
    __typeof__(name) *real;                                                                                  \
    void *sym_ = dlsym(RTLD_NEXT, #name);                                                                    \
    memcpy(&real, &sym_, sizeof real)

void sync_shim_watch(const char *dir)
{
    snprintf(watched, sizeof watched, "%s", dir ? dir : "");
}

/* FILE.undo of a descriptor, open, or -1 when it is not watched. */
static int undo_of(int fd, int flags)
{
    char link[64], path[PATH_MAX + 8];
    size_t dir = strlen(watched);
    if (!dir) return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX);
    if (n <= 0 || (size_t)n <= dir || memcmp(path, watched, dir) != 0 || path[dir] != '/') return -1;
    memcpy(path + n, ".undo", 6);
    return open(path, flags | O_CREAT | O_CLOEXEC, 0600);
}

static void take_note(int fd, int64_t at, int64_t n)
{
    int undo = undo_of(fd, O_WRONLY | O_APPEND);
    struct stat st;
    if (undo < 0) return;
    if (fstat(fd, &st) != 0) abort();
    struct note note = {at, 0, st.st_size};
    if (at < st.st_size) note.old_n = at + n < st.st_size ? n : st.st_size - at;
    char *all = malloc(sizeof note + (size_t)note.old_n);
    if (!all) abort();
    if (pread(fd, all + sizeof note, (size_t)note.old_n, at) != note.old_n) abort();
    memcpy(all, &note, sizeof note);
    ssize_t len = (ssize_t)sizeof note + note.old_n;
    if (write(undo, all, (size_t)len) != len) abort();
    free(all);
    close(undo);
}

static void synced(int fd)
{
    int undo = undo_of(fd, O_WRONLY | O_TRUNC);
    if (undo >= 0) close(undo);
}

EXPORT ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    REAL(pwrite64);
    take_note(fd, at, (int64_t)n);
    return real(fd, p, n, at);
}

EXPORT int ftruncate64(int fd, off64_t size)
{
    REAL(ftruncate64);
    struct stat st;
    if (fstat(fd, &st) == 0 && size < st.st_size) take_note(fd, size, st.st_size - size);
    return real(fd, size);
}

EXPORT int fdatasync(int fd)
{
    REAL(fdatasync);
    int rc = real(fd);
    if (rc == 0) synced(fd);
    return rc;
}

EXPORT int fsync(int fd)
{
    REAL(fsync);
    int rc = real(fd);
    if (rc == 0) synced(fd);
    return rc;
}

/* ------------------------------------------------------------------------ after the death */

static int cut_file(const char *path, const char *undo_path)
{
    int undo = open(undo_path, O_RDONLY | O_CLOEXEC), fd = open(path, O_RDWR | O_CLOEXEC), count = 0;
    struct stat st;
    if (undo < 0 || fd < 0 || fstat(undo, &st) != 0) {
        if (undo >= 0) close(undo);
        if (fd >= 0) close(fd);
        return 0; /* the file itself is gone */
    }
    char *all = malloc((size_t)st.st_size + 1);
    int64_t *starts = malloc(sizeof *starts * ((size_t)st.st_size / sizeof(struct note) + 1));
    if (!all || !starts || read(undo, all, (size_t)st.st_size) != st.st_size) abort();
    /* The last note may be cut short: its write did not happen. */
    struct note note;
    for (int64_t at = 0; at + (int64_t)sizeof note <= st.st_size;) {
        memcpy(&note, all + at, sizeof note);
        if (note.old_n < 0 || at + (int64_t)sizeof note + note.old_n > st.st_size) break;
        starts[count++] = at;
        at += (int64_t)sizeof note + note.old_n;
    }
    for (int i = count - 1; i >= 0; i--) {
        memcpy(&note, all + starts[i], sizeof note);
        if (pwrite(fd, all + starts[i] + sizeof note, (size_t)note.old_n, note.at) != note.old_n ||
            ftruncate(fd, note.old_size) != 0)
            count = -1;
    }
    free(all);
    free(starts);
    close(undo);
    close(fd);
    return count;
}

/* Each FILE.undo of dir is removed; with cut, first applied. The number of writes taken back, or -1. */
static int each_undo(const char *dir, bool cut)
{
    int count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && count >= 0 && (e = readdir(d)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".undo") != 0) continue;
        char path[PATH_MAX], undo[PATH_MAX];
        snprintf(undo, sizeof undo, "%s/%s", dir, e->d_name);
        snprintf(path, sizeof path, "%s/%.*s", dir, (int)(n - 5), e->d_name);
        int one = cut ? cut_file(path, undo) : 0;
        count = one < 0 ? -1 : count + one;
        unlink(undo);
    }
    if (d) closedir(d);
    return count;
}

int sync_shim_cut(const char *dir)
{
    return each_undo(dir, true);
}

void sync_shim_forget(const char *dir)
{
    each_undo(dir, false);
}
