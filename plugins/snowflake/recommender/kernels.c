/* SPDX-License-Identifier: MIT */
#include "kernels.h"

#include <string.h>

#include "base/attr.h"

extern const struct rec_kernels rec_kernels_avx512, rec_kernels_avx2, rec_kernels_generic;

static bool runs_here(const struct rec_kernels *k)
{
#ifdef __x86_64__
    if (k == &rec_kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("fma");
    if (k == &rec_kernels_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return k == &rec_kernels_generic;
}

/* The widest first. */
static const struct rec_kernels *const all[] = {
#ifdef __x86_64__
    &rec_kernels_avx512,
    &rec_kernels_avx2,
#endif
    &rec_kernels_generic,
};

const struct rec_kernels *rec_kernels(void)
{
    for (size_t i = 0; i + 1 < PB_COUNTOF(all); i++)
        if (runs_here(all[i])) return all[i];
    return &rec_kernels_generic;
}

const struct rec_kernels *rec_kernels_named(const char *name)
{
    for (size_t i = 0; i < PB_COUNTOF(all); i++)
        if (!strcmp(all[i]->name, name) && runs_here(all[i])) return all[i];
    return NULL;
}
