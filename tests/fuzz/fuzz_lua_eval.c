/* SPDX-License-Identifier: MIT */
/* Any text as a script over two rows, in a small state with a budget in instructions. */
#include <stdint.h>
#include <stdlib.h>

#include "script/eval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pb_vm *vm;
    if (!vm)
        vm = pb_eval_vm(
            &(struct pb_vm_options){.memory_cap = 1 << 20, .instructions = 20000, .pattern_steps = 20000},
            NULL);
    if (!vm || size < 1) return 0;
    struct pb_script_field params[] = {{{"x", 1}, PBAY_NUM, false}, {{"s", 1}, PBAY_STR, false}};
    struct pb_eval_options o = {.source = {(const char *)data + 1, size - 1},
                                .params = params,
                                .n_params = 2,
                                .shape = data[0] & 1 ? PB_EVAL_ROWS : PB_EVAL_AGGREGATE,
                                .answer = 1 + (data[0] >> 1) % 4};
    struct pb_err err;
    struct pb_eval *e = pb_eval_new(vm, &o, &err);
    if (!e) return 0;
    struct pbay_builder *in = pb_builder_new(), *out = pb_builder_new();
    pb_builder_column(in, PB_STR("x"), PBAY_NUM);
    pb_builder_column(in, PB_STR("s"), PBAY_STR);
    pb_put_num(in, 0, 1.5);
    pb_put_null(in, 0);
    pb_put_text(in, 1, "text", 4);
    pb_put_text(in, 1, "", 0);
    struct pb_script_ctx ctx = {.user = PB_STR("me"), .now_ms = 1};
    if (pb_eval_push(e, &ctx, pb_builder_seal(in, NULL), out, &err) == 0 &&
        pb_eval_end(e, &ctx, out, &err) == 0) {
        const pbay_batch *b = pb_builder_seal(out, &err);
        if (!b || b->n_rows != (o.shape == PB_EVAL_ROWS ? 2 : 1)) abort();
    }
    pb_eval_free(e);
    pb_builder_unref(in);
    pb_builder_unref(out);
    return 0;
}
