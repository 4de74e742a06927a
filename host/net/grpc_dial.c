/* SPDX-License-Identifier: MIT */
/*
 * The gRPC client's socket: connect, TLS, wait. What can go wrong before HTTP/2 is spoken is what a person
 * sees when the gateway is not running or the port is another's, so each way has its own sentence.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/grpc_client_priv.h"

enum { READ_MAX = 256 * 1024, CONNECT_MS = 10000, CLOSE_MS = 1000, PATH_BYTES = 4096 };

/* ---------------------------------------------------------------------------------------------- waiting */

int pb__dial_wait(struct pb_dial *d, bool write, int64_t deadline)
{
    struct pollfd fds[2] = {
        {.fd = d->fd, .events = (short)(POLLIN | (write || d->want_write ? POLLOUT : 0))},
        {.fd = d->wake_fd, .events = POLLIN},
    };
    int timeout = -1;
    if (d->more) {
        timeout = 0;
    } else if (deadline != PB_NO_DEADLINE) {
        int64_t left = (deadline - pb_mono_ns() + PB_MS - 1) / PB_MS;
        timeout = left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
    }
    int n = poll(fds, d->wake_fd >= 0 ? 2 : 1, timeout);
    if (n < 0) return 1; /* EINTR: the caller looks again */
    if (d->wake_fd >= 0 && fds[1].revents) return -1;
    return n > 0 || d->more;
}

/* ---------------------------------------------------------------------------------------------- addresses */

/* "host:port" in two; host is allocated. */
static int split_address(const char *address, char **host, const char **port, struct pb_err *err)
{
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : 0;
    const char *h = address;
    if (!colon || !colon[1])
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "\"%s\" is no address: HOST:PORT is expected, as in 127.0.0.1:50058", address);
    if (n >= 2 && h[0] == '[' && h[n - 1] == ']') {
        h++;
        n -= 2;
    } else if (memchr(h, ':', n)) {
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "\"%s\" is no address: an IPv6 address stands in brackets, as in "
                       "[::1]:50058",
                       address);
    }
    uint64_t v;
    if (!pb_parse_u64(pb_str_c(colon + 1), &v) || v == 0 || v > 65535)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%s\": \"%s\" is no port (1 to 65535)", address,
                       colon + 1);
    *host = n ? pb_strndup(h, n) : pb_strdup("127.0.0.1");
    *port = colon + 1;
    return 0;
}

/* One attempt. 0, or -1 with errno; ECANCELED: woken. */
static int connect_one(struct pb_dial *d, int family, const struct sockaddr *addr, socklen_t n,
                       int64_t deadline)
{
    d->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0) return -1;
    int rc = connect(d->fd, addr, n), error = rc ? errno : 0;
    while (error == EINPROGRESS) {
        int ready = pb__dial_wait(d, true, deadline);
        if (ready <= 0) {
            error = ready ? ECANCELED : ETIMEDOUT;
            break;
        }
        struct pollfd p = {.fd = d->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) <= 0) continue;
        socklen_t len = sizeof error;
        if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len)) error = errno;
    }
    if (!error) {
        int on = 1;
        if (family != AF_UNIX) setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return 0;
    }
    close(d->fd);
    d->fd = -1;
    errno = error;
    return -1;
}

static int connect_failed(const struct pb_dial *d, int error, struct pb_err *err)
{
    switch (error) {
    case ECANCELED: return pb_fail(err, PBAY_CANCELLED, "interrupted");
    case ECONNREFUSED:
    case ENOENT:
        return pb_fail(err, PBAY_UNAVAILABLE, "nothing listens on %s: is the gateway running?", d->address);
    case ETIMEDOUT:
        return pb_fail(err, PBAY_UNAVAILABLE, "no answer from %s: is it the right address?", d->address);
    default: return pb_fail(err, PBAY_UNAVAILABLE, "cannot connect to %s: %s", d->address, strerror(error));
    }
}

static int connect_unix(struct pb_dial *d, const char *path, int64_t deadline, struct pb_err *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sun.sun_path)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: a socket's path has at most %zu bytes", path,
                       sizeof sun.sun_path - 1);
    memcpy(sun.sun_path, path, strlen(path) + 1);
    d->host = pb_strdup("localhost");
    if (connect_one(d, AF_UNIX, (const struct sockaddr *)&sun, sizeof sun, deadline))
        return connect_failed(d, errno, err);
    return 0;
}

static int connect_tcp(struct pb_dial *d, int64_t deadline, struct pb_err *err)
{
    const char *port = NULL;
    if (split_address(d->address, &d->host, &port, err)) return -1;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV}, *list;
    int rc = getaddrinfo(d->host, port, &hints, &list);
    if (rc == EAI_NONAME || rc == EAI_ADDRFAMILY) {
        hints.ai_flags = AI_NUMERICSERV; /* loopback alone does not count as configured */
        rc = getaddrinfo(d->host, port, &hints, &list);
    }
    if (rc)
        return pb_fail(err, PBAY_UNAVAILABLE, "cannot find the host \"%s\": %s", d->host, gai_strerror(rc));
    int error = 0;
    for (struct addrinfo *a = list; a && d->fd < 0 && error != ECANCELED; a = a->ai_next)
        if (connect_one(d, a->ai_family, a->ai_addr, a->ai_addrlen, deadline)) error = errno;
    freeaddrinfo(list);
    return d->fd < 0 ? connect_failed(d, error, err) : 0;
}

/* ---------------------------------------------------------------------------------------------- TLS */

/* The oldest message of OpenSSL's queue, which is then empty. */
static const char *ssl_text(void)
{
    unsigned long e = ERR_get_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return text ? text : "unknown error";
}

static int tls_context(struct pb_dial *d, const char *dir, struct pb_err *err)
{
    char ca[PATH_BYTES], cert[PATH_BYTES], key[PATH_BYTES];
    snprintf(ca, sizeof ca, "%s/root_cert.pem", dir);
    snprintf(cert, sizeof cert, "%s/sse_client_cert.pem", dir);
    snprintf(key, sizeof key, "%s/sse_client_key.pem", dir);
    d->ctx = SSL_CTX_new(TLS_client_method());
    PB_REQUIRE(d->ctx);
    SSL_CTX_set_min_proto_version(d->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(d->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(d->ctx, SSL_VERIFY_PEER, NULL);
    const char *bad = NULL;
    bool mutual = !access(cert, F_OK) || !access(key, F_OK);
    if (SSL_CTX_load_verify_locations(d->ctx, ca, NULL) != 1)
        bad = ca;
    else if (mutual && SSL_CTX_use_certificate_chain_file(d->ctx, cert) != 1)
        bad = cert;
    else if (mutual && SSL_CTX_use_PrivateKey_file(d->ctx, key, SSL_FILETYPE_PEM) != 1)
        bad = key;
    if (!bad) return 0;
    const char *reason = access(bad, R_OK) ? strerror(errno) : ssl_text();
    ERR_clear_error();
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %s", bad, reason);
}

static bool is_address(const char *name)
{
    unsigned char b[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, b) == 1 || inet_pton(AF_INET6, name, b) == 1;
}

static int tls_failed(struct pb_dial *d, int rc, struct pb_err *err)
{
    int e = SSL_get_error(d->ssl, rc), error = errno;
    long verify = SSL_get_verify_result(d->ssl);
    if (verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        ERR_clear_error();
        return pb_fail(err, PBAY_UNAVAILABLE,
                       "the certificate of %s is for another name: give the name it is for with "
                       "--tls-name",
                       d->address);
    }
    if (verify != X509_V_OK) {
        ERR_clear_error();
        return pb_fail(err, PBAY_UNAVAILABLE, "the certificate of %s is not accepted: %s", d->address,
                       X509_verify_cert_error_string(verify));
    }
    if (e == SSL_ERROR_SSL) {
        unsigned long code = ERR_peek_error();
        if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER ||
            ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST) {
            ERR_clear_error();
            return pb_fail(err, PBAY_UNAVAILABLE, "%s does not speak TLS: wrong port, or leave --tls out?",
                           d->address);
        }
        if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            e = SSL_ERROR_ZERO_RETURN;
        else
            return pb_fail(err, PBAY_UNAVAILABLE, "TLS with %s: %s", d->address, ssl_text());
    }
    ERR_clear_error();
    if (e == SSL_ERROR_SYSCALL && error)
        return pb_fail(err, PBAY_UNAVAILABLE, "the connection to %s was lost: %s", d->address,
                       strerror(error));
    return pb_fail(err, PBAY_UNAVAILABLE, "%s closed the connection", d->address);
}

/* 0 when the socket is to be waited for, -1: not that. */
static int tls_again(struct pb_dial *d, int rc)
{
    int e = SSL_get_error(d->ssl, rc);
    d->want_write = e == SSL_ERROR_WANT_WRITE;
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static int tls_open(struct pb_dial *d, const struct pb_grpc_client_options *o, int64_t deadline,
                    struct pb_err *err)
{
    if (tls_context(d, o->tls_dir, err)) return -1;
    d->ssl = SSL_new(d->ctx);
    PB_REQUIRE(d->ssl && SSL_set_fd(d->ssl, d->fd) == 1);
    const char *name = o->tls_name ? o->tls_name : d->host;
    X509_VERIFY_PARAM *param = SSL_get0_param(d->ssl);
    if (is_address(name)) {
        X509_VERIFY_PARAM_set1_ip_asc(param, name);
    } else {
        X509_VERIFY_PARAM_set1_host(param, name, 0);
        SSL_set_tlsext_host_name(d->ssl, name);
    }
    static const unsigned char h2[] = {2, 'h', '2'};
    SSL_set_alpn_protos(d->ssl, h2, sizeof h2);
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int rc = SSL_connect(d->ssl);
        if (rc == 1) break;
        if (tls_again(d, rc)) return tls_failed(d, rc, err);
        int ready = pb__dial_wait(d, false, deadline);
        if (ready < 0) return pb_fail(err, PBAY_CANCELLED, "interrupted");
        if (!ready)
            return pb_fail(err, PBAY_UNAVAILABLE, "%s does not answer in TLS: wrong port?", d->address);
    }
    d->want_write = false;
    const unsigned char *alpn;
    unsigned n;
    SSL_get0_alpn_selected(d->ssl, &alpn, &n);
    if (n != 2 || memcmp(alpn, "h2", 2) != 0)
        return pb_fail(err, PBAY_UNAVAILABLE, "%s speaks TLS but not HTTP/2: wrong port?", d->address);
    return 0;
}

/* ---------------------------------------------------------------------------------------------- bytes */

int pb__dial_open(struct pb_dial *d, const struct pb_grpc_client_options *o, int64_t deadline,
                  struct pb_err *err)
{
    *d = (struct pb_dial){.fd = -1, .wake_fd = o->wake_fd};
    d->address = pb_strdup(o->address);
    int rc = strncmp(o->address, "unix:", 5) ? connect_tcp(d, deadline, err)
                                             : connect_unix(d, o->address + 5, deadline, err);
    if (!rc && o->tls_dir) rc = tls_open(d, o, deadline, err);
    return rc;
}

void pb__dial_free(struct pb_dial *d)
{
    if (d->ssl) SSL_free(d->ssl);
    if (d->ctx) SSL_CTX_free(d->ctx);
    if (d->fd >= 0) close(d->fd);
    pb_free(d->address);
    pb_free(d->host);
    d->fd = -1;
}

long pb__dial_read(struct pb_dial *d, char *p, size_t n, struct pb_err *err)
{
    errno = 0;
    if (d->ssl) {
        ERR_clear_error();
        int rc = SSL_read(d->ssl, p, (int)n);
        d->more = rc > 0;
        if (rc > 0) return rc;
        return tls_again(d, rc) ? tls_failed(d, rc, err) : 0;
    }
    ssize_t rc = read(d->fd, p, n);
    if (rc > 0) return rc;
    if (rc < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (rc == 0) return pb_fail(err, PBAY_UNAVAILABLE, "%s closed the connection", d->address);
    return pb_fail(err, PBAY_UNAVAILABLE, "the connection to %s was lost: %s", d->address, strerror(errno));
}

long pb__dial_write(struct pb_dial *d, const char *p, size_t n, struct pb_err *err)
{
    errno = 0;
    if (d->ssl) {
        ERR_clear_error();
        int rc = SSL_write(d->ssl, p, (int)(n > READ_MAX ? READ_MAX : n));
        if (rc > 0) return rc;
        return tls_again(d, rc) ? tls_failed(d, rc, err) : 0;
    }
    ssize_t rc = send(d->fd, p, n, MSG_NOSIGNAL);
    if (rc >= 0) return rc;
    if (errno == EAGAIN || errno == EINTR) return 0;
    return pb_fail(err, PBAY_UNAVAILABLE, "the connection to %s was lost: %s", d->address, strerror(errno));
}

/* ---------------------------------------------------------------------------------------------- the client
 */

static int write_some(struct pb_grpc_client *c, struct pb_err *err)
{
    for (;;) {
        if (pb__grpc_client_fill(c, err)) return -1;
        size_t n = c->out.n - c->out_at;
        if (!n) return 0;
        long sent = pb__dial_write(&c->io, c->out.p + c->out_at, n, err);
        if (sent < 0) return -1;
        if (sent == 0) return 0;
        c->out_at += (size_t)sent;
    }
}

static int read_some(struct pb_grpc_client *c, struct pb_err *err)
{
    c->io.more = false;
    long n = pb__dial_read(&c->io, c->read_buf, READ_MAX, err);
    if (n < 0) return -1;
    return n ? pb__grpc_client_feed(c, c->read_buf, (size_t)n, err) : 0;
}

/* Write, wait until the deadline, read, write. 0; 1 woken; -1 with err. */
static int turn(struct pb_grpc_client *c, int64_t deadline, struct pb_err *err)
{
    struct pb_err later;
    int rc = write_some(c, &later);
    if (!rc) {
        int ready = pb__dial_wait(&c->io, c->out.n > c->out_at, deadline);
        if (ready < 0) return 1;
        if (!ready) return 0;
    }
    /* When writing fails the reason may be waiting to be read. */
    bool broken = rc != 0;
    do {
        if (read_some(c, err)) return -1;
    } while (broken && c->io.more);
    if (broken) {
        *err = later;
        return -1;
    }
    return write_some(c, err);
}

int pb_grpc_client_turn(struct pb_grpc_client *c, int64_t timeout_ms)
{
    PB_MAGIC_CHECK(c, PB_GRPC_CLIENT_MAGIC);
    if (c->lost) return -1;
    int64_t deadline = pb__grpc_client_expire(c), now = pb_mono_ns();
    if (timeout_ms >= 0 && timeout_ms < (deadline - now) / PB_MS) deadline = now + timeout_ms * PB_MS;
    struct pb_err err;
    int rc = turn(c, deadline, &err);
    if (rc < 0) {
        pb__grpc_client_lose(c, c->goaway.code ? &c->goaway : &err);
        return -1;
    }
    pb__grpc_client_expire(c);
    return rc;
}

struct pb_grpc_client *pb_grpc_client_open(const struct pb_grpc_client_options *o, struct pb_err *err)
{
    struct pb_grpc_client *c = pb_zalloc(sizeof *c);
    c->magic = PB_GRPC_CLIENT_MAGIC;
    c->max_message = o->max_message;
    c->read_buf = pb_alloc(READ_MAX);
    int64_t ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_MS;
    int64_t deadline = pb_mono_ns() + ms * PB_MS;
    int rc = pb__dial_open(&c->io, o, deadline, err);
    if (!rc) {
        c->authority = pb_strdup(strncmp(o->address, "unix:", 5) ? o->address : "localhost");
        pb__grpc_client_session(c);
    }
    while (!rc && !c->settings) {
        rc = turn(c, deadline, err);
        if (rc > 0)
            rc = pb_fail(err, PBAY_CANCELLED, "interrupted");
        else if (rc < 0 && !c->n_head && err && strstr(err->msg, "closed the connection"))
            rc = pb_fail(
                err, PBAY_UNAVAILABLE, "%s closed the connection without a word: wrong port%s?", o->address,
                o->tls_dir ? ", or is our certificate not accepted" : ", or does it expect TLS (--tls DIR)");
        else if (!rc && !c->settings && pb_mono_ns() >= deadline)
            rc = pb_fail(err, PBAY_UNAVAILABLE, "%s took the connection and says nothing: wrong port?",
                         o->address);
    }
    if (!rc) return c;
    pb_grpc_client_close(c);
    return NULL;
}

void pb_grpc_client_close(struct pb_grpc_client *c)
{
    if (!c) return;
    PB_MAGIC_CHECK(c, PB_GRPC_CLIENT_MAGIC);
    PB_REQUIRE(!c->streams);
    if (c->h2 && !c->lost && c->settings) {
        struct pb_err err;
        int64_t deadline = pb_mono_ns() + CLOSE_MS * PB_MS;
        c->io.wake_fd = -1;
        nghttp2_session_terminate_session(c->h2, NGHTTP2_NO_ERROR);
        while (!write_some(c, &err) && (c->out.n > c->out_at || nghttp2_session_want_write(c->h2)) &&
               pb_mono_ns() < deadline) {
            if (pb__dial_wait(&c->io, true, deadline) <= 0 || read_some(c, &err)) break;
        }
        if (c->io.ssl) SSL_shutdown(c->io.ssl);
    }
    if (c->h2) nghttp2_session_del(c->h2);
    pb__dial_free(&c->io);
    pb_buf_free(&c->out);
    pb_free(c->authority);
    pb_free(c->read_buf);
    pb_free(c);
}
