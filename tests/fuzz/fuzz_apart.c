/* SPDX-License-Identifier: MIT */
/*
 * What a connector's process may write to its worker when it has gone wrong. An input is a description (its
 * first byte is 0), or messages: type, handle, length (2 bytes), body. Each goes through everything that the
 * worker does with it; the process itself is not there, and a call, an action, a poll and a request are held.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "plugin/apart_priv.h"
#include "plugin/describe.h"
#include "plugin/registry.h"
#include "plugin/services.h"

static int32_t accept_it(pbay_request request, pbay_str principal)
{
    return request && principal.n < 1000 ? PBAY_OK : PBAY_UNAUTHENTICATED;
}

static void respond(pbay_request request, int32_t status, const pbay_header *headers, uint32_t n,
                    pbay_str body)
{
    size_t sum = (size_t)request + (size_t)status + body.n;
    for (uint32_t i = 0; i < n; i++) sum += headers[i].name.n + headers[i].value.n;
    if (sum == SIZE_MAX) abort();
}

static const pbay_request_1 requests = {sizeof requests, 0, accept_it, respond};

static struct pb_loop *loop;
static struct pb_plugin_env env;

static void describe(const uint8_t *data, size_t size)
{
    struct pb_plugin *p;
    struct pb_err err;
    struct pb_buf again = {0}, twice = {0};
    if (pb_described(pb_str((const char *)data, size), "fuzz.so", &p, &err)) return;
    /* What was understood says the same of itself. */
    pb_describe(p, &again);
    struct pb_plugin *q;
    if (pb_described(pb_buf_view(&again), "fuzz.so", &q, &err)) abort();
    pb_describe(q, &twice);
    if (!pb_str_eq(pb_buf_view(&again), pb_buf_view(&twice))) abort();
    pb_plugin_free(p);
    pb_plugin_free(q);
    pb_buf_free(&again);
    pb_buf_free(&twice);
}

static void nothing(void *user, uint32_t type, uint64_t handle, pbay_str body)
{
    (void)user, (void)type, (void)handle, (void)body;
}

static void nothing_more(void *user)
{
    (void)user;
}

static void drain(int fd)
{
    char text[65536];
    while (recv(fd, text, sizeof text, MSG_DONTWAIT) > 0) {
    }
}

static void messages(const uint8_t *data, size_t size)
{
    static const struct pb_pipe_fns fns = {nothing, nothing_more};
    static struct pb_apart_page page;
    struct pb_err err;
    int ends[2];
    char name[] = "fuzz";
    struct pb_registry *registry = pb_registry_new(&env, false);
    struct pb_plugin plugin = {.name = "fuzz", .apart = true, .fd = -1};
    struct pb_connector c = {.magic = PB_CONNECTOR_MAGIC, .name = name, .plugin = &plugin, .env = &env};
    struct pb_apart a = {.c = &c, .phase = PB_APART_UP, .page = &page, .page_fd = -1, .incarnation = 1};
    c.host.impl = &c;
    c.registry = registry;
    c.self = &a;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends)) abort();
    a.pipe = pb_pipe_new(loop, ends[0], &fns, &a, &err);
    /* By the ring come whichever bytes. */
    atomic_store(&page.taken[0], 0);
    memcpy(page.rings[1], data, size < 4096 ? size : 4096);
    pb_pipe_share(a.pipe, &page, true);
    for (int kind = 0; kind < PB_HELD_KINDS; kind++) pb_apart_hold(&a, (enum pb_apart_kind)kind, 1, 1);
    while (size >= 4) {
        size_t n = data[2] | (size_t)data[3] << 8;
        if (n > size - 4) n = size - 4;
        pb_apart_hear(&a, data[0], data[1], pb_str((const char *)data + 4, n));
        data += 4 + n;
        size -= 4 + n;
    }
    for (int i = 0; i < 4; i++) {
        drain(ends[1]);
        pb_loop_turn(loop, false);
    }
    while (c.holds) pb_loop_turn(loop, false);
    strcpy(a.last, "ended");
    pb_pipe_close(a.pipe);
    a.pipe = NULL;
    a.stopping = true;
    pb_apart_fail_all(&a);
    for (int kind = 0; kind < PB_HELD_KINDS; kind++) pb_free(a.held[kind].slots);
    while (c.holds) pb_loop_turn(loop, false);
    pb_loop_turn(loop, false);
    pb_service_job_free(&c);
    close(ends[1]);
    pb_registry_free(registry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pb_err err;
    if (!loop) {
        loop = pb_loop_new(&err);
        env = (struct pb_plugin_env){.loop = loop, .metrics = pb_metrics_new(), .requests = &requests};
        pb_log_level(NULL, PB_LOG_OFF);
    }
    if (!size) return 0;
    if (data[0])
        messages(data, size);
    else
        describe(data + 1, size - 1);
    return 0;
}
