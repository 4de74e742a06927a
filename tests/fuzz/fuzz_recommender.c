/* SPDX-License-Identifier: MIT */
/* First byte: which of the recommender's readers gets the rest: ratings, pairs, hyperparameters, a model's
 * file. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "fit.h"
#include "hyper.h"
#include "serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load_model(pbay_str text)
{
    char path[64];
    struct rec_model m;
    struct pb_err err;
    int fd = memfd_create("model", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (rec_model_load(&m, path, &err) == 0) {
        float v = rec_estimate(&m, m.users.n ? 0 : REC_NO_ID, m.items.n ? 0 : REC_NO_ID);
        if (v < m.min || v > m.max) abort();
        rec_model_free(&m);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 20) return 0;
    pbay_str text = {(const char *)data + 1, size - 1};
    struct pb_err err;
    switch (data[0] % 4) {
    case 0: {
        struct rec_ratings r = {.min = 1, .max = 5};
        if (!rec_ratings_parse_csv(&r, "ratings", text, &err) && !rec_ratings_group(&r, &err) &&
            r.first[r.users.n] != r.n)
            abort();
        rec_ratings_free(&r);
        break;
    }
    case 1: {
        struct rec_model m;
        struct pb_buf out = {0};
        rec_model_init(&m, 1, 1, 1);
        rec_ids_add(&m.users, 1);
        rec_ids_add(&m.items, 1);
        m.min = 1;
        m.max = 5;
        rec_answer(&m, text, &out, &err);
        pb_buf_free(&out);
        rec_model_free(&m);
        break;
    }
    case 2: {
        struct rec_hyper h;
        if (rec_hyper_parse(&h, text, &err) == 0) rec_hyper_free(&h);
        break;
    }
    default: load_model(text);
    }
    return 0;
}
