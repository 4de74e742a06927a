/* SPDX-License-Identifier: MIT */
#include "app/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

enum { TEXT = 320, BAR_MAX = 40 };

/* 1234567 as "1,234,567". */
static const char *grouped(uint64_t v, char out[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, v), k = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = 0;
    return out;
}

static int terminal_width(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

void pb_progress_start(struct pb_progress *p, const char *what, bool wanted)
{
    int64_t now = pb_mono_ns();
    *p = (struct pb_progress){
        .on = wanted && isatty(STDERR_FILENO), .what = what, .started = now, .last = now};
}

/* Is it time to draw again? */
static bool due(struct pb_progress *p, int64_t now)
{
    if (!p->on || now - p->last < 100 * PB_MS) return false;
    p->last = now;
    return true;
}

/* "[####....]" for done of total in what the line has left beside `others` columns; "" when that is too
 * little. */
static const char *bar_of(uint64_t done, uint64_t total, int others, char out[BAR_MAX + 3])
{
    int cells = terminal_width() - others;
    if (cells > BAR_MAX) cells = BAR_MAX;
    out[0] = 0;
    if (cells < 8) return out;
    int filled = (int)((done >= total ? 1 : (double)done / (double)total) * cells);
    out[0] = '[';
    memset(out + 1, '#', (size_t)filled);
    memset(out + 1 + filled, '.', (size_t)(cells - filled));
    memcpy(out + 1 + cells, "]", 2);
    return out;
}

static void draw(struct pb_progress *p, const char *text, int n)
{
    int width = terminal_width();
    if (n > TEXT - 1) n = TEXT - 1;
    if (n > width - 1) n = width - 1;
    fprintf(stderr, "\r%.*s\x1b[K", n, text);
    fflush(stderr);
    p->drawn = true;
}

void pb_progress_show(struct pb_progress *p, uint64_t done, uint64_t total, uint64_t rows)
{
    int64_t now = pb_mono_ns();
    if (!due(p, now)) return;
    double seconds = (double)(now - p->started) / (double)PB_SEC;
    char a[32], b[32], text[TEXT], bar[BAR_MAX + 3];
    const char *each = grouped((uint64_t)((double)rows / seconds), b);
    int n;
    if (total) {
        double part = done >= total ? 1 : (double)done / (double)total;
        int64_t left = part > 0 ? (int64_t)(seconds / part - seconds + 0.5) : 0;
        n = snprintf(text, sizeof text, "%s %3d%% %s %s rows  %s rows/s  ETA %" PRId64 ":%02" PRId64, p->what,
                     (int)(part * 100), bar_of(done, total, 66 + (int)strlen(p->what), bar), grouped(rows, a),
                     each, left / 60, left % 60);
    } else {
        n = snprintf(text, sizeof text, "%s  %s rows  %s rows/s", p->what, grouped(rows, a), each);
    }
    draw(p, text, n);
}

void pb_progress_step(struct pb_progress *p, uint64_t done, uint64_t total, pbay_str doing)
{
    if (!due(p, pb_mono_ns())) return;
    char a[32], b[32], text[TEXT], bar[BAR_MAX + 3];
    struct pb_buf shown = {0};
    pb_buf_json(&shown, pb_str(doing.p, pb_utf8_floor(doing, doing.n < 60 ? doing.n : 60)));
    int n = total ? snprintf(text, sizeof text, "%s %s %s of %s  %.*s", p->what,
                             bar_of(done, total, 50 + (int)strlen(p->what), bar), grouped(done, a),
                             grouped(total, b), PB_FMT(pb_buf_view(&shown)))
                  : snprintf(text, sizeof text, "%s  %s  %.*s", p->what, grouped(done, a),
                             PB_FMT(pb_buf_view(&shown)));
    pb_buf_free(&shown);
    draw(p, text, n);
}

void pb_progress_end(struct pb_progress *p, bool summary, uint64_t rows)
{
    if (!p->on) return;
    if (p->drawn) fputs("\r\x1b[K", stderr);
    if (!summary) return;
    double seconds = (double)(pb_mono_ns() - p->started) / (double)PB_SEC;
    char a[32], b[32];
    fprintf(stderr, "%s: %s rows in %.1f s (%s rows/s)\n", p->what, grouped(rows, a), seconds,
            grouped((uint64_t)((double)rows / (seconds > 0 ? seconds : 1e-9)), b));
}
