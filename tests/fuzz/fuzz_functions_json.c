/* SPDX-License-Identifier: MIT */
/* functions.json; the first byte picks the order of parameters (even: sorted). */
#include <stdint.h>

#include "base/check.h"
#include "data/functions_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct pb_qrag_functions *f, size_t i, int sorted)
{
    const struct pb_qrag_function *a = &f->functions[i];
    PB_REQUIRE(a->id >= 0 && a->type <= 2 && a->return_type <= 2 && a->name.n && a->qrap_type.n);
    for (size_t k = 0; k < a->n_params; k++) {
        PB_REQUIRE(a->params[k].type <= 2 && pb_utf8_valid(a->params[k].name));
        PB_REQUIRE(!sorted || !k || pb_str_cmp(a->params[k - 1].name, a->params[k].name) < 0);
    }
    if (!i) return;
    const struct pb_qrag_function *b = &f->functions[i - 1];
    PB_REQUIRE(a->id != b->id && !pb_str_eq(a->name, b->name));
    PB_REQUIRE(!a->line || a->line >= b->line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    int sorted = !(data[0] & 1);
    struct pb_qrag_functions *f;
    struct pb_err err = {0};
    if (pb_qrag_functions_parse("f", pb_str((const char *)data + 1, size - 1),
                                sorted ? PB_QRAG_PARAMS_SORTED : PB_QRAG_PARAMS_FILE, &f, &err) != 0) {
        PB_REQUIRE(err.code == PBAY_INVALID_ARGUMENT && err.msg[0] && pb_utf8_valid(pb_str_c(err.msg)));
        return 0;
    }
    for (size_t i = 0; i < f->n; i++) check(f, i, sorted);
    pb_qrag_functions_free(f);
    return 0;
}
