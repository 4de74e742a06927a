/* SPDX-License-Identifier: MIT */
/*
 * INI text in both dialects; the first byte picks one (even: ours). What is read must lie in the text and
 * be found.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "data/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct pb_ini_section *sec)
{
    const struct pb_ini *doc = sec->doc;
    for (size_t i = 0; i < sec->n; i++) {
        const struct pb_ini_entry *e = &sec->entries[i];
        PB_REQUIRE(e->value.p >= doc->text && e->value.p + e->value.n <= doc->text + doc->text_n);
        PB_REQUIRE(e->line >= 1 && e->col > e->key_col && e->key_col >= 1);
        PB_REQUIRE(pb_utf8_valid(e->key) && pb_utf8_valid(e->value));
        PB_REQUIRE(pb_map_get(&sec->by_key, e->key) == (void *)(uintptr_t)(i + 1));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    enum pb_ini_dialect dialect = data[0] & 1 ? PB_INI_PYTHON : PB_INI_OURS;
    struct pb_ini *doc;
    struct pb_err err = {0};
    if (pb_ini_parse("f", pb_str((const char *)data + 1, size - 1), dialect, &doc, &err) != 0) {
        PB_REQUIRE(err.code == PBAY_INVALID_ARGUMENT && err.msg[0] && pb_utf8_valid(pb_str_c(err.msg)));
        return 0;
    }
    for (size_t i = 0; i < doc->n; i++) check(doc->sections[i]);
    if (doc->defaults) check(doc->defaults);
    pb_ini_free(doc);
    return 0;
}
