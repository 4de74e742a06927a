/* SPDX-License-Identifier: MIT */
/* The client's side of TLS: its context, and what a failed handshake means to whoever configured the other
 * side. */
#include "net/tls_priv.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/mem.h"

static int load(SSL_CTX *ctx, const struct pb_tls_client_files *f, struct pb_err *err)
{
    if (f->ca) {
        if (pb__tls_readable(f->ca, "CA file", err)) return -1;
        if (SSL_CTX_load_verify_file(ctx, f->ca) != 1)
            return pb__tls_file_failed(err, f->ca, "no certificate in PEM form");
    } else {
        SSL_CTX_set_default_verify_paths(ctx);
    }
    return f->cert ? pb__tls_load_pair(ctx, f->cert, f->key ? f->key : f->cert, err) : 0;
}

struct pb_tls *pb_tls_client_new(const struct pb_tls_client_files *files, struct pb_err *err)
{
    struct pb_tls *tls = pb_zalloc(sizeof *tls);
    tls->refs = 1;
    tls->client = true;
    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (!tls->ctx) pb_fatal("OpenSSL: no context");
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    tls->bio = pb__tls_bio_method();
    if (load(tls->ctx, files, err) == 0) return tls;
    pb_tls_unref(tls);
    return NULL;
}

int pb__tls_client_failed(SSL *ssl, int rc, bool ready, const char *host, struct pb_err *err)
{
    int why = SSL_get_error(ssl, rc), reason = ERR_GET_REASON(ERR_peek_error());
    const char *text = ERR_reason_error_string(ERR_peek_error());
    long verify = SSL_get_verify_result(ssl);
    if (!ready && (verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH))
        pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: its certificate is for another name", host);
    else if (!ready && verify != X509_V_OK)
        pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: its certificate is not trusted: %s", host,
                X509_verify_cert_error_string(verify));
    else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
        pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: it does not speak TLS there", host);
    else if (why == SSL_ERROR_SYSCALL)
        pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: the connection ended", host);
    else
        pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: %s", host, text ? text : "failed");
    if (err) err->advice = !ready && verify != X509_V_OK ? PBAY_ADVICE_NONE : PBAY_ADVICE_RETRY;
    ERR_clear_error();
    return -1;
}
