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
    enum pb_tls_alpn alpn;
    char **subjects; /* that may connect; n 0: all */
    size_t n_subjects;
};

BIO_METHOD *pb__tls_bio_method(void);
