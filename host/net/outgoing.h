/* SPDX-License-Identifier: MIT */
/*
 * How connections leave the machine: through which proxy, trusting whom, showing which certificate. One
 * answer for HTTP, WebSockets and streams alike.
 *
 * What is not configured comes from the variables that other programs read: http_proxy, https_proxy,
 * all_proxy, no_proxy (and all but the first in capitals), SSL_CERT_FILE. They are read once, when this is
 * made. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"

struct pb_outgoing;
struct pb_tls;

/* Texts are copied. */
struct pb_outgoing_conf {
    const char *proxy;       /* http://[user:password@]host[:port]; "" or "none": none; NULL: the variables */
    const char *no_proxy;    /* NULL: the variable */
    const char *ca_file;     /* PEM; NULL: SSL_CERT_FILE, else the system's */
    const char *client_cert; /* PEM chain; NULL: none */
    const char *client_key;  /* PEM; NULL: it is in client_cert */
};

/* Returns owned, or NULL with err, which names the file or the value (never its password). */
struct pb_outgoing *pb_outgoing_new(const struct pb_outgoing_conf *conf, struct pb_err *err);
void pb_outgoing_free(struct pb_outgoing *o); /* NULL is fine */

/* A proxy that speaks HTTP, and that CONNECT is asked of. */
struct pb_proxy {
    char *host;
    uint16_t port;
    char *url;      /* "http://host:port" */
    char *user;     /* percent-decoded; NULL: none */
    char *password; /* the same */
    char *basic;    /* "Basic dXNlcjpwYXNz", or NULL */
};
/*
 * http://[user[:password]@]host[:port], or without the scheme; the port is 80 by default, as in other
 * programs the scheme's. 0; -1 with err, without the password in it. Owned: pb_proxy_free.
 */
int pb_proxy_parse(pbay_str text, struct pb_proxy *out, struct pb_err *err) PB_NODISCARD;
void pb_proxy_free(struct pb_proxy *p);

/*
 * The proxy on the way to host and port, in *proxy, borrowed as long as o; NULL: straight there. tls: which
 * of the variables counts. 0, or -1 with err: a variable names a proxy that is of no use here.
 */
int pb_outgoing_proxy(const struct pb_outgoing *o, bool tls, pbay_str host, uint16_t port,
                      const struct pb_proxy **proxy, struct pb_err *err) PB_NODISCARD;
/*
 * Is host (a name or a literal address) excepted by a no_proxy list? Items between commas or blanks: "*"; a
 * name, which is for those below it too, with or without a dot before it; an address; a network such
 * as 10.0.0.0/8; each with
 * ":port" behind it for that port alone.
 */
bool pb_no_proxy(pbay_str list, pbay_str host, uint16_t port);

/* The context for TLS to servers, made when it is first asked for; borrowed. NULL with err. */
struct pb_tls *pb_outgoing_tls(struct pb_outgoing *o, struct pb_err *err);
/* Files as they count, or NULL; borrowed as long as o. */
const char *pb_outgoing_ca_file(const struct pb_outgoing *o);
const char *pb_outgoing_client_cert(const struct pb_outgoing *o);
const char *pb_outgoing_client_key(const struct pb_outgoing *o);
