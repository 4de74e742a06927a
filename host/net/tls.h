/* SPDX-License-Identifier: MIT */
/*
 * TLS over bytes: a context from PEM files, and sessions that turn ciphertext into plaintext and back. Sans
 * I/O.
 *
 * TLS 1.2 and later, OpenSSL 3 with a BIO that reads where the bytes lie and writes where they are gathered.
 * Threads: one at a time per context and its sessions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"

struct pb_tls;
struct pb_tls_session;

enum pb_tls_alpn {
    PB_ALPN_H2,    /* h2, else http/1.1: where gRPC is served, such a client can be told what is wrong */
    PB_ALPN_HTTP1, /* http/1.1 */
};

struct pb_tls_files {
    const char *cert; /* PEM chain, own certificate first */
    const char *key;  /* PEM private key, without passphrase */
    const char *ca;   /* PEM certificates that clients must chain to; NULL: clients need no certificate */
};

/* Server side. Reference-counted; returns owned, or NULL with err, which names the file and what is wrong
 * with it. */
struct pb_tls *pb_tls_server_new(const struct pb_tls_files *files, enum pb_tls_alpn alpn, struct pb_err *err);
/* From a folder with Qlik's file names: sse_server_cert.pem, sse_server_key.pem, root_cert.pem. Mutual TLS.
 */
struct pb_tls *pb_tls_server_from_dir(const char *dir, enum pb_tls_alpn alpn, struct pb_err *err);
/*
 * Take only clients whose certificate's subject is listed: the whole RFC 2253 subject
 * ("CN=sse_client,O=Example"), or one of its parts ("CN=sse_client"). n 0: every certificate that the ca
 * signed. Copies. Before the first session.
 */
void pb_tls_allow(struct pb_tls *tls, const pbay_str *subjects, size_t n);
/*
 * Is listed the whole of an RFC 2253 subject, or one part of it? A comma that the value of a part holds,
 * written "\,", divides nothing: nobody gets in by calling himself "x,CN=sse_client".
 */
bool pb_tls_subject_is(pbay_str subject, pbay_str listed);
struct pb_tls *pb_tls_ref(struct pb_tls *tls);
void pb_tls_unref(struct pb_tls *tls); /* NULL is fine */

/* Holds a reference to tls, a server's. Returns owned. */
struct pb_tls_session *pb_tls_session_new(struct pb_tls *tls);

struct pb_tls_client_files {
    const char *ca;   /* PEM certificates that servers must chain to; NULL: the system's */
    const char *cert; /* PEM chain to show servers that ask, own certificate first; NULL: none */
    const char *key;  /* its PEM private key, without passphrase; NULL: it is in the file cert */
};
/* Client side: servers are verified, name included. As pb_tls_server_new. */
struct pb_tls *pb_tls_client_new(const struct pb_tls_client_files *files, struct pb_err *err);
/*
 * A session of a client's tls with the server that is known as host (a name or a literal address, copied),
 * which its certificate must be for. alpn: the one protocol that is offered, or NULL. Its first bytes come of
 * pb_tls_feed with no input.
 */
struct pb_tls_session *pb_tls_session_to(struct pb_tls *tls, const char *host, const char *alpn);
bool pb_tls_is_client(const struct pb_tls_session *s);
void pb_tls_session_free(struct pb_tls_session *s); /* NULL is fine */

/*
 * Ciphertext in. Plaintext goes to plain(user, p, n), borrowed until it returns, as often as there is some;
 * answers of the handshake are appended to out. plain may end things by returning false: the rest is dropped.
 * 0; or -1 with err, and out may hold an alert that should be sent.
 */
int pb_tls_feed(struct pb_tls_session *s, const char *p, size_t n, struct pb_buf *out,
                bool (*plain)(void *user, const char *p, size_t n), void *user,
                struct pb_err *err) PB_NODISCARD;
/* Plaintext in, ciphertext appended to out. Only once ready. */
int pb_tls_write(struct pb_tls_session *s, const char *p, size_t n, struct pb_buf *out,
                 struct pb_err *err) PB_NODISCARD;
/* close_notify appended to out. */
void pb_tls_close(struct pb_tls_session *s, struct pb_buf *out);
/* The handshake is complete. */
bool pb_tls_ready(const struct pb_tls_session *s);
/* The peer has sent close_notify. */
bool pb_tls_eof(const struct pb_tls_session *s);
/* "h2", "http/1.1" or empty; borrowed as long as s. */
pbay_str pb_tls_agreed_alpn(const struct pb_tls_session *s);
/* RFC 2253 subject of the verified peer certificate, or empty; borrowed as long as s. */
pbay_str pb_tls_peer_subject(const struct pb_tls_session *s);
