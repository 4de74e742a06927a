/* SPDX-License-Identifier: MIT */
/*
 * curl's multi interface on the loop: its sockets, its timer, and the ends of its transfers.
 *
 * Two rules keep it simple. curl is entered from the loop alone, never from one of its own callbacks: its
 * "now" timer and the reading of ended transfers are nodes of the run queue. And what users are told is told
 * from there too.
 */
#include "net/http_client.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/http_client_priv.h"

enum { MAGIC = 0x48545043 };

static void maybe_finish_closing(struct pb_http_client *c);

/* ------------------------------------------------------------------------------------------------ sockets */

static void sock_freed(uv_handle_t *h)
{
    struct pb_fetch_sock *s = h->data;
    struct pb_http_client *c = s->client;
    pb_free(s);
    c->open_polls--;
    maybe_finish_closing(c);
}

static void on_socket_event(uv_poll_t *poll, int status, int events);

static struct pb_fetch_sock *sock_new(struct pb_http_client *c, curl_socket_t fd)
{
    struct pb_fetch_sock *s = pb_zalloc(sizeof *s);
    s->client = c;
    s->fd = fd;
    int rc = uv_poll_init(pb_loop_uv(c->loop), &s->poll, fd);
    if (rc) {
        pb_free(s);
        return NULL;
    }
    s->poll.data = s;
    c->open_polls++;
    if ((uint32_t)fd >= c->n_socks) {
        uint32_t n = (uint32_t)fd + 64;
        c->socks = pb_array_grow(c->socks, n, sizeof(struct pb_fetch_sock *));
        memset(c->socks + c->n_socks, 0, (n - c->n_socks) * sizeof(struct pb_fetch_sock *));
        c->n_socks = n;
    }
    c->socks[fd] = s;
    return s;
}

static struct pb_fetch_sock *sock_of(struct pb_http_client *c, curl_socket_t fd)
{
    return fd >= 0 && (uint32_t)fd < c->n_socks ? c->socks[fd] : NULL;
}

/* The descriptor's number may be another socket's before the poll handle has closed: the table forgets it at
 * once. */
static void sock_drop(struct pb_fetch_sock *s)
{
    s->client->socks[s->fd] = NULL;
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, sock_freed);
}

static int events_of(int want)
{
    return (want & CURL_POLL_IN ? UV_READABLE : 0) | (want & CURL_POLL_OUT ? UV_WRITABLE : 0);
}

static void sock_watch(struct pb_fetch_sock *s, int events)
{
    if (events == s->polling) return;
    s->polling = events;
    if (events)
        uv_poll_start(&s->poll, events, on_socket_event);
    else
        uv_poll_stop(&s->poll);
}

curl_socket_t pb__fetch_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *addr)
{
    struct pb_fetch_exchange *ex = user;
    /* A proxy stands where the operator says; what is behind it, it looks up itself. */
    if (purpose == CURLSOCKTYPE_IPCXN && !(ex->flags & PB_FETCH_METADATA) && !ex->proxy &&
        !pb_http_address_allowed(&addr->addr)) {
        ex->refused = true;
        return CURL_SOCKET_BAD;
    }
    int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, addr->protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    /* Should another socket of this number have been closed behind our back, its handle watches nothing. */
    struct pb_fetch_sock *stale = sock_of(ex->client, fd);
    if (stale) sock_drop(stale);
    return fd;
}

int pb__fetch_close_socket(void *user, curl_socket_t fd)
{
    struct pb_fetch_sock *s = sock_of(user, fd);
    if (s) sock_drop(s);
    return close(fd);
}

static int on_watch(CURL *easy, curl_socket_t fd, int what, void *user, void *sockp)
{
    struct pb_http_client *c = user;
    struct pb_fetch_exchange *ex = NULL;
    (void)sockp;
    struct pb_fetch_sock *s = sock_of(c, fd);
    if (what == CURL_POLL_REMOVE) {
        if (!s) return 0;
        s->want = 0;
        if (!s->served)
            sock_drop(s);
        else if (s->polling != UV_READABLE) /* at rest, only its closing is of interest */
            sock_watch(s, 0);
        return 0;
    }
    if (!s) s = sock_new(c, fd);
    if (!s) return -1;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&ex);
    if (ex && ex->sent) s->served = true;
    s->want = what;
    sock_watch(s, events_of(what));
    return 0;
}

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
    struct pb_fetch_sock *s = poll->data;
    struct pb_http_client *c = s->client;
    if (!s->want) {
        /* A connection at rest has been closed from the other side; curl sees so when it looks for one. */
        sock_watch(s, 0);
        return;
    }
    if (status < 0) {
        /* uv has stopped watching. Reading and writing give curl the reason, which CURL_CSELECT_ERR would
         * hide. */
        s->polling = 0;
        events = events_of(s->want);
    }
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    int running = 0;
    curl_multi_socket_action(c->multi, s->fd, flags, &running);
    /* s lives at least until uv has called back from closing it. */
    if (status < 0 && sock_of(c, s->fd) == s && s->want) sock_watch(s, events_of(s->want));
    pb_loop_defer(c->loop, &c->reap);
}

/* ------------------------------------------------------------------------------------------------ timer */

static void set_timer(struct pb_http_client *c, long ms)
{
    if (ms == 0) {
        pb_loop_defer(c->loop, &c->kick);
        return;
    }
    pb_defer_cancel(&c->kick);
    if (ms < 0)
        pb_timer_cancel(&c->timer);
    else /* by the clock and not by the start of the turn, which curl does not know */
        pb_timer_set_at(c->loop, &c->timer, pb_mono_ns() + ms * PB_MS);
}

/* Called from within curl: it must not be entered here. */
static int on_timer_wanted(CURLM *multi, long ms, void *user)
{
    (void)multi;
    set_timer(user, ms);
    return 0;
}

static void on_kick(void *user)
{
    struct pb_http_client *c = user;
    int running = 0;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    pb_loop_defer(c->loop, &c->reap);
    if (pb_timer_is_set(&c->timer) || pb_defer_queued(&c->kick)) return;
    /* curl says a time once: what it found too early must be asked for again. */
    long ms = -1;
    curl_multi_timeout(c->multi, &ms);
    if (ms >= 0) set_timer(c, ms);
}

/* ------------------------------------------------------------------------------------------------ telling */

/* What came since the last time. The user may cancel in any of these calls. */
static void tell(struct pb_fetch_exchange *ex, bool last)
{
    if (ex->head_ready && !ex->head_told) {
        ex->head_told = true;
        if (ex->events.on_head) {
            struct pb_fetch_reply r = pb__fetch_reply(ex);
            r.body = pb_str(NULL, 0);
            ex->events.on_head(ex->user, ex->handle, &r);
            if (ex->over && !last) return;
        }
    }
    if ((ex->flags & PB_FETCH_STREAM_REPLY) && ex->body.n) {
        pbay_str piece = pb_buf_view(&ex->body);
        ex->uncredited += piece.n;
        ex->body.n = 0; /* nothing is appended before the next entry into curl */
        ex->events.on_data(ex->user, ex->handle, piece);
        if (ex->over && !last) return;
    }
    if (!last && ex->tell_writable && ex->up.n - ex->up_at <= PB_FETCH_KEEP) {
        ex->tell_writable = false;
        if (ex->events.on_writable) ex->events.on_writable(ex->user, ex->handle);
    }
}

static void on_deliver(void *user)
{
    struct pb_fetch_exchange *ex = user;
    tell(ex, false);
    if (ex->over || !ex->unpause) return;
    ex->unpause = false;
    if (ex->up.n > ex->up_at || ex->body_finished) ex->paused_out = false;
    if (ex->body.n + ex->uncredited < PB_FETCH_WINDOW) ex->paused_in = false;
    /* May call on_body at once, which may pause again. */
    bool in = ex->paused_in, out = ex->paused_out;
    curl_easy_pause(ex->easy, (in ? CURLPAUSE_RECV : 0) | (out ? CURLPAUSE_SEND : 0));
    pb_loop_defer(ex->client->loop, &ex->client->kick);
}

static void exchange_free(struct pb_fetch_exchange *ex)
{
    curl_easy_cleanup(ex->easy);
    pb_buf_free(&ex->url);
    pb_buf_free(&ex->lines);
    pb_buf_free(&ex->up);
    pb_buf_free(&ex->head);
    pb_buf_free(&ex->body);
    pb_free(ex->slots);
    pb_free(ex->head_lines);
    pb_free(ex->reply_headers);
    pb_free(ex);
}

static void exchange_recycle(struct pb_fetch_exchange *ex)
{
    struct pb_http_client *c = ex->client;
    if (c->closing || c->n_idle >= PB_FETCH_IDLE_MAX) {
        exchange_free(ex);
        return;
    }
    pb_buf_reset(&ex->url, PB_FETCH_KEEP);
    pb_buf_reset(&ex->lines, PB_FETCH_KEEP);
    pb_buf_reset(&ex->up, PB_FETCH_KEEP);
    pb_buf_reset(&ex->head, PB_FETCH_KEEP);
    pb_buf_reset(&ex->body, PB_FETCH_KEEP);
    ex->next = c->idle;
    c->idle = ex;
    c->n_idle++;
}

/* Out of curl's hands; on_done follows from the run queue. */
static void finish(struct pb_fetch_exchange *ex)
{
    struct pb_http_client *c = ex->client;
    if (ex->in_multi) curl_multi_remove_handle(c->multi, ex->easy);
    ex->in_multi = false;
    ex->over = true;
    pb_defer_cancel(&ex->deliver);
    if (ex->live_prev)
        ex->live_prev->live_next = ex->live_next;
    else
        c->live = ex->live_next;
    if (ex->live_next) ex->live_next->live_prev = ex->live_prev;
    ex->next = NULL;
    *c->finished_tail = ex;
    c->finished_tail = &ex->next;
    pb_loop_defer(c->loop, &c->reap);
}

static void on_reap(void *user)
{
    struct pb_http_client *c = user;
    int left = 0;
    for (CURLMsg *m = c->multi ? curl_multi_info_read(c->multi, &left) : NULL; m;
         m = curl_multi_info_read(c->multi, &left)) {
        if (m->msg != CURLMSG_DONE) continue;
        struct pb_fetch_exchange *ex = NULL;
        CURLcode rc = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&ex);
        pb__fetch_outcome(ex, rc);
        finish(ex);
    }
    while (c->finished) {
        struct pb_fetch_exchange *ex = c->finished;
        c->finished = ex->next;
        if (!c->finished) c->finished_tail = &c->finished;
        if (ex->err.code != PBAY_CANCELLED) tell(ex, true);
        struct pb_fetch_reply r = pb__fetch_reply(ex);
        uint64_t handle = ex->handle;
        pb_handle_release(&c->handles, handle);
        if (ex->events.on_done) ex->events.on_done(ex->user, handle, &r);
        exchange_recycle(ex);
    }
    maybe_finish_closing(c);
}

/* ------------------------------------------------------------------------------------------------ exchanges
 */

static struct pb_fetch_exchange *exchange_get(struct pb_http_client *c)
{
    struct pb_fetch_exchange *ex = c->idle;
    if (!ex) {
        ex = pb_zalloc(sizeof *ex);
        ex->client = c;
        ex->easy = curl_easy_init();
        if (!ex->easy) pb_fatal("out of memory: an HTTP request");
        return ex;
    }
    c->idle = ex->next;
    c->n_idle--;
    ex->next = NULL;
    ex->over = ex->head_ready = ex->head_told = ex->tell_writable = false;
    ex->sent = ex->resent = ex->too_large = ex->refused = false;
    ex->paused_in = ex->paused_out = ex->unpause = ex->body_finished = false;
    ex->n_head_lines = 0;
    ex->up_at = ex->uncredited = 0;
    return ex;
}

uint64_t pb_fetch_send(struct pb_http_client *c, const struct pb_fetch_request *request,
                       const struct pb_fetch_events *events, void *user, struct pb_err *err)
{
    PB_MAGIC_CHECK(c, MAGIC);
    if (c->closing) {
        pb_fail(err, PBAY_UNAVAILABLE, "the HTTP client is closing");
        return 0;
    }
    struct pb_fetch_exchange *ex = exchange_get(c);
    if (pb__fetch_prepare(ex, request, err) < 0) {
        exchange_recycle(ex);
        return 0;
    }
    ex->events = *events;
    ex->user = user;
    ex->deliver = pb_defer_make(on_deliver, ex);
    pb_err_clear(&ex->err);
    CURLMcode rc = curl_multi_add_handle(c->multi, ex->easy);
    if (rc != CURLM_OK) {
        pb_fail(err, PBAY_INTERNAL, "libcurl does not take a request: %s", curl_multi_strerror(rc));
        exchange_recycle(ex);
        return 0;
    }
    ex->in_multi = true;
    ex->handle = pb_handle_new(&c->handles, ex);
    ex->live_prev = NULL;
    ex->live_next = c->live;
    if (c->live) c->live->live_prev = ex;
    c->live = ex;
    return ex->handle;
}

void pb_fetch_credit(struct pb_http_client *c, uint64_t exchange, size_t n)
{
    struct pb_fetch_exchange *ex = pb_handle_get(&c->handles, exchange);
    if (!ex || ex->over) return;
    ex->uncredited -= n < ex->uncredited ? n : ex->uncredited;
    if (ex->paused_in && ex->body.n + ex->uncredited <= PB_FETCH_WINDOW / 2) {
        ex->unpause = true;
        pb__fetch_tell(ex);
    }
}

static void cancel(struct pb_fetch_exchange *ex)
{
    pb_fail(&ex->err, PBAY_CANCELLED, "cancelled");
    ex->err.effect = ex->sent ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE;
    finish(ex);
}

void pb_fetch_cancel(struct pb_http_client *c, uint64_t exchange)
{
    struct pb_fetch_exchange *ex = pb_handle_get(&c->handles, exchange);
    if (ex && !ex->over) cancel(ex);
}

uint32_t pb_fetch_in_flight(const struct pb_http_client *c)
{
    return c->handles.live;
}

/* ------------------------------------------------------------------------------------------------ life */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) pb_fatal("libcurl does not start");
}

struct pb_http_client *pb_http_client_new(struct pb_loop *loop, const struct pb_http_client_conf *conf,
                                          struct pb_err *err)
{
    pthread_once(&once, global_init);
    CURLM *multi = curl_multi_init();
    if (!multi) {
        pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "libcurl gives no multi handle");
        return NULL;
    }
    const struct pb_outgoing_conf variables = {0};
    struct pb_outgoing *own = conf->outgoing ? NULL : pb_outgoing_new(&variables, err);
    if (!own && !conf->outgoing) {
        curl_multi_cleanup(multi);
        return NULL;
    }
    struct pb_http_client *c = pb_zalloc(sizeof *c);
    c->magic = MAGIC;
    c->loop = loop;
    c->multi = multi;
    c->timer.fn = on_kick;
    c->timer.user = c;
    c->kick = pb_defer_make(on_kick, c);
    c->reap = pb_defer_make(on_reap, c);
    c->finished_tail = &c->finished;
    c->own = own;
    c->outgoing = own ? own : conf->outgoing;
    c->user_agent = pb_strdup(conf->user_agent ? conf->user_agent : "patchbay/" PB_VERSION);
    long total = conf->max_connections ? (long)conf->max_connections : 1024;
    long per_host = conf->max_host_connections ? (long)conf->max_host_connections : 256;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_watch);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, total);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, total);
    return c;
}

static void maybe_finish_closing(struct pb_http_client *c)
{
    if (!c->closing || c->live || c->finished) return;
    if (c->multi) {
        CURLM *multi = c->multi;
        c->multi = NULL;
        while (c->idle) {
            struct pb_fetch_exchange *ex = c->idle;
            c->idle = ex->next;
            exchange_free(ex);
        }
        curl_multi_cleanup(multi);
        pb_timer_cancel(&c->timer);
        pb_defer_cancel(&c->kick);
        for (uint32_t i = 0; i < c->n_socks; i++)
            if (c->socks[i]) sock_drop(c->socks[i]);
    }
    if (c->open_polls) return;
    pb_defer_cancel(&c->reap);
    void (*closed)(void *) = c->closed;
    void *user = c->closed_user;
    for (size_t i = 0; i < c->warned.n; i++) pb_free(c->warned.entries[i].value);
    pb_map_free(&c->warned);
    pb_handles_free(&c->handles);
    pb_free(c->socks);
    pb_outgoing_free(c->own);
    pb_free(c->user_agent);
    pb_free(c);
    if (closed) closed(user);
}

void pb_http_client_close(struct pb_http_client *c, void (*closed)(void *user), void *user)
{
    PB_MAGIC_CHECK(c, MAGIC);
    c->closing = true;
    c->closed = closed;
    c->closed_user = user;
    while (c->live) cancel(c->live);
    pb_loop_defer(c->loop, &c->reap);
}
