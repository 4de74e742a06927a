/* SPDX-License-Identifier: MIT */
/*
 * A small gRPC server for tests with clients that are not ours: prints its port, ends on SIGTERM after a
 * drain. Usage: grpc_peer_server [--tls DIR] [--address HOST:PORT] [--max-message N]
 *
 * /test.Echo/Unary   answers the message; metadata "fail: CODE" ends with that code and "say" as its message
 * /test.Echo/Stream  answers each message as it comes; at half-close OK. Metadata: "hold" never gives windows
 * back, "late" only at half-close; "gzip" compresses replies; "count" answers nothing but the bytes at the
 * end; "silent" never ends /test.Echo/Flood   answers N messages of M bytes ("N M" is the message), as the
 * client takes them /test.Echo/Meta    answers what the metadata "show" and "show-bin" hold, as header and
 * trailer too /test.Echo/Peak    answers the greatest resident size so far, in KiB
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/grpc_server.h"
#include "net/listener.h"
#include "net/tls.h"

static struct pb_loop *g_loop;
static struct pb_grpc_server *g_server;
static struct pb_listener *g_listener;
static uint64_t g_open, g_cancelled, g_expired;

struct state {
    bool hold, late, count, silent;
    size_t credit, bytes;
    unsigned long flood_n, flood_size;
};

static void opened(struct pb_grpc_call *call, void *user)
{
    struct state *s = pb_zalloc(sizeof *s);
    (void)user;
    g_open++;
    s->hold = pb_grpc_metadata(call, "hold").p;
    s->late = pb_grpc_metadata(call, "late").p;
    s->count = pb_grpc_metadata(call, "count").p;
    s->silent = pb_grpc_metadata(call, "silent").p;
    if (pb_grpc_metadata(call, "gzip").p) pb_grpc_reply_compress(call);
    pb_grpc_set_user(call, s);
}

static void closed(struct pb_grpc_call *call, enum pb_grpc_closed reason)
{
    g_open--;
    g_cancelled += reason == PB_GRPC_CANCELLED;
    g_expired += reason == PB_GRPC_EXPIRED;
    pb_free(pb_grpc_user(call));
}

static void send_bytes(struct pb_grpc_call *call, pbay_str m)
{
    struct pb_buf b = pb_grpc_buf(call);
    pb_buf_str(&b, m);
    pb_grpc_send(call, &b);
}

static void unary(struct pb_grpc_call *call, pbay_str request)
{
    pbay_str fail = pb_grpc_metadata(call, "fail"), say = pb_grpc_metadata(call, "say");
    int64_t code;
    if (pb_grpc_metadata(call, "silent").p) return;
    if (fail.p && pb_parse_i64(fail, &code)) {
        pb_grpc_finish(call, (int32_t)code, say.p ? say : PB_STR("100% na\xc3\xafve\nfailure"), NULL, 0);
        return;
    }
    struct pb_buf b = pb_grpc_buf(call);
    pb_buf_str(&b, request);
    pb_grpc_reply(call, &b);
}

static void stream_message(struct pb_grpc_call *call, pbay_str m, size_t credit)
{
    struct state *s = pb_grpc_user(call);
    s->bytes += m.n;
    if (s->hold || s->late)
        s->credit += credit;
    else
        pb_grpc_consumed(call, credit);
    if (!s->count) send_bytes(call, m);
}

static void stream_half_close(struct pb_grpc_call *call)
{
    struct state *s = pb_grpc_user(call);
    if (s->late) pb_grpc_consumed(call, s->credit);
    if (s->silent) return;
    if (s->count) {
        struct pb_buf b = pb_grpc_buf(call);
        pb_buf_printf(&b, "%zu", s->bytes);
        pb_grpc_send(call, &b);
    }
    pb_grpc_finish(call, PBAY_OK, pb_str(NULL, 0), NULL, 0);
}

static void flood_more(struct pb_grpc_call *call)
{
    struct state *s = pb_grpc_user(call);
    while (s->flood_n) {
        struct pb_buf b = pb_grpc_buf(call);
        memset(pb_buf_room(&b, s->flood_size), 'x', s->flood_size);
        b.n += s->flood_size;
        s->flood_n--;
        if (!pb_grpc_send(call, &b)) return;
    }
    pb_grpc_finish(call, PBAY_OK, pb_str(NULL, 0), NULL, 0);
}

static void flood(struct pb_grpc_call *call, pbay_str request)
{
    struct state *s = pb_grpc_user(call);
    char text[64];
    snprintf(text, sizeof text, "%.*s", PB_FMT(request));
    if (sscanf(text, "%lu %lu", &s->flood_n, &s->flood_size) != 2) {
        pb_grpc_finish(call, PBAY_INVALID_ARGUMENT, PB_STR("N M"), NULL, 0);
        return;
    }
    flood_more(call);
}

static void meta(struct pb_grpc_call *call, pbay_str request)
{
    (void)request;
    struct pb_buf bin = {0}, b = pb_grpc_buf(call);
    struct pb_err err;
    pbay_str show = pb_grpc_metadata(call, "show");
    if (pb_grpc_metadata_bin(call, "show-bin", &bin, &err) < 0) {
        pb_grpc_fail(call, &err);
    } else {
        pb_grpc_reply_header(call, PB_STR("shown"), show);
        pb_grpc_reply_header(call, PB_STR("shown-bin"), pb_buf_view(&bin));
        const pbay_header trailers[] = {{PB_STR("end"), PB_STR("last")},
                                        {PB_STR("end-bin"), pb_buf_view(&bin)},
                                        {PB_STR("subject-bin"), pb_grpc_tls_subject(call)},
                                        {PB_STR("peer"), pb_grpc_peer(call)}};
        pb_buf_printf(&b, "%zu %zu", show.n, bin.n);
        pb_grpc_send(call, &b);
        pb_grpc_finish(call, PBAY_OK, pb_str(NULL, 0), trailers, PB_COUNTOF(trailers));
    }
    pb_buf_free(&b);
    pb_buf_free(&bin);
}

static void peak(struct pb_grpc_call *call, pbay_str request)
{
    (void)request;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    struct pb_buf b = pb_grpc_buf(call);
    pb_buf_printf(&b, "%ld %llu %llu %llu", u.ru_maxrss, (unsigned long long)g_open,
                  (unsigned long long)g_cancelled, (unsigned long long)g_expired);
    pb_grpc_reply(call, &b);
}

static void take(void *user, struct pb_conn *conn)
{
    pb_grpc_server_take(user, conn);
}

static void on_drained(void *user)
{
    (void)user;
    pb_loop_stop(g_loop);
}

static void on_term(void *user, int signum)
{
    (void)user;
    (void)signum;
    pb_listener_close(g_listener);
    g_listener = NULL;
    pb_grpc_server_drain(g_server, on_drained, NULL);
}

static void flush_log(void *user)
{
    (void)user;
    pb_log_flush();
}

int main(int argc, char **argv)
{
    struct pb_err err;
    struct pb_grpc_options o = {0};
    const char *address = "127.0.0.1:0", *dir = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--tls"))
            dir = argv[i + 1];
        else if (!strcmp(argv[i], "--address"))
            address = argv[i + 1];
        else if (!strcmp(argv[i], "--max-message"))
            o.max_message = strtoul(argv[i + 1], NULL, 10);
        else
            return 2;
    }
    static const struct pb_grpc_ops echo = {.opened = opened, .closed = closed, .unary = unary};
    static const struct pb_grpc_ops stream = {
        .opened = opened, .message = stream_message, .half_close = stream_half_close, .closed = closed};
    static const struct pb_grpc_ops floods = {
        .opened = opened, .closed = closed, .unary = flood, .writable = flood_more};
    static const struct pb_grpc_ops metas = {.unary = meta};
    static const struct pb_grpc_ops peaks = {.unary = peak};
    signal(SIGPIPE, SIG_IGN);
    g_loop = pb_loop_new(&err);
    if (!g_loop) return 1;
    struct pb_turn_hook hook = {.fn = flush_log};
    pb_loop_hook_add(g_loop, &hook);
    g_server = pb_grpc_server_new(g_loop, "sse", &o);
    pb_grpc_server_method(g_server, "/test.Echo/Unary", &echo, NULL);
    pb_grpc_server_method(g_server, "/test.Echo/Stream", &stream, NULL);
    /* Function 0 of tests/bench/sse_load, which echoes its rows. */
    pb_grpc_server_method(g_server, "/qlik.sse.Connector/ExecuteFunction", &stream, NULL);
    pb_grpc_server_method(g_server, "/test.Echo/Flood", &floods, NULL);
    pb_grpc_server_method(g_server, "/test.Echo/Meta", &metas, NULL);
    pb_grpc_server_method(g_server, "/test.Echo/Peak", &peaks, NULL);
    struct pb_tls *tls = NULL;
    if (dir && !(tls = pb_tls_server_from_dir(dir, PB_ALPN_H2, &err))) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    const struct pb_listener_options lo = {.name = "sse",
                                           .address = address,
                                           .protocol = "gRPC (HTTP/2)",
                                           .tls = tls,
                                           .take = take,
                                           .user = g_server};
    g_listener = pb_listener_open(g_loop, &lo, &err);
    if (!g_listener) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    struct pb_signal *term = pb_signal_open(g_loop, SIGTERM, on_term, NULL, &err);
    printf("%u\n", pb_listener_port(g_listener));
    fflush(stdout);
    pb_loop_run(g_loop);
    pb_signal_close(term);
    pb_listener_close(g_listener);
    pb_grpc_server_free(g_server);
    pb_tls_unref(tls);
    pb_loop_free(g_loop);
    return 0;
}
