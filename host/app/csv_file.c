/* SPDX-License-Identifier: MIT */
#include "app/csv_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { PIECE = 256 * 1024 };

/* ---------------------------------------------------------------------------------------------- bytes */

static int open_spool(struct pb_err *err)
{
    const char *dir = getenv("TMPDIR");
    if (!dir || !*dir) dir = "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    char *name = pb_sprintf("%s/patchbay-XXXXXX", dir);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    else
        pb_fail(err, PBAY_UNAVAILABLE, "%s: %s", name, strerror(errno));
    pb_free(name);
    return fd;
}

int pb_csv_open(struct pb_csv_file *f, const char *path, bool spool, struct pb_err *err)
{
    bool standard = !strcmp(path, "-");
    *f = (struct pb_csv_file){.name = standard ? "standard input" : path, .spool = -1, .next_line = 1};
    f->owned = !standard;
    f->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (f->fd < 0 || fstat(f->fd, &st))
        return pb_fail(err, PBAY_NOT_FOUND, "%s: %s", f->name, strerror(errno));
    if (S_ISDIR(st.st_mode)) return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: is a directory", f->name);
    if (S_ISREG(st.st_mode)) {
        off_t at = lseek(f->fd, 0, SEEK_CUR);
        f->seekable = at >= 0;
        f->at = at > 0 ? (uint64_t)at : 0;
        f->size = (uint64_t)st.st_size > f->at ? (uint64_t)st.st_size - f->at : 0;
    }
    if (spool && !f->seekable && (f->spool = open_spool(err)) < 0) return -1;
    return 0;
}

void pb_csv_follow(struct pb_csv_file *f, const struct pb_csv_file *leader)
{
    *f = (struct pb_csv_file){
        .name = leader->name, .spool = -1, .next_line = 1, .follower = true, .seekable = true};
    f->fd = leader->seekable ? leader->fd : leader->spool;
    f->width = leader->width;
    off_t at = leader->seekable ? lseek(leader->fd, 0, SEEK_CUR) : 0;
    f->at = at > 0 ? (uint64_t)at : 0; /* the leader reads with pread: the offset is where the file began */
}

static int spool_piece(struct pb_csv_file *f, const char *p, size_t n, struct pb_err *err)
{
    while (n) {
        ssize_t rc = write(f->spool, p, n);
        if (rc < 0 && errno == EINTR) continue;
        if (rc < 0)
            return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "%s cannot be kept in a temporary file (TMPDIR): %s",
                           f->name, strerror(errno));
        p += rc;
        n -= (size_t)rc;
    }
    return 0;
}

/* 1: more bytes, 0: the end, -1 with err. */
static int more(struct pb_csv_file *f, struct pb_err *err)
{
    if (f->pos) {
        pb_buf_drop(&f->buf, f->pos);
        f->pos = 0;
    }
    if (f->buf.n > PB_CSV_RECORD_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "%s:%" PRIu64 ": a record longer than %zu bytes; is a quote never "
                       "closed?",
                       f->name, f->line, PB_CSV_RECORD_MAX);
    char *to = pb_buf_room(&f->buf, PIECE);
    ssize_t n;
    do {
        n = f->seekable ? pread(f->fd, to, PIECE, (off_t)f->at) : read(f->fd, to, PIECE);
    } while (n < 0 && errno == EINTR && f->follower);
    if (n < 0 && errno == EINTR) return pb_fail(err, PBAY_CANCELLED, "interrupted");
    if (n < 0) return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %s", f->name, strerror(errno));
    if (n == 0) return 0;
    if (f->spool >= 0 && spool_piece(f, to, (size_t)n, err)) return -1;
    f->at += (uint64_t)n;
    f->buf.n += (size_t)n;
    return 1;
}

/* ---------------------------------------------------------------------------------------------- records */

static int bad(const struct pb_csv_file *f, struct pb_err *err, const char *what)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s:%" PRIu64 ": %s", f->name, f->line, what);
}

static void add_field(struct pb_csv_file *f, size_t from, size_t n, bool undone)
{
    PB_GROW(f->fields, f->fields_cap, f->n_fields + 1);
    f->fields[f->n_fields++] = (struct pb_csv_field){from, n, undone};
}

/* Cut the record r[0..n) into fields; n is the end of its last. */
static int cut(struct pb_csv_file *f, const char *r, size_t n, struct pb_err *err)
{
    f->n_fields = 0;
    f->unquoted.n = 0;
    for (size_t i = 0;; i++) {
        if (i < n && r[i] == '"') {
            size_t from = ++i, start = f->unquoted.n;
            bool doubled = false;
            for (;; i++) {
                const char *q = i < n ? memchr(r + i, '"', n - i) : NULL;
                if (!q) return bad(f, err, "a quote is not closed");
                size_t at = (size_t)(q - r);
                if (at + 1 >= n || r[at + 1] != '"') {
                    if (doubled) pb_buf_add(&f->unquoted, r + i, at - i);
                    i = at;
                    break;
                }
                if (!doubled)
                    start = f->unquoted.n, pb_buf_add(&f->unquoted, r + from, at + 1 - from);
                else
                    pb_buf_add(&f->unquoted, r + i, at + 1 - i);
                doubled = true;
                i = at + 1;
            }
            if (doubled)
                add_field(f, start, f->unquoted.n - start, true);
            else
                add_field(f, from, i - from, false);
            i++;
            if (i < n && r[i] != ',')
                return bad(f, err, "text after a closing quote; a quote within quotes is doubled");
        } else {
            const char *comma = i < n ? memchr(r + i, ',', n - i) : NULL;
            size_t end = comma ? (size_t)(comma - r) : n;
            add_field(f, i, end - i, false);
            i = end;
        }
        if (i >= n) return 0;
    }
}

/* The end of the record that begins at pos: its length without and with the line end. 1, 0: no record, -1
 * with err. */
static int find_end(struct pb_csv_file *f, size_t *n, size_t *whole, struct pb_err *err)
{
    /* A quote opens a field only at its beginning; anywhere else it is a letter. */
    enum { BEGIN, PLAIN, QUOTED, CLOSED } state = BEGIN;
    f->line = f->next_line;
    for (size_t i = 0;; i++) {
        if (f->pos + i == f->buf.n) {
            int rc = more(f, err);
            if (rc < 0) return -1;
            if (rc == 0) {
                if (i == 0) return 0;
                if (state == QUOTED) return bad(f, err, "a quote is not closed");
                *n = *whole = i;
                break;
            }
        }
        char c = f->buf.p[f->pos + i];
        if (c == '\n') {
            f->next_line++;
            if (state == QUOTED) continue;
            *whole = i + 1;
            *n = i;
            break;
        }
        if (c == '"' && state != PLAIN)
            state = state == QUOTED ? CLOSED : QUOTED;
        else if (state != QUOTED)
            state = c == ',' ? BEGIN : PLAIN;
    }
    if (*n && f->buf.p[f->pos + *n - 1] == '\r') --*n;
    return 1;
}

int pb_csv_next(struct pb_csv_file *f, pbay_str *raw, struct pb_err *err)
{
    size_t n = 0, whole = 0;
    if (!f->started) {
        while (f->buf.n < 3) {
            int rc = more(f, err);
            if (rc < 0) return -1;
            if (rc == 0) break;
        }
        f->started = true;
        if (f->buf.n >= 3 && !memcmp(f->buf.p, "\xef\xbb\xbf", 3)) f->pos = 3;
    }
    do {
        int rc = find_end(f, &n, &whole, err);
        if (rc <= 0) return rc;
        *raw = pb_str(f->buf.p + f->pos, n);
        f->record = f->pos;
        f->pos += whole;
        f->taken += whole;
    } while (n == 0 && (f->width != 1 || !f->any)); /* an empty line is a record of one empty field */
    f->any = true;
    if (f->follower) return 1; /* the leader has looked at its fields */
    if (cut(f, raw->p, n, err)) return -1;
    if (!pb_utf8_valid(*raw)) return bad(f, err, "not valid UTF-8");
    if (!f->width) f->width = f->n_fields;
    if (f->n_fields != f->width)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s:%" PRIu64 ": %zu fields; the header has %zu", f->name,
                       f->line, f->n_fields, f->width);
    return 1;
}

pbay_str pb_csv_field(const struct pb_csv_file *f, size_t i)
{
    const struct pb_csv_field *d = &f->fields[i];
    return pb_str((d->undone ? f->unquoted.p : f->buf.p + f->record) + d->from, d->n);
}

void pb_csv_put(struct pb_buf *out, pbay_str s)
{
    size_t i = 0;
    while (i < s.n && s.p[i] != '"' && s.p[i] != ',' && s.p[i] != '\n' && s.p[i] != '\r') i++;
    if (i == s.n) {
        pb_buf_str(out, s);
        return;
    }
    pb_buf_ch(out, '"');
    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '"') pb_buf_ch(out, '"');
        pb_buf_ch(out, s.p[i]);
    }
    pb_buf_ch(out, '"');
}

void pb_csv_close(struct pb_csv_file *f)
{
    if (f->owned && !f->follower && f->fd >= 0) close(f->fd);
    if (f->spool >= 0) close(f->spool);
    pb_buf_free(&f->buf);
    pb_buf_free(&f->unquoted);
    pb_free(f->fields);
    *f = (struct pb_csv_file){.fd = -1, .spool = -1};
}
