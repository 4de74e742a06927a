/* SPDX-License-Identifier: MIT */
/* A server's TLS context, from files that an operator may have mixed up: every fault names its file. */
#include "net/tls_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/check.h"
#include "base/mem.h"

int pb__tls_file_failed(struct pb_err *err, const char *file, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    pb_fail(err, PBAY_FAILED_PRECONDITION, "%s: %s%s%s", file, what, reason ? ": " : "",
            reason ? reason : "");
    ERR_clear_error();
    return -1;
}

int pb__tls_readable(const char *file, const char *role, struct pb_err *err)
{
    if (access(file, R_OK) == 0) return 0;
    return pb_fail(err, PBAY_FAILED_PRECONDITION, "%s: cannot read the %s: %s", file, role, strerror(errno));
}

/* A key with a passphrase must not stop the program at a prompt. */
static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)user = true;
    return 0;
}

static int load_key(SSL_CTX *ctx, const char *file, struct pb_err *err)
{
    bool asked = false;
    FILE *f = fopen(file, "re");
    if (!f)
        return pb_fail(err, PBAY_FAILED_PRECONDITION, "%s: cannot read the private key: %s", file,
                       strerror(errno));
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, no_passphrase, &asked);
    fclose(f);
    if (!key && asked) {
        ERR_clear_error();
        return pb_fail(
            err, PBAY_FAILED_PRECONDITION,
            "%s: the private key is protected by a passphrase; write it without one (openssl pkey -in %s)",
            file, file);
    }
    if (!key) return pb__tls_file_failed(err, file, "not a private key in PEM form");
    int ok = SSL_CTX_use_PrivateKey(ctx, key);
    EVP_PKEY_free(key);
    return ok == 1 ? 0 : pb__tls_file_failed(err, file, "the private key does not belong to the certificate");
}

int pb__tls_load_pair(SSL_CTX *ctx, const char *cert, const char *key, struct pb_err *err)
{
    if (pb__tls_readable(cert, "certificate", err) || pb__tls_readable(key, "private key", err)) return -1;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return pb__tls_file_failed(err, cert, "not a certificate in PEM form");
    if (load_key(ctx, key, err)) return -1;
    if (SSL_CTX_check_private_key(ctx) == 1) return 0;
    ERR_clear_error();
    return pb_fail(err, PBAY_FAILED_PRECONDITION, "%s: the private key does not belong to the certificate %s",
                   key, cert);
}

static int load_files(SSL_CTX *ctx, const struct pb_tls_files *f, struct pb_err *err)
{
    if (pb__tls_load_pair(ctx, f->cert, f->key, err)) return -1;
    if (!f->ca) return 0;
    if (pb__tls_readable(f->ca, "root certificate", err)) return -1;
    if (SSL_CTX_load_verify_file(ctx, f->ca) != 1)
        return pb__tls_file_failed(err, f->ca, "no certificate in PEM form");
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(f->ca);
    if (names) SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                   unsigned in_n, void *arg)
{
    static const unsigned char h2_first[] = "\x02h2\x08http/1.1", http1[] = "\x08http/1.1";
    const struct pb_tls *tls = arg;
    (void)ssl;
    bool h2 = tls->alpn == PB_ALPN_H2;
    unsigned char *chosen;
    int rc = SSL_select_next_proto(&chosen, out_n, h2 ? h2_first : http1,
                                   (unsigned)(h2 ? sizeof h2_first : sizeof http1) - 1, in, in_n);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct pb_tls *pb_tls_server_new(const struct pb_tls_files *files, enum pb_tls_alpn alpn, struct pb_err *err)
{
    struct pb_tls *tls = pb_zalloc(sizeof *tls);
    tls->refs = 1;
    tls->alpn = alpn;
    tls->ctx = SSL_CTX_new(TLS_server_method());
    if (!tls->ctx) pb_fatal("OpenSSL: no context");
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                      SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    /* RFC 9113, 9.2.2: what HTTP/2 allows under TLS 1.2. */
    SSL_CTX_set_cipher_list(tls->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20");
    SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, tls);
    tls->bio = pb__tls_bio_method();
    if (load_files(tls->ctx, files, err)) {
        pb_tls_unref(tls);
        return NULL;
    }
    return tls;
}

struct pb_tls *pb_tls_server_from_dir(const char *dir, enum pb_tls_alpn alpn, struct pb_err *err)
{
    PB_AUTO_FREE char *cert = pb_sprintf("%s/sse_server_cert.pem", dir);
    PB_AUTO_FREE char *key = pb_sprintf("%s/sse_server_key.pem", dir);
    PB_AUTO_FREE char *ca = pb_sprintf("%s/root_cert.pem", dir);
    const struct pb_tls_files files = {cert, key, ca};
    return pb_tls_server_new(&files, alpn, err);
}

struct pb_tls *pb_tls_ref(struct pb_tls *tls)
{
    tls->refs++;
    return tls;
}

void pb_tls_unref(struct pb_tls *tls)
{
    if (!tls || --tls->refs) return;
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->bio);
    for (size_t i = 0; i < tls->n_subjects; i++) pb_free(tls->subjects[i]);
    pb_free(tls->subjects);
    pb_free(tls);
}

void pb_tls_allow(struct pb_tls *tls, const pbay_str *subjects, size_t n)
{
    tls->subjects = pb_array(n ? n : 1, sizeof *tls->subjects);
    tls->n_subjects = n;
    for (size_t i = 0; i < n; i++) tls->subjects[i] = pb_strndup(subjects[i].p, subjects[i].n);
}
