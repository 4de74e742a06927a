/* SPDX-License-Identifier: MIT */
/*
 * The certificates of Qlik's guide for server-side extensions (github.com/qlik-oss/server-side-extension,
 * generate_certs_guide): a root of one's own, and for either side a folder with its certificate, its key and
 * the root.
 *
 *     DIR/server/   sse_server_cert.pem  sse_server_key.pem  root_cert.pem     tls_dir of the listener
 *     DIR/client/   sse_client_cert.pem  sse_client_key.pem  root_cert.pem     the path given to Qlik
 *
 * Names sse_root, sse_server, sse_client; RSA-2048, SHA-256. The root's key is used for these two
 * certificates and then forgotten, so that nobody can make a third, unless it is asked for: DIR/root_key.pem.
 * Threads: any; making keys takes about a second.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"

enum { PB_CERTS_DAYS = 3650, PB_CERTS_NAMES_MAX = 64 };

struct pb_certs_options {
    const char *dir; /* made when it is not there; its parent must be */
    const pbay_str
        *names; /* names and addresses that clients know the server by; localhost is always among them */
    size_t n_names;
    uint32_t days;      /* 0: PB_CERTS_DAYS */
    bool keep_root_key; /* write DIR/root_key.pem too */
};

/* Is it a DNS name (also *.example.com) or an IP address? */
bool pb_certs_is_name(pbay_str name);
/*
 * Make them. Keys are 0600 and the folder of each side 0700. Nothing is overwritten, and after an error
 * nothing of this run is left behind. Errors: ALREADY_EXISTS with the file that stands there,
 * INVALID_ARGUMENT for a name, and what the system says of a path.
 */
int pb_certs_make(const struct pb_certs_options *options, struct pb_err *err) PB_NODISCARD;
