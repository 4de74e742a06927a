/* SPDX-License-Identifier: MIT */
/* What the tests of this room share: states whose files are given as text. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "data/batch.h"
#include "script/vm.h"

/* Any path reads as the text in arg. */
static inline int read_text(void *arg, pbay_str path, struct pb_buf *out, struct pb_err *err)
{
    (void)path, (void)err;
    pb_buf_c(out, arg);
    return 0;
}

static inline struct pb_vm *vm_with_text(const char *text, const struct pb_vm_options *options)
{
    struct pb_vm_options o = {0};
    struct pb_err err;
    if (options) o = *options;
    o.read = read_text;
    o.read_arg = (void *)(uintptr_t)text;
    struct pb_vm *vm = pb_vm_new(&o, &err);
    if (!vm) fail_msg("%s", err.msg);
    return vm;
}

/* Text of a cell; NULL: null. */
static inline void assert_cell(const pbay_batch *b, uint32_t c, uint32_t row, const char *want)
{
    const pbay_column *col = pbay_batch_col(b, c);
    assert_int_equal(pbay_cell_null(col, row), want == NULL);
    if (!want) return;
    pbay_str s = pbay_cell_text(col, row);
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}
