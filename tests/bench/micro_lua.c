/* SPDX-License-Identifier: MIT */
/* What a row through Lua costs, results in columns included. Run on a quiet machine: micro_lua [rows [after]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "script/function.h"
#include "script/transform.h"

static int read_text(void *arg, pbay_str path, struct pb_buf *out, struct pb_err *err)
{
    (void)path, (void)err;
    pb_buf_c(out, arg);
    return 0;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum { BATCH = 1000, ROUNDS = 25 };

static struct pbay_builder *input(int text)
{
    struct pbay_builder *b = pb_builder_new();
    for (int c = 0; c < 2; c++) pb_builder_column(b, PB_STR("c"), text ? PBAY_STR : PBAY_NUM);
    for (uint32_t i = 0; i < BATCH; i++)
        for (uint32_t c = 0; c < 2; c++) {
            char s[32];
            if (text)
                pb_put_text(b, c, s, (size_t)snprintf(s, sizeof s, "customer %u", i * 7919 % 100003));
            else
                pb_put_num(b, c, i * 0.5);
        }
    return b;
}

static void measure(const char *name, const char *text, int texts, uint32_t answer, long rows)
{
    struct pb_err err;
    struct pb_vm *vm =
        pb_vm_new(&(struct pb_vm_options){.read = read_text, .read_arg = (void *)(uintptr_t)text}, &err);
    struct pb_script_field params[2] = {{.kind = texts ? PBAY_STR : PBAY_NUM},
                                        {.kind = texts ? PBAY_STR : PBAY_NUM}};
    struct pb_script_field returns = {.kind = answer};
    struct pb_fn *f =
        vm ? pb_fn_new(
                 vm,
                 &(struct pb_fn_options){
                     .path = "f.lua", .params = params, .n_params = 2, .returns = &returns, .n_returns = 1},
                 &err)
           : NULL;
    if (!f) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    struct pbay_builder *in = input(texts), *out = pb_builder_new();
    const pbay_batch *batch = pb_builder_seal(in, &err);
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double from = seconds();
        for (long i = 0; i < rows; i += BATCH) {
            pb_builder_reset(out);
            if (pb_fn_map(f, NULL, batch, 0, out, &err) != 0) {
                fprintf(stderr, "%s\n", err.msg);
                exit(1);
            }
        }
        double took = seconds() - from;
        if (took < best) best = took;
    }
    printf("%-40s %6.1f ns a row\n", name, best * 1e9 / (double)rows);
    pb_builder_unref(in);
    pb_builder_unref(out);
    pb_fn_free(f);
    pb_vm_free(vm);
}

/* The usual transform: every row different, one answer, one parameter, one result. */
static void measure_after(const char *name, const char *text, long rows)
{
    struct pb_err err;
    struct pb_vm *vm =
        pb_vm_new(&(struct pb_vm_options){.read = read_text, .read_arg = (void *)(uintptr_t)text}, &err);
    struct pb_script_field field = {.kind = PBAY_STR};
    struct pb_transform *t =
        vm ? pb_transform_new(
                 vm,
                 &(struct pb_transform_options){
                     .path = "t.lua", .params = &field, .n_params = 1, .returns = &field, .n_returns = 1},
                 &err)
           : NULL;
    if (!t) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    uint32_t kept[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) kept[i] = i;
    struct pb_sent sent = {.kept = kept, .n_kept = BATCH};
    struct pbay_builder *in = pb_builder_new(), *out = pb_builder_new();
    pb_builder_column(in, PB_STR("c"), PBAY_STR);
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double from = seconds();
        for (long i = 0; i < rows; i += BATCH) {
            pb_builder_clear_rows(in);
            pb_builder_reset(out);
            char s[16] = "id-00000000";
            for (uint32_t k = 0; k < BATCH; k++) {
                uint32_t v = (uint32_t)i + k;
                for (int d = 10; d > 2; d--, v /= 10) s[d] = (char)('0' + v % 10);
                pb_put_text(in, 0, s, 11);
            }
            const pbay_batch *batch = pb_builder_seal(in, &err);
            if (pb_transform_after(t, NULL, batch, batch, &sent, 0, out, &err) != 0) {
                fprintf(stderr, "%s\n", err.msg);
                exit(1);
            }
        }
        double took = seconds() - from;
        if (took < best) best = took;
    }
    printf("%-40s %6.1f ns a row\n", name, best * 1e9 / (double)rows);
    pb_builder_unref(in);
    pb_builder_unref(out);
    pb_transform_free(t);
    pb_vm_free(vm);
}

int main(int argc, char **argv)
{
    long rows = argc > 1 ? atol(argv[1]) : 1000000;
    measure_after("after: a new string", "return {after = function(a) return a .. '!' end}", rows);
    if (argc > 2) return 0;
    measure("two numbers, their sum", "return function(a, b) return a + b end", 0, PBAY_NUM, rows);
    measure("a new string", "return function(a) return a .. '!' end", 1, PBAY_STR, rows);
    measure("two strings joined and upper-cased", "return function(a, b) return (a .. b):upper() end", 1,
            PBAY_STR, rows);
    measure("a pattern", "return function(a) return a:match('%d+') end", 1, PBAY_STR, rows);
    return 0;
}
