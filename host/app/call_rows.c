/* SPDX-License-Identifier: MIT */
#include "app/call_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "data/bundle.h"

enum { MESSAGE = 256 * 1024, VALUE = 12, FLUSH = 256 * 1024, KEEP = 1024 * 1024 };

/* ---------------------------------------------------------------------------------------------- rows to send
 */

static int put_cell(struct pb_call_in *in, uint32_t c, pbay_str s, struct pb_err *err)
{
    const struct pb_sse_param *param = &in->fn->params[c];
    double v;
    if (param->kind == PBAY_STR) {
        pb_put_text(in->rows, c, s.p, s.n);
        return 0;
    }
    pbay_str trimmed = pb_str_trim(s);
    if (!trimmed.n) {
        pb_put_null(in->rows, c);
        return 0;
    }
    bool is_number = pb_parse_f64(trimmed, &v);
    if (param->kind == PBAY_DUAL) {
        pb_put_dual(in->rows, c, is_number ? v : (double)NAN, s.p, s.n);
        return 0;
    }
    if (!is_number) {
        size_t n = s.n > 80 ? pb_utf8_floor(s, 80) : s.n;
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "%s:%" PRIu64 ": \"%.*s\"%s is no number, as parameter %.*s wants it", in->csv.name,
                       in->csv.line, (int)n, s.p, n < s.n ? "..." : "", PB_FMT(param->name));
    }
    pb_put_num(in->rows, c, v);
    return 0;
}

/* Records into in->rows until they make a message. 0, or -1 with err. */
static int gather(struct pb_call_in *in, struct pb_err *err)
{
    const uint32_t n_params = in->fn->n_params;
    uint32_t n = 0;
    size_t bytes = 0;
    while (in->max_rows ? n < in->max_rows : bytes < MESSAGE) {
        pbay_str raw;
        int rc = pb_csv_next(&in->csv, &raw, err);
        if (rc < 0) return -1;
        if (rc == 0) {
            in->ended = true;
            break;
        }
        for (uint32_t c = 0; c < n_params; c++) {
            pbay_str s = pb_csv_field(&in->csv, in->columns[c]);
            if (put_cell(in, c, s, err)) return -1;
            bytes += s.n + VALUE;
        }
        bytes += VALUE;
        n++;
    }
    if (!n_params) in->rows->bare_rows = n;
    return 0;
}

int pb_call_in_next(struct pb_call_in *in, pbay_str *message, struct pb_err *err)
{
    if (in->ended || in->csv.fd < 0) {
        in->ended = true;
        return 0;
    }
    if (!in->rows) {
        in->rows = pb_builder_new();
        for (uint32_t c = 0; c < in->fn->n_params; c++)
            pb_builder_column(in->rows, in->fn->params[c].name, in->fn->params[c].kind);
    }
    pb_builder_clear_rows(in->rows);
    pb_buf_reset(&in->message, KEEP);
    if (gather(in, err)) return -1;
    const pbay_batch *batch = pb_builder_seal(in->rows, err);
    if (!batch) return -1;
    if (!batch->n_rows) return 0;
    uint32_t end = pb_bundle_encode(batch, 0, 0, PB_BUNDLE_HARD_MAX, PB_BUNDLE_HARD_MAX, &in->message, err);
    if (end == PB_BUNDLE_FAILED)
        return pb_fail_in(err, "%s: rows up to line %" PRIu64, in->csv.name, in->csv.line);
    if (end < batch->n_rows)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "%s: the %u rows up to line %" PRIu64 " make a message longer than %zu "
                       "bytes; %s",
                       in->csv.name, batch->n_rows, in->csv.line, PB_BUNDLE_HARD_MAX,
                       in->max_rows ? "give a smaller --rows-per-bundle" : "their values are too long");
    in->n_rows += batch->n_rows;
    *message = pb_buf_view(&in->message);
    return 1;
}

void pb_call_in_free(struct pb_call_in *in)
{
    pb_csv_close(&in->csv);
    pb_free(in->columns);
    pb_builder_unref(in->rows);
    pb_buf_free(&in->message);
}

/* ---------------------------------------------------------------------------------------------- rows that
 * came */

static const char *out_name(const struct pb_call_out *out)
{
    return out->path ? out->path : "standard output";
}

int pb_call_out_open(struct pb_call_out *out, const char *path, struct pb_err *err)
{
    out->path = path;
    out->fd = STDOUT_FILENO;
    if (!path) return 0;
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        out->temporary = pb_sprintf("%s.partial", path);
        out->fd = open(out->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    }
    if (out->fd >= 0) return 0;
    pb_fail(err, PBAY_PERMISSION_DENIED, "cannot write %s: %s", out->temporary ? out->temporary : path,
            strerror(errno));
    pb_free(out->temporary);
    out->temporary = NULL;
    return -1;
}

static int flush(struct pb_call_out *out, struct pb_err *err)
{
    size_t at = 0;
    while (at < out->text.n) {
        ssize_t n = write(out->fd, out->text.p + at, out->text.n - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return pb_fail(err, PBAY_UNAVAILABLE, "cannot write %s: %s", out_name(out), strerror(errno));
        at += (size_t)n;
    }
    pb_buf_reset(&out->text, KEEP);
    return 0;
}

int pb_call_out_begin(struct pb_call_out *out, pbay_str header, const struct pb_sse_table *table,
                      uint32_t n_values, struct pb_csv_file *rows, struct pb_err *err)
{
    PB_REQUIRE(!out->begun);
    out->begun = true;
    out->rows = rows;
    out->beside = !table && out->fn->function_type != PB_SSE_AGGREGATION && rows;
    uint32_t n = table ? table->n_fields : n_values ? n_values : 1;
    if (out->name && n != 1)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "--name names one column; the answer has %u", n);
    if (table && n_values && n_values != n)
        return pb_fail(err, PBAY_INTERNAL, "the gateway describes a table of %u columns and sends %u", n,
                       n_values);
    out->answer = pb_builder_new();
    if (out->beside) pb_buf_str(&out->text, header);
    for (uint32_t i = 0; i < n; i++) {
        struct pb_buf name = {0};
        if (out->name)
            pb_buf_c(&name, out->name);
        else if (table && table->fields[i].name.n)
            pb_buf_str(&name, table->fields[i].name);
        else if (table)
            pb_buf_printf(&name, "Field%u", i + 1); /* as the engine names it */
        else if (n == 1)
            pb_buf_str(&name, out->fn->name);
        else
            pb_buf_printf(&name, "%.*s_%u", PB_FMT(out->fn->name), i + 1);
        if (i || out->beside) pb_buf_ch(&out->text, ',');
        pb_csv_put(&out->text, pb_buf_view(&name));
        pb_builder_column(out->answer, pb_buf_view(&name), table ? table->fields[i].kind : out->fn->returns);
        pb_buf_free(&name);
    }
    pb_buf_ch(&out->text, '\n');
    return 0;
}

static void put_value(struct pb_buf *text, const pbay_column *col, uint32_t row)
{
    char number[PB_F64_MAX];
    if (pbay_cell_null(col, row)) return;
    if (col->off) {
        pbay_str s = pbay_cell_text(col, row);
        if (s.n || !col->num) {
            pb_csv_put(text, s);
            return;
        }
    }
    pb_buf_add(text, number, pb_format_f64(col->num[row], number));
}

int pb_call_out_message(struct pb_call_out *out, pbay_str message, uint64_t n_sent, struct pb_err *err)
{
    pb_builder_clear_rows(out->answer);
    if (pb_bundle_decode(message, out->answer, err)) {
        err->code = PBAY_INTERNAL;
        return pb_fail_in(err, "the answer");
    }
    const pbay_batch *batch = pb_builder_seal(out->answer, err);
    if (!batch) return -1;
    if (out->beside && out->n_rows + batch->n_rows > n_sent)
        return pb_fail(err, PBAY_INTERNAL,
                       "the gateway has answered %" PRIu64 " rows, and was sent only %" PRIu64,
                       out->n_rows + batch->n_rows, n_sent);
    for (uint32_t row = 0; row < batch->n_rows; row++) {
        if (out->beside) {
            pbay_str raw;
            int rc = pb_csv_next(out->rows, &raw, err);
            if (rc < 0) return -1;
            if (rc == 0)
                return pb_fail(err, PBAY_ABORTED, "%s became shorter while it was read", out->rows->name);
            pb_buf_str(&out->text, raw);
        }
        for (uint32_t c = 0; c < batch->n_cols; c++) {
            if (c || out->beside) pb_buf_ch(&out->text, ',');
            put_value(&out->text, pbay_batch_col(batch, c), row);
        }
        pb_buf_ch(&out->text, '\n');
        if (out->text.n >= FLUSH && flush(out, err)) return -1;
    }
    out->n_rows += batch->n_rows;
    return 0;
}

int pb_call_out_commit(struct pb_call_out *out, struct pb_err *err)
{
    if (flush(out, err)) return -1;
    if (!out->path) return 0;
    int rc = close(out->fd);
    out->fd = -1;
    if (!rc && out->temporary) rc = rename(out->temporary, out->path);
    if (rc) return pb_fail(err, PBAY_UNAVAILABLE, "cannot write %s: %s", out->path, strerror(errno));
    pb_free(out->temporary);
    out->temporary = NULL;
    return 0;
}

void pb_call_out_free(struct pb_call_out *out)
{
    if (out->path && out->fd >= 0) close(out->fd);
    if (out->temporary) unlink(out->temporary);
    pb_free(out->temporary);
    pb_builder_unref(out->answer);
    pb_buf_free(&out->text);
}
