/* SPDX-License-Identifier: MIT */
#include "net/crypto.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "base/check.h"
#include "base/mem.h"

enum { N_HASHES = 4, BLOCK_MAX = 128, P256_BYTES = 32 };

/* ------------------------------------------------------------------------------------------------ digests */

static const struct {
    const char *name;
    size_t size, block;
} HASHES[N_HASHES + 1] = {
    [PB_HASH_SHA256] = {"SHA256", 32, 64},
    [PB_HASH_SHA512] = {"SHA512", 64, 128},
    [PB_HASH_SHA1] = {"SHA1", 20, 64},
    [PB_HASH_MD5] = {"MD5", 16, 64},
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *fetched[N_HASHES + 1]; /* for the life of the process */
static pthread_key_t thread_key;

/* Contexts of one thread, made when first used and freed when it ends. */
struct contexts {
    EVP_MD_CTX *md[N_HASHES + 1];
};
static __thread struct contexts *mine;

static void contexts_free(void *p)
{
    struct contexts *c = p;
    for (int i = 1; i <= N_HASHES; i++) EVP_MD_CTX_free(c->md[i]);
    pb_free(c);
    mine = NULL;
}

static void unfetch(void)
{
    if (mine) contexts_free(mine);
    for (int i = 1; i <= N_HASHES; i++) {
        EVP_MD_free(fetched[i]);
        fetched[i] = NULL;
    }
}

static void fetch(void)
{
    for (int i = 1; i <= N_HASHES; i++) {
        fetched[i] = EVP_MD_fetch(NULL, HASHES[i].name, NULL);
        if (!fetched[i]) pb_fatal("OpenSSL offers no %s", HASHES[i].name);
    }
    if (pthread_key_create(&thread_key, contexts_free)) pb_fatal("no thread key left");
    OPENSSL_atexit(unfetch);
}

static EVP_MD_CTX *context(uint32_t alg)
{
    struct contexts *c = mine;
    if (PB_UNLIKELY(!c)) {
        pthread_once(&once, fetch);
        c = mine = pb_zalloc(sizeof *c);
        pthread_setspecific(thread_key, c);
    }
    if (PB_UNLIKELY(!c->md[alg])) {
        c->md[alg] = EVP_MD_CTX_new();
        if (!c->md[alg]) pb_fatal("out of memory: a digest context");
    }
    return c->md[alg];
}

static void must(int ok)
{
    if (PB_UNLIKELY(ok != 1))
        pb_fatal("a digest failed in OpenSSL: %s", ERR_reason_error_string(ERR_peek_last_error()));
}

/* first (may be empty) and then the parts. */
static void digest_with(uint32_t alg, const void *first, size_t n_first, const pbay_str *parts, uint32_t n,
                        uint8_t *out)
{
    EVP_MD_CTX *ctx = context(alg);
    must(EVP_DigestInit_ex2(ctx, fetched[alg], NULL));
    if (n_first) must(EVP_DigestUpdate(ctx, first, n_first));
    for (uint32_t i = 0; i < n; i++)
        if (parts[i].n) must(EVP_DigestUpdate(ctx, parts[i].p, parts[i].n));
    must(EVP_DigestFinal_ex(ctx, out, NULL));
}

size_t pb_digest_size(uint32_t alg)
{
    return alg >= 1 && alg <= N_HASHES ? HASHES[alg].size : 0;
}

int32_t pb_digest(uint32_t alg, const pbay_str *parts, uint32_t n, uint8_t *out)
{
    if (!pb_digest_size(alg)) return PBAY_INVALID_ARGUMENT;
    digest_with(alg, NULL, 0, parts, n, out);
    return PBAY_OK;
}

int32_t pb_hmac(uint32_t alg, pbay_str key, const pbay_str *parts, uint32_t n, uint8_t *out)
{
    size_t size = pb_digest_size(alg);
    if (!size) return PBAY_INVALID_ARGUMENT;
    size_t block = HASHES[alg].block;
    uint8_t short_key[PB_DIGEST_MAX], pad[BLOCK_MAX];
    if (key.n > block) {
        digest_with(alg, NULL, 0, &key, 1, short_key);
        key.p = (const char *)short_key;
        key.n = size;
    }
    memset(pad, 0x36, block);
    for (size_t i = 0; i < key.n; i++) pad[i] = (uint8_t)(pad[i] ^ (uint8_t)key.p[i]);
    uint8_t inner[PB_DIGEST_MAX];
    digest_with(alg, pad, block, parts, n, inner);
    for (size_t i = 0; i < block; i++) pad[i] ^= 0x36 ^ 0x5c;
    pbay_str mid = {(const char *)inner, size};
    digest_with(alg, pad, block, &mid, 1, out);
    OPENSSL_cleanse(pad, block);
    OPENSSL_cleanse(short_key, sizeof short_key);
    return PBAY_OK;
}

bool pb_equal_ct(pbay_str a, pbay_str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void pb_random(void *out, size_t n)
{
    uint8_t *p = out;
    while (n) {
        int piece = n > INT_MAX ? INT_MAX : (int)n;
        if (RAND_bytes(p, piece) != 1) pb_fatal("the system gives no random bytes");
        p += piece;
        n -= (size_t)piece;
    }
}

/* ------------------------------------------------------------------------------------------------ keys */

struct pbay_key {
    EVP_PKEY *pkey;
    bool is_private;
    uint32_t alg; /* the one signature this key is for */
    unsigned char *der;
    size_t n_der;
};

struct phrase {
    pbay_str text;
    bool asked;
};

/* OpenSSL would ask on the terminal when there is no callback. */
static int give_phrase(char *buf, int size, int rwflag, void *user)
{
    struct phrase *p = user;
    (void)rwflag;
    p->asked = true;
    if (p->text.n == 0 || p->text.n > (size_t)size) return -1;
    memcpy(buf, p->text.p, p->text.n);
    return (int)p->text.n;
}

static EVP_PKEY *read_pem(pbay_str pem, struct phrase *phrase, bool *is_private)
{
    EVP_PKEY *pkey = NULL;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    if (!bio) pb_fatal("out of memory: a key");
    pkey = PEM_read_bio_PrivateKey(bio, NULL, give_phrase, phrase);
    *is_private = pkey != NULL;
    if (!pkey && !phrase->asked) {
        (void)BIO_reset(bio);
        OSSL_DECODER_CTX *dec =
            OSSL_DECODER_CTX_new_for_pkey(&pkey, "PEM", NULL, NULL, EVP_PKEY_PUBLIC_KEY, NULL, NULL);
        if (!dec || OSSL_DECODER_from_bio(dec, bio) != 1) pkey = NULL;
        OSSL_DECODER_CTX_free(dec);
    }
    if (!pkey && !phrase->asked) {
        (void)BIO_reset(bio);
        X509 *cert = PEM_read_bio_X509(bio, NULL, give_phrase, phrase);
        if (cert) pkey = X509_get_pubkey(cert);
        X509_free(cert);
    }
    BIO_free(bio);
    return pkey;
}

/* What may be signed with it, or 0 with err. */
static uint32_t alg_of(EVP_PKEY *pkey, struct pb_err *err)
{
    int bits = EVP_PKEY_get_bits(pkey);
    if (EVP_PKEY_is_a(pkey, "RSA")) {
        if (bits >= 2048 && bits <= 8192) return PB_SIGN_RS256;
        pb_fail(err, PBAY_INVALID_ARGUMENT, "an RSA key of %d bits: 2048 to 8192 are accepted", bits);
        return 0;
    }
    char group[64] = "";
    if (EVP_PKEY_is_a(pkey, "EC")) {
        EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL);
        if (strcmp(group, SN_X9_62_prime256v1) == 0) return PB_SIGN_ES256;
    }
    pb_fail(err, PBAY_INVALID_ARGUMENT, "a key of type %s %s: RSA and EC prime256v1 (P-256) are accepted",
            EVP_PKEY_get0_type_name(pkey), group);
    return 0;
}

struct pbay_key *pb_key_load(pbay_str pem, pbay_str passphrase, struct pb_err *err)
{
    if (pem.n == 0 || pem.n > PB_PEM_MAX) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "a key in PEM has 1 to %d bytes, this has %zu", PB_PEM_MAX,
                pem.n);
        return NULL;
    }
    struct phrase phrase = {passphrase, false};
    bool is_private = false;
    EVP_PKEY *pkey = read_pem(pem, &phrase, &is_private);
    ERR_clear_error();
    if (!pkey) {
        if (phrase.asked)
            pb_fail(err, PBAY_INVALID_ARGUMENT, "the key is encrypted and the passphrase %s",
                    passphrase.n ? "does not open it" : "is not given");
        else
            pb_fail(err, PBAY_INVALID_ARGUMENT,
                    "not a key in PEM (\"-----BEGIN PRIVATE KEY-----\", a public key or a certificate)");
        return NULL;
    }
    uint32_t alg = alg_of(pkey, err);
    unsigned char *der = NULL;
    int n_der = alg ? i2d_PUBKEY(pkey, &der) : -1;
    if (n_der <= 0) {
        if (alg) pb_fail(err, PBAY_INVALID_ARGUMENT, "the key's public half cannot be written as DER");
        EVP_PKEY_free(pkey);
        ERR_clear_error();
        return NULL;
    }
    struct pbay_key *key = pb_zalloc(sizeof *key);
    key->pkey = pkey;
    key->is_private = is_private;
    key->alg = alg;
    key->der = der;
    key->n_der = (size_t)n_der;
    return key;
}

void pb_key_free(struct pbay_key *key)
{
    if (!key) return;
    EVP_PKEY_free(key->pkey);
    OPENSSL_free(key->der);
    pb_free(key);
}

pbay_str pb_key_public_der(const struct pbay_key *key)
{
    return (pbay_str){(const char *)key->der, key->n_der};
}

/* ECDSA's DER to r || s; false when it does not fit. */
static bool der_to_raw(const uint8_t *der, size_t n, uint8_t raw[2 * P256_BYTES])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, P256_BYTES) == P256_BYTES &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + P256_BYTES, P256_BYTES) == P256_BYTES;
    ECDSA_SIG_free(sig);
    return ok;
}

static int raw_to_der(const uint8_t raw[2 * P256_BYTES], uint8_t **der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, P256_BYTES, NULL), *s = BN_bin2bn(raw + P256_BYTES, P256_BYTES, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) pb_fatal("out of memory: a signature");
    int n = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    return n;
}

int32_t pb_key_sign(const struct pbay_key *key, uint32_t alg, const pbay_str *parts, uint32_t n, uint8_t *sig,
                    size_t *sig_len)
{
    if (alg != key->alg || !key->is_private) return PBAY_INVALID_ARGUMENT;
    uint8_t made[PB_SIGNATURE_MAX];
    size_t len = sizeof made;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx) pb_fatal("out of memory: a signature");
    bool ok = EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key->pkey, NULL) == 1;
    for (uint32_t i = 0; ok && i < n; i++) ok = EVP_DigestSignUpdate(ctx, parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_DigestSignFinal(ctx, made, &len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    uint8_t raw[2 * P256_BYTES];
    const uint8_t *from = made;
    if (ok && alg == PB_SIGN_ES256) {
        ok = der_to_raw(made, len, raw);
        from = raw;
        len = sizeof raw;
    }
    if (!ok || len > *sig_len) return ok ? PBAY_INVALID_ARGUMENT : PBAY_INTERNAL;
    memcpy(sig, from, len);
    *sig_len = len;
    return PBAY_OK;
}

int32_t pb_key_verify(const struct pbay_key *key, uint32_t alg, const pbay_str *parts, uint32_t n,
                      pbay_str sig)
{
    if (alg != key->alg) return PBAY_INVALID_ARGUMENT;
    uint8_t *der = NULL;
    const uint8_t *given = (const uint8_t *)sig.p;
    size_t len = sig.n;
    if (alg == PB_SIGN_ES256) {
        if (len != 2 * P256_BYTES) return PBAY_UNAUTHENTICATED;
        int made = raw_to_der(given, &der);
        if (made <= 0) return PBAY_UNAUTHENTICATED;
        given = der;
        len = (size_t)made;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx) pb_fatal("out of memory: a signature");
    bool ok = EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, key->pkey, NULL) == 1;
    for (uint32_t i = 0; ok && i < n; i++) ok = EVP_DigestVerifyUpdate(ctx, parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_DigestVerifyFinal(ctx, given, len) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error();
    return ok ? PBAY_OK : PBAY_UNAUTHENTICATED;
}
