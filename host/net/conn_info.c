/* SPDX-License-Identifier: MIT */
/* Who is there, and the warnings for those who came to the wrong door. */
#include "net/conn_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "net/h2.h"

void pb__conn_name_peer(struct pb_conn *c)
{
    struct sockaddr_storage a;
    int n = sizeof a;
    char host[48] = "";
    strcpy(c->peer, "unix");
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&a, &n)) return;
    if (a.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a;
        uv_ip4_name(in, host, sizeof host);
        snprintf(c->peer, sizeof c->peer, "%s:%u", host, ntohs(in->sin_port));
    } else if (a.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a;
        uv_ip6_name(in, host, sizeof host);
        const char *name = strncmp(host, "::ffff:", 7) == 0 && strchr(host, '.') ? host + 7 : NULL;
        if (name)
            snprintf(c->peer, sizeof c->peer, "%s:%u", name, ntohs(in->sin6_port));
        else
            snprintf(c->peer, sizeof c->peer, "[%s]:%u", host, ntohs(in->sin6_port));
    }
}

pbay_str pb_conn_peer(const struct pb_conn *c)
{
    return pb_str_c(c->peer);
}

pbay_str pb_conn_tls_subject(const struct pb_conn *c)
{
    return c->tls ? pb_tls_peer_subject(c->tls) : pb_str(NULL, 0);
}

pbay_str pb_conn_alpn(const struct pb_conn *c)
{
    return c->tls ? pb_tls_agreed_alpn(c->tls) : pb_str(NULL, 0);
}

bool pb_conn_is_tls(const struct pb_conn *c)
{
    return c->tls != NULL;
}

const char *pb_conn_listener(const struct pb_conn *c)
{
    return c->listener;
}

struct pb_loop *pb_conn_loop(const struct pb_conn *c)
{
    return c->loop;
}

bool pb_conn_may_warn(struct pb_warnings *w, unsigned most, int64_t *unsaid)
{
    int64_t now = pb_mono_ns();
    if (!w->since_ns || now - w->since_ns >= PB_SEC) {
        w->since_ns = now;
        w->n = 0;
    }
    if (w->n++ >= most) {
        w->unsaid++;
        return false;
    }
    *unsaid = w->unsaid;
    w->unsaid = 0;
    return true;
}

/* Of the wrong protocol and of TLS, both of which a client repeats that is configured wrongly. */
static _Thread_local struct pb_warnings t_warnings;

void pb_conn_wrong_protocol(const struct pb_conn *c, const char *came, const char *advice)
{
    int64_t unsaid = 0;
    if (!pb_conn_may_warn(&t_warnings, 1, &unsaid)) return;
    pb_log(PB_LOG_WARN, "net", "wrong protocol", PB_V("peer", pb_conn_peer(c)), PB_S("listener", c->listener),
           PB_S("expected", c->protocol), PB_S("tls", c->tls ? "yes" : "no"), PB_S("came", came),
           PB_S("advice", advice), PB_I("unsaid_before", unsaid));
}

static bool looks_like_http1(const char *p, size_t n)
{
    static const char *const methods[] = {"GET ",    "POST ",    "PUT ",   "HEAD ",
                                          "DELETE ", "OPTIONS ", "PATCH ", "CONNECT "};
    for (size_t i = 0; i < PB_COUNTOF(methods); i++) {
        size_t m = strlen(methods[i]);
        if (memcmp(p, methods[i], n < m ? n : m) == 0) return true;
    }
    return false;
}

void pb__conn_plain_on_tls(struct pb_conn *c, const char *p, size_t n)
{
    if (n >= 3 && pb_h2_is_preface(p, n)) {
        pb_conn_wrong_protocol(
            c, "HTTP/2 without TLS",
            "this listener has a tls_dir: give the client its certificates (in Qlik: the folder with "
            "root_cert.pem, sse_client_cert.pem and sse_client_key.pem), or remove tls_dir here. Qlik "
            "shows this as error code 14");
    } else if (looks_like_http1(p, n)) {
        pb_conn_wrong_protocol(c, "HTTP/1.1 without TLS",
                               "this listener speaks TLS: use https, and a port that speaks HTTP");
        static const char answer[] =
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            "Content-Length: 31\r\n\r\nThis port speaks TLS, not HTTP\r\n";
        uv_buf_t b = uv_buf_init((char *)(uintptr_t)answer, sizeof answer - 1);
        uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
    } else {
        pb_conn_wrong_protocol(c, "bytes that are not TLS", "this listener expects TLS");
    }
}

void pb__conn_tls_failed(struct pb_conn *c, const struct pb_err *err)
{
    int64_t unsaid = 0;
    if (!pb_conn_may_warn(&t_warnings, 1, &unsaid)) return;
    pb_log(PB_LOG_WARN, "net", "TLS failed", PB_V("peer", pb_conn_peer(c)), PB_S("listener", c->listener),
           PB_S("error", err->msg), PB_I("unsaid_before", unsaid));
}
