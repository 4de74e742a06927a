/* SPDX-License-Identifier: MIT */
/* Signing against a vector that two other implementations agree on, and against botocore over random
 * requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "kit/crypto_table.h"
#include "kit/sigv4.h"

#define ID     "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

static const int64_t NOON = INT64_C(1795219200000); /* 2026-11-21T00:00:00Z */

static const pbay_header VECTOR_HEADERS[] = {
    {{"content-type", 12}, {"text/csv", 8}},
    {{"Accept", 6}, {"application/json", 16}},
    {{"X-Amzn-SageMaker-Custom-Attributes", 34}, {" a \t b ", 7}},
    {{"User-Agent", 10}, {"not signed", 10}},
};

static pbay_sigv4_request vector_request(void)
{
    pbay_sigv4_request r = {0};
    r.method = PB_STR("POST");
    r.host = PB_STR("runtime.sagemaker.us-east-1.amazonaws.com");
    r.path = PB_STR("/endpoints/movielens-model-v1/invocations");
    r.headers = VECTOR_HEADERS;
    r.n_headers = PB_COUNTOF(VECTOR_HEADERS);
    r.body = PB_STR("1,610\n10,313\n");
    return r;
}

static const pbay_aws_keys VECTOR_KEYS = {{ID, sizeof ID - 1}, {SECRET, sizeof SECRET - 1}, {"TOK", 3}};

static void test_vector(void **state)
{
    (void)state;
    pbay_sigv4 *s = pbay_sigv4_new(&CRYPTO);
    const char *why = NULL;
    for (int again = 0; again < 2; again++) { /* the second time with the kept key */
        pbay_sigv4_request r = vector_request();
        pbay_sigv4_signed out;
        assert_int_equal(
            pbay_sigv4_sign(s, &VECTOR_KEYS, PB_STR("us-east-1"), PB_STR("sagemaker"), NOON, &r, &out, &why),
            PBAY_OK);
        assert_true(
            pb_str_is(out.signature, "61e05669f56c3813f678a899f3f03e1de617b174bae2fb1f55ffb27c5437578f"));
        assert_int_equal(out.n_headers, 4);
        assert_true(pb_str_is(out.headers[0].value, "20261121T000000Z"));
        assert_true(pb_str_is(out.headers[1].value,
                              "b23983ca80bff7fcca9d00e0e32d1d0f38d4085498fc9366e5672329b174ddbe"));
        assert_true(pb_str_is(out.headers[2].value, "TOK"));
        assert_true(pb_str_is(
            out.headers[3].value,
            "AWS4-HMAC-SHA256 Credential=" ID "/20261121/us-east-1/sagemaker/aws4_request, "
            "SignedHeaders=accept;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;"
            "x-amzn-sagemaker-custom-attributes, "
            "Signature=61e05669f56c3813f678a899f3f03e1de617b174bae2fb1f55ffb27c5437578f"));
        assert_true(pb_str_ends(out.string_to_sign,
                                PB_STR("011fbe39fb0426330a3586478a64a318b1dd38af20ffcdc7aad8eae564058330")));
    }
    pbay_sigv4_free(s);
}

/* A header per signature header besides those that were signed, and Host: what a server receives. */
static uint32_t received(const pbay_sigv4_request *r, const pbay_sigv4_signed *out, pbay_header *h)
{
    static char names[32][64];
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_headers; i++) h[n++] = r->headers[i];
    for (uint32_t i = 0; i < out->n_headers; i++) h[n++] = out->headers[i];
    h[n++] = (pbay_header){PB_STR("host"), r->host};
    for (uint32_t i = 0; i < n; i++) {
        for (size_t k = 0; k < h[i].name.n; k++) {
            char c = h[i].name.p[k];
            names[i][k] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        h[i].name.p = names[i];
    }
    return n;
}

static void test_verify(void **state)
{
    (void)state;
    pbay_sigv4 *s = pbay_sigv4_new(&CRYPTO), *v = pbay_sigv4_new(&CRYPTO);
    const char *why = NULL;
    pbay_sigv4_request r = vector_request();
    pbay_sigv4_signed out;
    assert_int_equal(
        pbay_sigv4_sign(s, &VECTOR_KEYS, PB_STR("us-east-1"), PB_STR("sagemaker"), NOON, &r, &out, &why),
        PBAY_OK);
    pbay_header h[32];
    pbay_sigv4_request got = r;
    got.headers = h;
    got.n_headers = received(&r, &out, h);
    pbay_sigv4_claim claim;
    assert_int_equal(pbay_sigv4_parse(out.headers[3].value, &claim), PBAY_OK);
    assert_true(pb_str_is(claim.key_id, ID));
    const int64_t skew = 300000;
    pbay_str secret = PB_STR(SECRET);
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON + skew, skew, &got, NULL, &why), PBAY_OK);
    /* Each of these alone must be noticed. */
    assert_int_equal(pbay_sigv4_verify(v, &claim, PB_STR("wrong"), NOON, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    assert_non_null(strstr(why, "does not match"));
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON + skew + 1, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    assert_non_null(strstr(why, "clock"));
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON - skew - 1, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    got.body = PB_STR("1,611\n10,313\n");
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    assert_non_null(strstr(why, "body"));
    got.body = r.body;
    got.path = PB_STR("/endpoints/other/invocations");
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    got.path = r.path;
    pbay_str region = claim.region;
    claim.region = PB_STR("us-east-2");
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    claim.region = region;
    claim.signed_headers = PB_STR("accept;x-amz-date");
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    claim.signed_headers = PB_STR("host;x-amz-date;nope");
    assert_int_equal(pbay_sigv4_verify(v, &claim, secret, NOON, skew, &got, NULL, &why),
                     PBAY_UNAUTHENTICATED);
    assert_non_null(strstr(why, "missing"));
    pbay_sigv4_free(s);
    pbay_sigv4_free(v);
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "Bearer x",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=a/20261121/r/s/aws4_request",
        "AWS4-HMAC-SHA256 Credential=a/2026/r/s/aws4_request, SignedHeaders=host, Signature="
        "61e05669f56c3813f678a899f3f03e1de617b174bae2fb1f55ffb27c5437578f",
        "AWS4-HMAC-SHA256 Credential=a/20261121/r/s/aws4_request, SignedHeaders=host, Signature=61e05669",
    };
    pbay_sigv4_claim claim;
    for (size_t i = 0; i < PB_COUNTOF(BAD); i++)
        assert_int_equal(pbay_sigv4_parse(pb_str_c(BAD[i]), &claim), PBAY_UNAUTHENTICATED);
}

/* ------------------------------------------------------------------------------------------------ botocore
 */

static pbay_str field(FILE *f)
{
    size_t n = 0;
    if (fscanf(f, "%zu", &n) != 1 || fgetc(f) != '\n') fail_msg("the peer's output ends early");
    char *p = pb_alloc(n + 1);
    assert_int_equal(fread(p, 1, n, f), n);
    p[n] = 0;
    return pb_str(p, n);
}

static void test_botocore(void **state)
{
    (void)state;
    enum { N = 3000, MAX = 64 };
    const char *given = getenv("PB_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)(pb_mono_ns() / 1000);
    print_message("PB_SEED=%u\n", seed);
    char cmd[512];
    snprintf(cmd, sizeof cmd, "/usr/bin/python3 -W ignore %s/peers/sigv4_cases.py %u %d", PB_TESTS_DIR, seed,
             (int)N);
    FILE *f = popen(cmd, "r");
    assert_non_null(f);
    pbay_sigv4 *s = pbay_sigv4_new(&CRYPTO), *v = pbay_sigv4_new(&CRYPTO);
    for (int i = 0; i < N; i++) {
        pbay_str all[12 + 2 * MAX + 4];
        size_t n = 0;
        while (n < 12) all[n++] = field(f);
        uint32_t n_headers = (uint32_t)atoi(all[11].p);
        assert_true(n_headers <= MAX);
        pbay_header h[MAX];
        for (uint32_t k = 0; k < n_headers; k++) {
            h[k].name = all[n++] = field(f);
            h[k].value = all[n++] = field(f);
        }
        size_t rest = n;
        while (n < rest + 4) all[n++] = field(f);
        pbay_sigv4_request r = {all[0],   all[1], all[2], all[3], h, n_headers, (uint32_t)atoi(all[10].p),
                                all[rest]};
        pbay_aws_keys keys = {all[4], all[5], all[6]};
        pbay_sigv4_signed out;
        const char *why = NULL;
        assert_int_equal(
            pbay_sigv4_sign(s, &keys, all[7], all[8], strtoll(all[9].p, NULL, 10), &r, &out, &why), PBAY_OK);
        if (!pb_str_eq(out.canonical_request, all[rest + 1]) || !pb_str_eq(out.signature, all[rest + 2]))
            fail_msg("case %d of PB_SEED=%u: ours\n%.*s\nbotocore's\n%s", i, seed,
                     PB_FMT(out.canonical_request), all[rest + 1].p);
        assert_true(pb_str_eq(out.headers[out.n_headers - 1].value, all[rest + 3]));

        pbay_header got_h[MAX];
        pbay_sigv4_request got = r;
        got.headers = got_h;
        got.n_headers = received(&r, &out, got_h);
        pbay_sigv4_claim claim;
        assert_int_equal(pbay_sigv4_parse(all[rest + 3], &claim), PBAY_OK);
        int32_t rc =
            pbay_sigv4_verify(v, &claim, keys.secret, strtoll(all[9].p, NULL, 10), 1000, &got, NULL, &why);
        if (rc != PBAY_OK) fail_msg("case %d of PB_SEED=%u: %s", i, seed, why);
        for (size_t k = 0; k < n; k++) pb_free((void *)(uintptr_t)all[k].p);
    }
    assert_int_equal(pclose(f), 0);
    pbay_sigv4_free(s);
    pbay_sigv4_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_botocore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
