/* SPDX-License-Identifier: MIT */
/* Error codes, what they mean, percent-encoding, and when to try again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/str.h"
#include "kit/aws_error.h"
#include "kit/percent.h"
#include "kit/retry.h"

static const pbay_str NONE = {NULL, 0};

static void test_code(void **state)
{
    (void)state;
    pbay_str uri = PB_STR("com.amazon.coral.service#UnrecognizedClientException");
    assert_true(
        pb_str_is(pbay_aws_error_code(PB_STR("ValidationError:http://internal.amazon.com/coral/"), uri, NONE),
                  "ValidationError"));
    assert_true(pb_str_is(pbay_aws_error_code(NONE, uri, PB_STR("x")), "UnrecognizedClientException"));
    assert_true(pb_str_is(pbay_aws_error_code(NONE, NONE, PB_STR("ModelError")), "ModelError"));
    assert_int_equal(pbay_aws_error_code(NONE, NONE, NONE).n, 0);
    assert_int_equal(pbay_aws_error_code(PB_STR("#"), NONE, NONE).n, 0);
}

static void test_class(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int32_t status;
        uint32_t klass;
        int32_t result;
        uint32_t effect, advice;
    } V[] = {
        {"ThrottlingException", 400, PBAY_AWS_THROTTLED, PBAY_RESOURCE_EXHAUSTED, PBAY_EFFECT_NONE,
         PBAY_ADVICE_SLOW},
        {"", 429, PBAY_AWS_THROTTLED, PBAY_RESOURCE_EXHAUSTED, PBAY_EFFECT_NONE, PBAY_ADVICE_SLOW},
        {"ModelNotReadyException", 429, PBAY_AWS_THROTTLED, PBAY_RESOURCE_EXHAUSTED, PBAY_EFFECT_NONE,
         PBAY_ADVICE_SLOW},
        {"ValidationError", 400, PBAY_AWS_CALLER, PBAY_INVALID_ARGUMENT, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE},
        {"InternalFailure", 500, PBAY_AWS_TRANSIENT, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, PBAY_ADVICE_RETRY},
        {"", 503, PBAY_AWS_TRANSIENT, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, PBAY_ADVICE_RETRY},
        {"InternalDependencyException", 530, PBAY_AWS_TRANSIENT, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE,
         PBAY_ADVICE_RETRY},
        {"AccessDeniedException", 403, PBAY_AWS_AUTH, PBAY_PERMISSION_DENIED, PBAY_EFFECT_NONE,
         PBAY_ADVICE_NONE},
        {"ExpiredTokenException", 400, PBAY_AWS_AUTH, PBAY_PERMISSION_DENIED, PBAY_EFFECT_NONE,
         PBAY_ADVICE_NONE},
        {"RequestTimeTooSkewed", 403, PBAY_AWS_CLOCK, PBAY_UNAUTHENTICATED, PBAY_EFFECT_NONE,
         PBAY_ADVICE_NONE},
        {"", 413, PBAY_AWS_TOO_LARGE, PBAY_RESOURCE_EXHAUSTED, PBAY_EFFECT_NONE, PBAY_ADVICE_SPLIT},
        {"", 404, PBAY_AWS_CALLER, PBAY_NOT_FOUND, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE},
        {"ModelError", 424, PBAY_AWS_CALLER, PBAY_INVALID_ARGUMENT, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE},
    };
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        pbay_result r = PBAY_RESULT_OK;
        pbay_aws_error_result(pb_str_c(V[i].code), V[i].status, &r);
        assert_int_equal(pbay_aws_error_class(pb_str_c(V[i].code), V[i].status), V[i].klass);
        assert_int_equal(r.code, V[i].result);
        assert_int_equal(r.effect, V[i].effect);
        assert_int_equal(r.advice, V[i].advice);
        assert_int_equal(r.vendor_status, V[i].status);
    }
}

static void test_percent(void **state)
{
    (void)state;
    char out[64];
    pbay_str in = PB_STR("a b/c?d%\xc3\xa9~-._");
    size_t n = pbay_percent_encode(in, out);
    assert_true(pb_str_is(pb_str(out, n), "a%20b%2Fc%3Fd%25%C3%A9~-._"));
    assert_int_equal(pbay_percent_decode(pb_str(out, n), out), (ptrdiff_t)in.n);
    assert_memory_equal(out, in.p, in.n);
    n = pbay_percent_encode_path(PB_STR("/a b/c"), out);
    assert_true(pb_str_is(pb_str(out, n), "/a%20b/c"));
    assert_int_equal(pbay_percent_decode(PB_STR("%4"), out), -1);
    assert_int_equal(pbay_percent_decode(PB_STR("%4g"), out), -1);
    assert_int_equal(pbay_percent_decode(PB_STR("a%2fb"), out), 3);
}

static void test_retry(void **state)
{
    (void)state;
    const pbay_retry_policy *p = &pbay_retry_standard;
    pbay_retry_bucket b = {0};
    pbay_retry r = {0};
    assert_int_equal(pbay_retry_failed(p, &b, &r, PBAY_RETRY_TRANSIENT, 0.5, 0), 50);
    assert_int_equal(b.spent, 5);
    assert_int_equal(pbay_retry_failed(p, &b, &r, PBAY_RETRY_TIMEOUT, 0.5, 0), 100);
    assert_int_equal(b.spent, 15);
    assert_int_equal(pbay_retry_failed(p, &b, &r, PBAY_RETRY_TRANSIENT, 0.5, 0), -1);

    r = (pbay_retry){0};
    assert_int_equal(pbay_retry_failed(p, &b, &r, PBAY_RETRY_THROTTLED, 0.999, 0), 499);
    pbay_retry_done(p, &b, &r);
    assert_int_equal(b.spent, 15);
    pbay_retry_done(p, &b, &r);
    assert_int_equal(b.spent, 14);

    /* Retry-After is honoured, but not without end. */
    r = (pbay_retry){0};
    assert_int_equal(pbay_retry_failed(p, &b, &r, PBAY_RETRY_THROTTLED, 0, 3000), 3000);
    r = (pbay_retry){0};
    assert_int_equal(pbay_retry_failed(p, &b, &r, PBAY_RETRY_THROTTLED, 0, 60000), 5000);

    /* Back-off is capped. */
    pbay_retry_policy many = *p;
    many.max_attempts = 40;
    r = (pbay_retry){0};
    b = (pbay_retry_bucket){0};
    int64_t last = 0;
    for (int i = 0; i < 39; i++) {
        int64_t d = pbay_retry_failed(&many, &b, &r, PBAY_RETRY_TRANSIENT, 0.9999, 0);
        assert_true(d >= last && d < 20000);
        last = d;
    }
    assert_int_equal(last, 19998);

    /* An empty bucket ends repeats, successes fill it again. */
    b = (pbay_retry_bucket){0};
    int granted = 0;
    for (int i = 0; i < 1000; i++) {
        pbay_retry one = {0};
        granted += pbay_retry_failed(p, &b, &one, PBAY_RETRY_TRANSIENT, 0, 0) >= 0;
    }
    assert_int_equal(granted, 100);
    pbay_retry ok = {0};
    for (int i = 0; i < 5; i++) pbay_retry_done(p, &b, &ok);
    assert_int_equal(pbay_retry_failed(p, &b, &ok, PBAY_RETRY_TRANSIENT, 0, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code),
        cmocka_unit_test(test_class),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
