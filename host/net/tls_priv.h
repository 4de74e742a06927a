/* SPDX-License-Identifier: MIT */
/* Inside of TLS, for tls.c and tls_files.c. */
#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "net/tls.h"

struct pb_tls {
    unsigned refs;
    SSL_CTX *ctx;
    BIO_METHOD *bio;
    bool client;
    enum pb_tls_alpn alpn;
    char **subjects; /* that may connect; n 0: all */
    size_t n_subjects;
};

BIO_METHOD *pb__tls_bio_method(void);
/* Put certificate chain and key into ctx. 0, or -1 with err, which names the file. */
int pb__tls_load_pair(SSL_CTX *ctx, const char *cert, const char *key, struct pb_err *err);
int pb__tls_file_failed(struct pb_err *err, const char *file, const char *what);
/* -1 with err when the file, whose role it is, cannot be read. */
int pb__tls_readable(const char *file, const char *role, struct pb_err *err);
/* Say why the session failed; the OpenSSL error queue is of the call that returned rc. Returns -1. */
int pb__tls_client_failed(SSL *ssl, int rc, bool ready, const char *host, struct pb_err *err);
