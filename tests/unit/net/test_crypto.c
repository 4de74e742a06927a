/* SPDX-License-Identifier: MIT */
/* Digests and HMAC against published vectors (RFC 1321, FIPS 180, RFC 2202, RFC 4231); keys against each
 * other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/attr.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/crypto.h"

static const char *hex(const uint8_t *p, size_t n)
{
    static char out[2 * PB_DIGEST_MAX + 1];
    for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", p[i]);
    return out;
}

static void test_digests(void **state)
{
    (void)state;
    static const struct {
        uint32_t alg;
        const char *abc, *empty;
    } V[] = {
        {PB_HASH_MD5, "900150983cd24fb0d6963f7d28e17f72", "d41d8cd98f00b204e9800998ecf8427e"},
        {PB_HASH_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d",
         "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {PB_HASH_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {PB_HASH_SHA512,
         "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
         "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
         "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
    };
    uint8_t out[PB_DIGEST_MAX];
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        const pbay_str parts[] = {PB_STR("a"), {NULL, 0}, PB_STR("bc")};
        assert_int_equal(pb_digest(V[i].alg, parts, 3, out), PBAY_OK);
        assert_string_equal(hex(out, pb_digest_size(V[i].alg)), V[i].abc);
        assert_int_equal(pb_digest(V[i].alg, NULL, 0, out), PBAY_OK);
        assert_string_equal(hex(out, pb_digest_size(V[i].alg)), V[i].empty);
    }
    assert_int_equal(pb_digest(0, NULL, 0, out), PBAY_INVALID_ARGUMENT);
    assert_int_equal(pb_digest(5, NULL, 0, out), PBAY_INVALID_ARGUMENT);
}

static void test_hmac(void **state)
{
    (void)state;
    uint8_t out[PB_DIGEST_MAX];
    const pbay_str parts[] = {PB_STR("what do ya want "), PB_STR("for nothing?")};
    assert_int_equal(pb_hmac(PB_HASH_SHA256, PB_STR("Jefe"), parts, 2, out), PBAY_OK);
    assert_string_equal(hex(out, 32), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(pb_hmac(PB_HASH_SHA512, PB_STR("Jefe"), parts, 2, out), PBAY_OK);
    assert_string_equal(hex(out, 64), "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                                      "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
    assert_int_equal(pb_hmac(PB_HASH_SHA1, PB_STR("Jefe"), parts, 2, out), PBAY_OK);
    assert_string_equal(hex(out, 20), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    assert_int_equal(pb_hmac(PB_HASH_MD5, PB_STR("Jefe"), parts, 2, out), PBAY_OK);
    assert_string_equal(hex(out, 16), "750c783e6ab0b503eaa86e310a5db738");
    /* RFC 4231, case 6: a key longer than the block. */
    char key[131];
    memset(key, 0xaa, sizeof key);
    const pbay_str text = PB_STR("Test Using Larger Than Block-Size Key - Hash Key First");
    assert_int_equal(pb_hmac(PB_HASH_SHA256, pb_str(key, sizeof key), &text, 1, out), PBAY_OK);
    assert_string_equal(hex(out, 32), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_equal_and_random(void **state)
{
    (void)state;
    assert_true(pb_equal_ct(PB_STR("abc"), PB_STR("abc")));
    assert_true(pb_equal_ct(PB_STR(""), pb_str(NULL, 0)));
    assert_false(pb_equal_ct(PB_STR("abc"), PB_STR("abd")));
    assert_false(pb_equal_ct(PB_STR("abc"), PB_STR("abcd")));
    uint8_t a[32] = {0}, b[32] = {0};
    pb_random(a, sizeof a);
    pb_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* PEM of a fresh key, private or public, encrypted when a phrase is given. Returns owned. */
static char *pem_of(EVP_PKEY *pkey, bool is_private, const char *phrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (is_private)
        assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, phrase ? EVP_aes_256_cbc() : NULL, NULL, 0, NULL,
                                                  (void *)(uintptr_t)phrase),
                         1);
    else
        assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    char *out = pb_strndup(p, (size_t)n);
    BIO_free(bio);
    return out;
}

static void check_pair(EVP_PKEY *pkey, uint32_t alg, size_t sig_size)
{
    struct pb_err err;
    PB_AUTO_FREE char *priv = pem_of(pkey, true, NULL);
    PB_AUTO_FREE char *locked = pem_of(pkey, true, "open sesame");
    PB_AUTO_FREE char *pub = pem_of(pkey, false, NULL);
    struct pbay_key *a = pb_key_load(pb_str_c(priv), pb_str(NULL, 0), &err);
    struct pbay_key *b = pb_key_load(pb_str_c(pub), pb_str(NULL, 0), &err);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(pb_str_eq(pb_key_public_der(a), pb_key_public_der(b)));

    const pbay_str whole = PB_STR("header.payload"), parts[] = {PB_STR("header."), PB_STR("payload")};
    uint8_t sig[PB_SIGNATURE_MAX];
    size_t n = sizeof sig;
    assert_int_equal(pb_key_sign(a, alg, parts, 2, sig, &n), PBAY_OK);
    assert_int_equal(n, sig_size);
    pbay_str s = pb_str((char *)sig, n);
    assert_int_equal(pb_key_verify(b, alg, &whole, 1, s), PBAY_OK);
    assert_int_equal(pb_key_verify(b, alg, parts, 1, s), PBAY_UNAUTHENTICATED);
    assert_int_equal(pb_key_verify(b, 3 - alg, &whole, 1, s), PBAY_INVALID_ARGUMENT);
    assert_int_equal(pb_key_verify(b, alg, &whole, 1, pb_str(s.p, n - 1)), PBAY_UNAUTHENTICATED);
    sig[n / 2] ^= 1;
    assert_int_equal(pb_key_verify(b, alg, &whole, 1, s), PBAY_UNAUTHENTICATED);
    assert_int_equal(pb_key_verify(b, alg, &whole, 1, pb_str(NULL, 0)), PBAY_UNAUTHENTICATED);
    n = sizeof sig;
    assert_int_equal(pb_key_sign(b, alg, &whole, 1, sig, &n), PBAY_INVALID_ARGUMENT);
    n = sig_size - 1;
    assert_int_equal(pb_key_sign(a, alg, &whole, 1, sig, &n), PBAY_INVALID_ARGUMENT);
    pb_key_free(a);
    pb_key_free(b);

    assert_null(pb_key_load(pb_str_c(locked), pb_str(NULL, 0), &err));
    assert_non_null(strstr(err.msg, "is not given"));
    assert_null(pb_key_load(pb_str_c(locked), PB_STR("wrong"), &err));
    assert_non_null(strstr(err.msg, "does not open it"));
    a = pb_key_load(pb_str_c(locked), PB_STR("open sesame"), &err);
    assert_non_null(a);
    pb_key_free(a);
}

static void test_keys(void **state)
{
    (void)state;
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
    check_pair(rsa, PB_SIGN_RS256, 256);
    check_pair(ec, PB_SIGN_ES256, 64);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

static void test_keys_refused(void **state)
{
    (void)state;
    struct pb_err err;
    EVP_PKEY *small = EVP_RSA_gen(1024), *other = EVP_EC_gen("P-384");
    PB_AUTO_FREE char *a = pem_of(small, true, NULL);
    PB_AUTO_FREE char *b = pem_of(other, false, NULL);
    EVP_PKEY_free(small);
    EVP_PKEY_free(other);
    assert_null(pb_key_load(pb_str_c(a), pb_str(NULL, 0), &err));
    assert_non_null(strstr(err.msg, "1024 bits"));
    assert_null(pb_key_load(pb_str_c(b), pb_str(NULL, 0), &err));
    assert_non_null(strstr(err.msg, "P-256"));
    assert_null(pb_key_load(PB_STR("hello"), pb_str(NULL, 0), &err));
    assert_non_null(strstr(err.msg, "PEM"));
    assert_null(pb_key_load(PB_STR(""), pb_str(NULL, 0), &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),          cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_equal_and_random), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
