/* SPDX-License-Identifier: MIT */
/* The recommender below its commands: ratings, kernels, folds, the best items, files. What it learns is
 * compared with another program in scenarios/recommender.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "fit.h"
#include "hyper.h"
#include "model.h"
#include "rng.h"
#include "serve.h"
#include "topn.h"

static struct rec_ratings scale(void)
{
    return (struct rec_ratings){.min = 1, .max = 5};
}

/* ------------------------------------------------------------------------------------------------ ratings */

static void reads_csv(void **state)
{
    static const char *const texts[] = {
        "USERID,MOVIEID,RATING\n7,30,4.5\n7,31,1\n9,30,5\n",
        "7,30,4.5\r\n7,31,1\r\n9,30,5",
        "\xef\xbb\xbf\"user_id\",when,rating,\"item_id\"\n7,x,4.5,30\n\n7,,1,31\n9.0,,5,30\n",
    };
    (void)state;
    for (size_t i = 0; i < PB_COUNTOF(texts); i++) {
        struct rec_ratings r = scale();
        struct pb_err err;
        assert_int_equal(rec_ratings_parse_csv(&r, "r.csv", pb_str_c(texts[i]), &err), 0);
        assert_int_equal(rec_ratings_group(&r, &err), 0);
        assert_int_equal(r.n, 3);
        assert_int_equal(r.users.n, 2);
        assert_int_equal(r.items.n, 2);
        assert_int_equal(r.users.of[1], 9);
        assert_int_equal(r.first[1], 2);
        assert_float_equal(r.list[2].value, 5, 0);
        assert_int_equal(rec_ids_find(&r.items, 31), 1);
        assert_int_equal(rec_ids_find(&r.items, 32), REC_NO_ID);
        rec_ratings_free(&r);
    }
}

static void refuses_what_is_no_rating(void **state)
{
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"1,2,6\n", "r.csv:1: the rating 6 lies outside the scale of 1 to 5"},
        {"1,2,3\n1,3,nan\n", "r.csv:2: the rating nan lies outside"},
        {"user,item,rating\nmary,2,3\n", "r.csv:2: the user is \"mary\"; expected a whole number"},
        {"1,2.5,3\n", "r.csv:1: the item is \"2.5\""},
        {"1,2,three\n", "r.csv:1: the rating is \"three\"; expected a number"},
        {"1,2\n", "r.csv:1: 2 columns; the rating is missing"},
        {"user,rating\n1,2\n", "r.csv:1: no column for the item"},
    };
    (void)state;
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) {
        struct rec_ratings r = scale();
        struct pb_err err;
        assert_int_equal(rec_ratings_parse_csv(&r, "r.csv", pb_str_c(bad[i].text), &err), -1);
        if (!strstr(err.msg, bad[i].said)) fail_msg("%s: %s", bad[i].text, err.msg);
        rec_ratings_free(&r);
    }
    struct rec_ratings r = scale();
    struct pb_err err;
    assert_int_equal(rec_ratings_group(&r, &err), -1);
    assert_non_null(strstr(err.msg, "no ratings"));
    assert_int_equal(rec_ratings_parse_csv(&r, "r.csv", PB_STR("5,2,3\n6,2,1\n5,2,4\n"), &err), 0);
    assert_int_equal(rec_ratings_group(&r, &err), -1);
    assert_non_null(strstr(err.msg, "user 5 rated item 2 twice"));
    rec_ratings_free(&r);
}

/* ------------------------------------------------------------------------------------------------ numbers */

static struct rec_ratings some_ratings(uint32_t users, uint32_t items, uint32_t each, uint64_t seed)
{
    struct rec_ratings r = scale();
    struct rec_rng g = {seed};
    struct pb_err err;
    for (uint32_t u = 0; u < users; u++)
        for (uint32_t k = 0; k < each; k++) {
            uint32_t i = (uint32_t)((k * items + rec_rng_below(&g, items)) / each % items);
            double v = 3 + 0.7 * sin(u * 0.7) + 0.9 * cos(i * 1.3 + u % 7);
            rec_ratings_add(&r, 1000 + u, 5000 + i, v < 1 ? 1 : v > 5 ? 5 : v, "here", &err);
        }
    assert_int_equal(rec_ratings_group(&r, &err), 0);
    return r;
}

static void folds_are_a_partition(void **state)
{
    (void)state;
    size_t sizes[5] = {0};
    uint8_t *fold = rec_folds(1003, 5, 9), *same = rec_folds(1003, 5, 9), *other = rec_folds(1003, 5, 10);
    for (size_t i = 0; i < 1003; i++) sizes[fold[i]]++;
    for (size_t f = 0; f < 5; f++) assert_int_equal(sizes[f], f < 3 ? 201 : 200);
    assert_memory_equal(fold, same, 1003);
    assert_int_not_equal(memcmp(fold, other, 1003), 0);
    pb_free(fold);
    pb_free(same);
    pb_free(other);
}

/* Every width learns the same, but for the last bits. */
static void kernels_agree(void **state)
{
    static const char *const names[] = {"generic", "avx2", "avx512"};
    enum { STRIDE = 48, ITEMS = 7 };
    (void)state;
    float *p[PB_COUNTOF(names)], *q[PB_COUNTOF(names)];
    const struct rec_rates rates = rec_params_default.rates;
    static const struct rec_rating ratings[] = {{3, 4}, {0, 1}, {6, 5}, {3, 2.5f}, {1, 3}};
    static const uint8_t fold[] = {0, 1, 0, 1, 2};
    int compared = 0;
    for (size_t k = 0; k < PB_COUNTOF(names); k++) {
        const struct rec_kernels *kernels = rec_kernels_named(names[k]);
        struct rec_rng g = {4};
        p[k] = q[k] = NULL;
        if (!kernels) continue;
        p[k] = aligned_alloc(64, STRIDE * sizeof(float));
        q[k] = aligned_alloc(64, ITEMS * STRIDE * sizeof(float));
        float bu = 0.1f, bi[ITEMS] = {0};
        for (size_t i = 0; i < STRIDE; i++) p[k][i] = (float)rec_rng_unit(&g);
        for (size_t i = 0; i < ITEMS * STRIDE; i++) q[k][i] = (float)rec_rng_unit(&g) - 0.5f;
        kernels->fit_user(ratings, fold, 1, 5, 3, &bu, p[k], bi, q[k], STRIDE, &rates);
        assert_float_equal(bi[0], 0, 0); /* its fold was left out */
        assert_true(bi[6] != 0);
        float *tile = rec_floats(STRIDE * REC_TILE), *bias = rec_floats(REC_TILE);
        float *scores = rec_floats(REC_LANES * REC_TILE);
        const float *lanes[REC_LANES] = {p[k], q[k], p[k], q[k] + STRIDE};
        for (uint32_t i = 0; i < ITEMS; i++) {
            bias[i] = bi[i];
            for (uint32_t f = 0; f < STRIDE; f++) tile[f * REC_TILE + i] = q[k][i * STRIDE + f];
        }
        kernels->score(lanes, tile, bias, STRIDE, scores);
        for (uint32_t l = 0; l < REC_LANES; l++)
            for (uint32_t i = 0; i < ITEMS; i++)
                assert_float_equal(scores[l * REC_TILE + i],
                                   bi[i] + kernels->dot(lanes[l], q[k] + i * STRIDE, STRIDE), 1e-3);
        free(tile);
        free(bias);
        free(scores);
        if (k)
            for (size_t i = 0; i < ITEMS * STRIDE; i++) assert_float_equal(q[k][i], q[0][i], 1e-5);
        compared++;
    }
    assert_true(compared >= 1);
    for (size_t k = 0; k < PB_COUNTOF(names); k++) {
        free(p[k]);
        free(q[k]);
    }
}

static void above_finds_the_first(void **state)
{
    (void)state;
    float scores[100] = {0};
    const struct rec_kernels *k = rec_kernels();
    assert_int_equal(k->above(scores, 0, 100, 0), 100);
    scores[37] = 1;
    scores[99] = 2;
    assert_int_equal(k->above(scores, 0, 100, 0), 37);
    assert_int_equal(k->above(scores, 37, 100, 0), 37);
    assert_int_equal(k->above(scores, 38, 100, 0), 99);
    assert_int_equal(k->above(scores, 38, 99, 0), 99);
}

/* ------------------------------------------------------------------------------------------------ the best
 */

struct found {
    const struct rec_model *m;
    const struct rec_ratings *r;
    uint32_t users, top_n;
};

static int rated(const struct rec_ratings *r, uint32_t u, uint32_t item)
{
    for (uint64_t i = r->first[u]; i < r->first[u + 1]; i++)
        if (r->list[i].item == item) return 1;
    return 0;
}

/* Against the obvious way: nobody outside the list may be better than its last. */
static void check_best(void *user, uint32_t who, const uint32_t *items, uint32_t n)
{
    struct found *f = user;
    uint32_t free_items = 0, better = 0;
    assert_int_equal(who, f->users);
    f->users++;
    float worst = n ? rec_estimate_raw(f->m, who, items[n - 1]) : 0;
    for (uint32_t k = 0; k < n; k++) {
        assert_false(rated(f->r, who, items[k]));
        if (k)
            assert_true(rec_estimate_raw(f->m, who, items[k - 1]) + 1e-5f >=
                        rec_estimate_raw(f->m, who, items[k]));
    }
    for (uint32_t i = 0; i < f->m->items.n; i++) {
        if (rated(f->r, who, i)) continue;
        free_items++;
        better += rec_estimate_raw(f->m, who, i) > worst + 1e-5f;
    }
    assert_int_equal(n, free_items < f->top_n ? free_items : f->top_n);
    assert_true(better <= (n ? n - 1 : 0));
}

static void the_best_are_the_best(void **state)
{
    static const uint32_t tops[] = {1, 10, 400};
    (void)state;
    struct rec_ratings r = some_ratings(131, 700, 20, 3);
    struct rec_params params = rec_params_default;
    struct rec_model m;
    params.n_factors = 20;
    rec_fit(&m, &r, &params, NULL, NULL, 0);
    m.users = r.users;
    m.items = r.items;
    for (size_t i = 0; i < PB_COUNTOF(tops); i++) {
        struct found f = {&m, &r, 0, tops[i]};
        rec_top(&m, &r, tops[i], check_best, &f);
        assert_int_equal(f.users, 131);
    }
    m.users = m.items = (struct rec_ids){0};
    rec_model_free(&m);
    rec_ratings_free(&r);
}

/* ------------------------------------------------------------------------------------------------ files */

static void a_model_comes_back_or_is_refused(void **state)
{
    (void)state;
    struct rec_ratings r = some_ratings(30, 40, 10, 3);
    struct rec_params params = rec_params_default;
    struct rec_model m, back;
    struct pb_err err;
    char path[] = "/tmp/recommender-model-XXXXXX";
    int fd = mkstemp(path);
    params.n_factors = 5;
    rec_fit(&m, &r, &params, NULL, NULL, 0);
    m.users = r.users;
    m.items = r.items;
    assert_int_equal(rec_model_save(&m, path, &err), 0);
    assert_int_equal(rec_model_load(&back, path, &err), 0);
    for (uint32_t u = 0; u < m.users.n; u++)
        assert_float_equal(rec_estimate(&m, u, u % m.items.n), rec_estimate(&back, u, u % m.items.n), 0);
    assert_float_equal(rec_estimate(&back, REC_NO_ID, REC_NO_ID), m.mean, 1e-6);
    rec_model_free(&back);

    FILE *f = fopen(path, "re");
    static char bytes[1 << 16];
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    /* Cut off anywhere, or with any byte changed, it is refused. */
    for (size_t cut = 0; cut < n; cut += 1 + cut / 7) {
        f = fopen(path, "we");
        fwrite(bytes, 1, cut, f);
        fclose(f);
        assert_int_equal(rec_model_load(&back, path, &err), -1);
        assert_non_null(strstr(err.msg, path));
    }
    for (size_t at = 0; at < n; at += 1 + at / 9) {
        bytes[at] = (char)(bytes[at] ^ 0x10);
        f = fopen(path, "we");
        fwrite(bytes, 1, n, f);
        fclose(f);
        assert_int_equal(rec_model_load(&back, path, &err), -1);
        bytes[at] = (char)(bytes[at] ^ 0x10);
    }
    close(fd);
    unlink(path);
    m.users = m.items = (struct rec_ids){0};
    rec_model_free(&m);
    rec_ratings_free(&r);
}

/* ------------------------------------------------------------------------------------------------ answers */

static void answers_pairs(void **state)
{
    (void)state;
    struct rec_model m;
    struct pb_buf out = {0};
    struct pb_err err;
    rec_model_init(&m, 1, 1, 4);
    rec_ids_add(&m.users, 1);
    rec_ids_add(&m.items, 308);
    m.mean = 3.5f;
    m.min = 1;
    m.max = 5;
    m.bu[0] = 0.25f;
    m.bi[0] = -0.5f;
    assert_int_equal(rec_answer(&m, PB_STR("1,308\n1,9\r\n 8 , 308 \n8,9\n\n"), &out, &err), 0);
    assert_int_equal(out.n, 36);
    assert_memory_equal(out.p, "3.250000\n3.750000\n3.000000\n3.500000\n", 36);
    m.mean = 40;
    pb_buf_reset(&out, 0);
    assert_int_equal(rec_answer(&m, PB_STR("1,308"), &out, &err), 0);
    assert_memory_equal(out.p, "5.000000\n", 9);
    static const struct {
        const char *body, *said;
    } bad[] = {{"1,2\nx,3\n", "line 2, \"x,3\": the user is not"},
               {"1\n", "line 1, \"1\": one value"},
               {"1,2,3\n", "more than two"},
               {"1,2\n\n3,4\n", "line 2"},
               {"1,b\n", "the item is not"}};
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) {
        assert_int_equal(rec_answer(&m, pb_str_c(bad[i].body), &out, &err), -1);
        if (!strstr(err.msg, bad[i].said)) fail_msg("%s: %s", bad[i].body, err.msg);
    }
    pb_buf_free(&out);
    rec_model_free(&m);
}

static void hyperparameters(void **state)
{
    (void)state;
    struct rec_hyper h;
    struct pb_err err;
    assert_int_equal(rec_hyper_parse(&h, PB_STR(""), &err), 0);
    assert_int_equal(h.params.n_factors, 100);
    rec_hyper_free(&h);
    assert_int_equal(
        rec_hyper_parse(&h,
                        PB_STR("{\"lr_bu\":\"0.01\",\"lr_all\":\"0.002\",\"n_factors\":\"20\",\"seed\":7,"
                               "\"input_table_name\":\"A.B.C\",\"sagemaker_region\":\"x\"}"),
                        &err),
        0);
    assert_float_equal(h.params.rates.lr_bu, 0.01, 1e-7);
    assert_float_equal(h.params.rates.lr_qi, 0.002, 1e-7);
    assert_int_equal(h.params.n_factors, 20);
    assert_int_equal(h.params.seed, 7);
    assert_string_equal(h.input_table, "A.B.C");
    rec_hyper_free(&h);
    static const struct {
        const char *text, *said;
    } bad[] = {{"{\"n_factor\":\"20\"}", "did you mean \"n_factors\""},
               {"{\"n_factors\":\"0\"}", "hyperparameter n_factors is \"0\"; expected a whole number from 1"},
               {"{\"n_epochs\":\"2.5\"}", "whole number"},
               {"{\"folds\":\"1\"}", "folds is 1"},
               {"{\"lr_all\":\"fast\"}", "\"fast\""},
               {"{\"rating_min\":\"5\"}", "rating_min is 5 and rating_max 5"},
               {"{\"output_mode\":\"merge\"}", "replace or append"},
               {"[]", "hyperparameters.json"}};
    for (size_t i = 0; i < PB_COUNTOF(bad); i++) {
        assert_int_equal(rec_hyper_parse(&h, pb_str_c(bad[i].text), &err), -1);
        if (!strstr(err.msg, bad[i].said)) fail_msg("%s: %s", bad[i].text, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_csv),
        cmocka_unit_test(refuses_what_is_no_rating),
        cmocka_unit_test(folds_are_a_partition),
        cmocka_unit_test(kernels_agree),
        cmocka_unit_test(above_finds_the_first),
        cmocka_unit_test(the_best_are_the_best),
        cmocka_unit_test(a_model_comes_back_or_is_refused),
        cmocka_unit_test(answers_pairs),
        cmocka_unit_test(hyperparameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
