/* SPDX-License-Identifier: MIT */
/* Sessions: OpenSSL between two buffers. Contexts and their files are in tls_files.c. */
#include "net/tls_priv.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/check.h"
#include "base/mem.h"

/* OpenSSL reads from the bytes being fed and writes to the buffer they are answered into. */
struct pb_tls_session {
    struct pb_tls *tls;
    SSL *ssl;
    const char *in;
    size_t in_n;
    struct pb_buf *out;
    bool ready, eof, failed;
    pbay_str alpn;
    char *subject;
    char *host; /* client: who it is that is talked to */
};

/* ------------------------------------------------------------------------------------------------ BIO */

static int bio_read(BIO *bio, char *p, size_t n, size_t *got)
{
    struct pb_tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!s->in_n) {
        BIO_set_retry_read(bio);
        return 0;
    }
    if (n > s->in_n) n = s->in_n;
    memcpy(p, s->in, n);
    s->in += n;
    s->in_n -= n;
    *got = n;
    return 1;
}

static int bio_write(BIO *bio, const char *p, size_t n, size_t *put)
{
    struct pb_tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!s->out) return 0;
    pb_buf_add(s->out, p, n);
    *put = n;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long larg, void *parg)
{
    (void)bio;
    (void)larg;
    (void)parg;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

BIO_METHOD *pb__tls_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "patchbay");
    if (!m || !BIO_meth_set_read_ex(m, bio_read) || !BIO_meth_set_write_ex(m, bio_write) ||
        !BIO_meth_set_ctrl(m, bio_ctrl))
        pb_fatal("OpenSSL: no BIO method");
    return m;
}

/* ------------------------------------------------------------------------------------------------ session */

static struct pb_tls_session *session_new(struct pb_tls *tls)
{
    struct pb_tls_session *s = pb_zalloc(sizeof *s);
    s->tls = pb_tls_ref(tls);
    s->ssl = SSL_new(tls->ctx);
    BIO *bio = s->ssl ? BIO_new(tls->bio) : NULL;
    if (!bio) pb_fatal("OpenSSL: out of memory");
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    return s;
}

struct pb_tls_session *pb_tls_session_new(struct pb_tls *tls)
{
    PB_REQUIRE(!tls->client);
    struct pb_tls_session *s = session_new(tls);
    SSL_set_accept_state(s->ssl);
    return s;
}

struct pb_tls_session *pb_tls_session_to(struct pb_tls *tls, const char *host, const char *alpn)
{
    PB_REQUIRE(tls->client);
    struct pb_tls_session *s = session_new(tls);
    s->host = pb_strdup(host);
    /* A literal address is looked for among the certificate's addresses and not sent as a name (RFC 6066, 3).
     */
    if (!X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), host)) {
        ERR_clear_error();
        if (!SSL_set1_host(s->ssl, host) || !SSL_set_tlsext_host_name(s->ssl, host))
            pb_fatal("OpenSSL: no room for a host's name");
    }
    if (alpn) {
        unsigned char list[64];
        size_t n = strlen(alpn);
        PB_REQUIRE(n < sizeof list);
        list[0] = (unsigned char)n;
        memcpy(list + 1, alpn, n);
        SSL_set_alpn_protos(s->ssl, list, (unsigned)n + 1);
    }
    SSL_set_connect_state(s->ssl);
    return s;
}

bool pb_tls_is_client(const struct pb_tls_session *s)
{
    return s->tls->client;
}

void pb_tls_session_free(struct pb_tls_session *s)
{
    if (!s) return;
    SSL_free(s->ssl);
    pb_tls_unref(s->tls);
    pb_free(s->subject);
    pb_free(s->host);
    pb_free(s);
}

static void on_ready(struct pb_tls_session *s)
{
    const unsigned char *alpn;
    unsigned n;
    s->ready = true;
    SSL_get0_alpn_selected(s->ssl, &alpn, &n);
    s->alpn = pb_str((const char *)alpn, n);
    X509 *cert = SSL_get0_peer_certificate(s->ssl);
    BIO *text = cert && SSL_get_verify_result(s->ssl) == X509_V_OK ? BIO_new(BIO_s_mem()) : NULL;
    if (!text) return;
    if (X509_NAME_print_ex(text, X509_get_subject_name(cert), 0,
                           XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
        char *p;
        long len = BIO_get_mem_data(text, &p);
        s->subject = pb_strndup(p, len > 0 ? (size_t)len : 0);
    }
    BIO_free(text);
}

/* Alerts that a client sends about our certificate (RFC 8446, 6.2); OpenSSL adds 1000 to their numbers. */
static bool client_refuses(int reason)
{
    enum { ALERT = 1000, BAD_CERTIFICATE = 42, CERTIFICATE_UNKNOWN = 46, UNKNOWN_CA = 48 };
    int alert = reason - ALERT;
    return (alert >= BAD_CERTIFICATE && alert <= CERTIFICATE_UNKNOWN) || alert == UNKNOWN_CA;
}

static int fail(struct pb_tls_session *s, int rc, struct pb_err *err)
{
    if (s->tls->client) {
        s->failed = true;
        return pb__tls_client_failed(s->ssl, rc, s->ready, s->host, err);
    }
    int why = SSL_get_error(s->ssl, rc);
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);
    long verify = SSL_get_verify_result(s->ssl);
    const char *phase = s->ready ? "TLS" : "TLS handshake";
    s->failed = true;
    if (!s->ready && verify != X509_V_OK)
        pb_fail(err, PBAY_UNAUTHENTICATED, "%s: the client's certificate is not accepted: %s", phase,
                X509_verify_cert_error_string(verify));
    else if (ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        pb_fail(err, PBAY_UNAUTHENTICATED,
                "%s: the client sent no certificate and this listener requires one", phase);
    else if (why == SSL_ERROR_SYSCALL)
        pb_fail(err, PBAY_UNAVAILABLE, "%s: the connection ended", phase);
    else if (client_refuses(ERR_GET_REASON(code)))
        pb_fail(err, PBAY_UNAVAILABLE,
                "%s: the client does not accept this listener's certificate (%s): it trusts another "
                "root_cert.pem, or connects by a name that the certificate is not for",
                phase, reason);
    else
        pb_fail(err, PBAY_UNAVAILABLE, "%s: %s", phase, reason ? reason : "failed");
    ERR_clear_error();
    return -1;
}

bool pb_tls_subject_is(pbay_str subject, pbay_str listed)
{
    if (!listed.n) return false;
    if (pb_str_eq(subject, listed)) return true;
    size_t from = 0;
    for (size_t i = 0; i <= subject.n; i++) {
        if (i < subject.n && subject.p[i] == '\\') {
            i++; /* what stands behind it is part of the value: RFC 2253, 2.4 */
            continue;
        }
        if (i < subject.n && subject.p[i] != ',') continue;
        if (pb_str_eq(pb_str(subject.p + from, i - from), listed)) return true;
        from = i + 1;
    }
    return false;
}

static int admit(struct pb_tls_session *s, struct pb_err *err)
{
    const struct pb_tls *tls = s->tls;
    pbay_str subject = pb_tls_peer_subject(s);
    bool in = tls->n_subjects == 0;
    for (size_t i = 0; !in && i < tls->n_subjects; i++)
        in = pb_tls_subject_is(subject, pb_str_c(tls->subjects[i]));
    if (in) return 0;
    s->failed = true;
    return pb_fail(
        err, PBAY_PERMISSION_DENIED,
        "the client's certificate is genuine, but its subject \"%.*s\" is not among those that may connect "
        "(patchbay.ini: clients)",
        PB_FMT(subject));
}

int pb_tls_feed(struct pb_tls_session *s, const char *p, size_t n, struct pb_buf *out,
                bool (*plain)(void *user, const char *p, size_t n), void *user, struct pb_err *err)
{
    if (s->failed) return pb_fail(err, PBAY_UNAVAILABLE, "TLS has failed already");
    s->in = p;
    s->in_n = n;
    s->out = out;
    ERR_clear_error();
    int result = 0;
    if (!s->ready) {
        int rc = SSL_do_handshake(s->ssl);
        if (rc == 1) {
            on_ready(s);
            if (!s->tls->client) result = admit(s, err);
        } else if (SSL_get_error(s->ssl, rc) != SSL_ERROR_WANT_READ)
            result = fail(s, rc, err);
    }
    char buf[16 * 1024]; /* a record */
    while (result == 0 && s->ready && !s->eof) {
        size_t got;
        int rc = SSL_read_ex(s->ssl, buf, sizeof buf, &got);
        if (rc == 1) {
            /* Output of what plain() does goes elsewhere and later. */
            if (!plain(user, buf, got)) break;
            continue;
        }
        int why = SSL_get_error(s->ssl, rc);
        if (why == SSL_ERROR_WANT_READ) break;
        if (why == SSL_ERROR_ZERO_RETURN)
            s->eof = true;
        else
            result = fail(s, rc, err);
    }
    s->in = NULL;
    s->in_n = 0;
    s->out = NULL;
    return result;
}

int pb_tls_write(struct pb_tls_session *s, const char *p, size_t n, struct pb_buf *out, struct pb_err *err)
{
    if (s->failed) return pb_fail(err, PBAY_UNAVAILABLE, "TLS has failed already");
    s->out = out;
    int result = 0;
    ERR_clear_error();
    while (n) {
        size_t put;
        int rc = SSL_write_ex(s->ssl, p, n, &put);
        if (rc != 1) {
            result = fail(s, rc, err);
            break;
        }
        p += put;
        n -= put;
    }
    s->out = NULL;
    return result;
}

void pb_tls_close(struct pb_tls_session *s, struct pb_buf *out)
{
    if (s->failed || !s->ready) return;
    s->out = out;
    ERR_clear_error();
    SSL_shutdown(s->ssl);
    ERR_clear_error();
    s->out = NULL;
}

bool pb_tls_ready(const struct pb_tls_session *s)
{
    return s->ready;
}

bool pb_tls_eof(const struct pb_tls_session *s)
{
    return s->eof;
}

pbay_str pb_tls_agreed_alpn(const struct pb_tls_session *s)
{
    return s->alpn;
}

pbay_str pb_tls_peer_subject(const struct pb_tls_session *s)
{
    return pb_str_c(s->subject);
}
