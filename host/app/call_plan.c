/* SPDX-License-Identifier: MIT */
#include "app/call_plan.h"

#include "base/mem.h"

#define NOT_THERE UINT32_MAX

static void list(struct pb_buf *out, const pbay_str *names, size_t n)
{
    enum { MAX = 24 };
    for (size_t i = 0; i < n && i < MAX; i++) pb_buf_printf(out, "%s%.*s", i ? ", " : "", PB_FMT(names[i]));
    if (n > MAX) pb_buf_printf(out, " and %zu more", n - MAX);
}

/* The name among `names` that was probably meant; borrowed from the arena. */
static const char *nearest(struct pb_arena *a, pbay_str word, const pbay_str *names, size_t n)
{
    const char **c = pb_arena_alloc(a, n * sizeof *c);
    for (size_t i = 0; i < n; i++) c[i] = pb_arena_str(a, names[i]).p;
    return pb_nearest(word, c, n);
}

/* "what; did you mean X? There are: ..." */
static int no_such(struct pb_err *err, int32_t code, pbay_str word, const pbay_str *names, size_t n,
                   const char *what, const char *there)
{
    struct pb_arena a = {0};
    struct pb_buf b = {0};
    pb_buf_printf(&b, "%s \"%.*s\"", what, PB_FMT(word));
    const char *near = nearest(&a, word, names, n);
    if (near) pb_buf_printf(&b, "; did you mean \"%s\"?", near);
    pb_buf_printf(&b, "%s %s: ", near ? "" : ";", there);
    list(&b, names, n);
    pb_fail(err, code, "%.*s", PB_FMT(pb_buf_view(&b)));
    pb_buf_free(&b);
    pb_arena_free(&a);
    return -1;
}

const struct pb_sse_function *pb_call_find(const struct pb_sse_capabilities *c, const char *name,
                                           struct pb_err *err)
{
    const struct pb_sse_function *alike = NULL;
    pbay_str word = pb_str_c(name);
    uint32_t n_alike = 0;
    for (uint32_t i = 0; i < c->n_functions; i++) {
        if (pb_str_eq(c->functions[i].name, word)) return &c->functions[i];
        if (!pb_str_ieq(c->functions[i].name, word)) continue;
        alike = &c->functions[i];
        n_alike++;
    }
    if (n_alike == 1) return alike;
    if (!c->n_functions) {
        pb_fail(err, PBAY_NOT_FOUND, "no function \"%s\": the gateway has no functions", name);
        return NULL;
    }
    pbay_str *names = pb_array(c->n_functions, sizeof *names);
    for (uint32_t i = 0; i < c->n_functions; i++) names[i] = c->functions[i].name;
    no_such(err, PBAY_NOT_FOUND, word, names, c->n_functions, "no function", "the gateway has");
    pb_free(names);
    return NULL;
}

/* Exactly, else the only one that differs in case. */
static uint32_t find(const pbay_str *header, size_t n, pbay_str name)
{
    uint32_t alike = NOT_THERE;
    size_t n_alike = 0;
    for (size_t i = 0; i < n; i++) {
        if (pb_str_eq(header[i], name)) return (uint32_t)i;
        if (!pb_str_ieq(header[i], name)) continue;
        alike = (uint32_t)i;
        n_alike++;
    }
    return n_alike == 1 ? alike : NOT_THERE;
}

static int chosen(const struct pb_sse_function *fn, const pbay_str *header, size_t n_header,
                  const char *columns, const char *file, uint32_t *out, struct pb_err *err)
{
    pbay_str rest = pb_str_c(columns), name;
    uint32_t n = 0;
    for (; pb_str_split(&rest, ',', &name); n++) {
        name = pb_str_trim(name);
        uint32_t at = find(header, n_header, name);
        if (at == NOT_THERE) {
            struct pb_buf there = {0};
            pb_buf_printf(&there, "%s has%c", file, '\0');
            no_such(err, PBAY_INVALID_ARGUMENT, name, header, n_header, "--columns: no column", there.p);
            pb_buf_free(&there);
            return -1;
        }
        if (n < fn->n_params) out[n] = at;
    }
    if (n == fn->n_params) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "--columns names %u columns; %.*s takes %u", n,
                   PB_FMT(fn->name), fn->n_params);
}

int pb_call_columns(const struct pb_sse_function *fn, const pbay_str *header, size_t n_header,
                    const char *columns, const char *file, uint32_t *out, struct pb_err *err)
{
    if (columns) return chosen(fn, header, n_header, columns, file, out, err);
    uint32_t found = 0;
    for (uint32_t i = 0; i < fn->n_params; i++) {
        out[i] = find(header, n_header, fn->params[i].name);
        found += out[i] != NOT_THERE;
    }
    if (found == fn->n_params) return 0;
    if (n_header == fn->n_params && !found) {
        for (uint32_t i = 0; i < fn->n_params; i++) out[i] = i;
        return 0;
    }
    struct pb_buf b = {0};
    pb_buf_printf(&b, "%.*s takes ", PB_FMT(fn->name));
    for (uint32_t i = 0; i < fn->n_params; i++)
        pb_buf_printf(&b, "%s%.*s", i ? ", " : "", PB_FMT(fn->params[i].name));
    pb_buf_printf(&b, "; %s has ", file);
    list(&b, header, n_header);
    pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s: say which is which with --columns", PB_FMT(pb_buf_view(&b)));
    pb_buf_free(&b);
    return -1;
}
