/* SPDX-License-Identifier: MIT */
#include "endpoints/catalog.h"

#include "base/buf.h"

void pb_catalog_add(struct pb_catalog *c, const struct pb_function *fn)
{
    PB_GROW(c->functions, c->cap, c->n + 1);
    c->functions[c->n++] = fn;
    pb_map_set(&c->by_name, fn->name, (void *)(uintptr_t)fn);
}

const struct pb_function *pb_catalog_id(const struct pb_catalog *c, int32_t id)
{
    for (size_t i = 0; id >= 0 && i < c->n; i++)
        if (c->functions[i]->id == id) return c->functions[i];
    return NULL;
}

const struct pb_function *pb_catalog_name(const struct pb_catalog *c, pbay_str name)
{
    return pb_map_get(&c->by_name, name);
}

void pb_catalog_list(const struct pb_catalog *c, struct pb_buf *out)
{
    enum { SHOWN = 12 };
    for (size_t i = 0; i < c->n && i < SHOWN; i++) {
        pb_buf_printf(out, "%s%.*s", i ? ", " : "", PB_FMT(c->functions[i]->name));
        if (c->functions[i]->id >= 0)
            pb_buf_printf(out, " (%d)", c->functions[i]->id); /* without a store there is none */
    }
    if (c->n > SHOWN) pb_buf_printf(out, " and %zu more", c->n - SHOWN);
    if (!c->n) pb_buf_c(out, "none");
}

void pb_catalog_free(struct pb_catalog *c)
{
    pb_free(c->functions);
    pb_map_free(&c->by_name);
    *c = (struct pb_catalog){0};
}
