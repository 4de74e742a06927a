/* SPDX-License-Identifier: MIT */
/*
 * Functions and plugins' routes over plain HTTP: the whole path from socket to a plugin of the test's own and
 * back. The gateway's half runs in a child; requests are written byte by byte here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>

#include "base/log.h"
#include "endpoints/catalog.h"
#include "endpoints/http_door.h"
#include "endpoints/routes.h"
#include "flow/call.h"
#include "loop/loop.h"
#include "net/listener.h"
#include "net/zip.h"
#include "plugin/connector.h"
#include "plugin/operation.h"
#include "plugin/registry.h"

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

/* ------------------------------------------------------------------------------------------ the plugin */

static struct {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_request_1 *request;
    pbay_request held;
} P;

static int32_t create(const pbay_host *host, const pbay_config *cfg, void **self, pbay_result *why)
{
    (void)cfg;
    (void)why;
    P.host = host;
    P.batch = host->service(host, PBAY_SVC_BATCH);
    P.call = host->service(host, PBAY_SVC_CALL);
    P.request = host->service(host, PBAY_SVC_REQUEST);
    *self = &P;
    return P.batch && P.call && P.request ? PBAY_OK : PBAY_INTERNAL;
}

static void destroy(void *self)
{
    (void)self;
}

static int32_t bind_function(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    (void)self;
    (void)info;
    (void)why;
    *bound = &P;
    return PBAY_OK;
}

static void unbind_function(void *self, void *bound)
{
    (void)self;
    (void)bound;
}

/* "word" and n: the word n times; n = 13 fails alone, n = 99 fails all, "slow down" is throttling. */
static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    (void)self;
    (void)bound;
    (void)why;
    pbay_result r = PBAY_RESULT_OK;
    pbay_builder *b = P.batch->create(P.host);
    uint32_t c = P.batch->add_column(b, STR("w"), PBAY_STR);
    const pbay_column *word = pbay_batch_col(in, 0), *n = pbay_batch_col(in, 1);
    for (uint32_t i = 0; i < in->n_rows; i++) {
        char text[256] = "";
        pbay_str w = pbay_cell_text(word, i);
        if (n->num[i] == 99) {
            r.code = PBAY_RESOURCE_EXHAUSTED;
            r.retry_after_ms = 2500;
            r.message = STR("the model \"x\" is busy");
            P.batch->free(b);
            P.call->complete(call, &r, NULL);
            return PBAY_OK;
        }
        if (n->num[i] == 13) {
            P.batch->null(b, c);
            P.batch->row_error(b, i, PBAY_OUT_OF_RANGE, STR("not \"13\""));
            continue;
        }
        for (int k = 0; !pbay_cell_null(n, i) && k < (int)n->num[i] && k < 20; k++) strncat(text, w.p, w.n);
        P.batch->text(b, c, (pbay_str){text, strlen(text)});
    }
    P.call->complete(call, &r, b);
    return PBAY_OK;
}

static void cancel(void *self, void *bound, pbay_call call)
{
    (void)self;
    (void)bound;
    (void)call;
}

static void answer(pbay_request req, int32_t status, const char *what, pbay_str more)
{
    char text[512];
    const pbay_header headers[] = {{STR("content-type"), STR("text/plain")},
                                   {STR("x-evil"), STR("a\r\nb: c")}};
    int n = snprintf(text, sizeof text, "%s%.*s", what, (int)more.n, more.p ? more.p : "");
    P.request->respond(req, status, headers, 2, (pbay_str){text, (size_t)n});
}

enum { ECHO, GZ, SNIFF, OWN, HOST, STAR, STAR_DEEP, DEEP, LATE, HELD, WRONG };

static void handle(void *self, uint32_t route, pbay_request req, const pbay_request_info *info)
{
    (void)self;
    char text[256];
    switch (route) {
    case OWN:
        if (P.host->service && P.request->accept(req, STR("someone")) != PBAY_OK) break;
        answer(req, 200, "accepted ", info->principal);
        return;
    case STAR: answer(req, 200, "star ", info->suffix); return;
    case STAR_DEEP: answer(req, 200, "star below a ", info->suffix); return;
    case DEEP: answer(req, 200, "a/b", info->suffix); return;
    case LATE:
        P.held = req; /* answered by /held, too late */
        return;
    case HELD:
        answer(P.held, 200, "late", STR(""));
        answer(P.held, 200, "twice", STR(""));
        answer(req, 200, "held", STR(""));
        return;
    case WRONG: answer(req, 99, "", STR("")); return;
    default: break;
    }
    snprintf(text, sizeof text, "%.*s %.*s %u ", (int)info->method.n, info->method.p, (int)info->target.n,
             info->target.p, info->n_headers);
    answer(req, 201, text, info->body);
}

#define ROUTE(method, suffix, auth, body, max)                                                               \
    {                                                                                                        \
        method, suffix, "test", auth, body, max                                                              \
    }
static const pbay_route table[] = {
    [ECHO] = ROUTE("POST|PUT", "/echo", PBAY_AUTH_NONE, PBAY_BODY_RAW, 100),
    [GZ] = ROUTE("POST", "/gz", PBAY_AUTH_NONE, PBAY_BODY_DECODED, 100),
    [SNIFF] = ROUTE("POST", "/sniff", PBAY_AUTH_NONE, PBAY_BODY_SNIFFED, 100),
    [OWN] = ROUTE("POST", "/own", PBAY_AUTH_OWN, PBAY_BODY_RAW, 0),
    [HOST] = ROUTE("POST", "/host", PBAY_AUTH_HOST, PBAY_BODY_RAW, 0),
    [STAR] = ROUTE("GET", "/*", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0),
    [STAR_DEEP] = ROUTE("GET", "/a/*", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0),
    [DEEP] = ROUTE("GET", "/a/b", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0),
    [LATE] = ROUTE("POST", "/late", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0),
    [HELD] = ROUTE("POST", "/held", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0),
    [WRONG] = ROUTE("POST", "/wrong", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0),
};
static const pbay_routes_1 routes_ext = {.struct_size = sizeof routes_ext,
                                         .n_routes = PB_COUNTOF(table),
                                         .routes = table,
                                         .route_stride = sizeof *table,
                                         .handle = handle};
static const pbay_operation ops[] = {{"repeat", "test", PBAY_SHAPE_MAP, 0, {NULL, 0, sizeof(pbay_option)}}};
static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                           .n_operations = 1,
                                           .operations = ops,
                                           .operation_stride = sizeof *ops,
                                           .bind = bind_function,
                                           .unbind = unbind_function,
                                           .submit = submit,
                                           .cancel = cancel};

static const void *extension(const char *id)
{
    return !strcmp(id, PBAY_EXT_FUNCTIONS) ? (const void *)&functions
           : !strcmp(id, PBAY_EXT_ROUTES)  ? &routes_ext
                                           : NULL;
}

static const pbay_entry *entry(void)
{
    static const pbay_descriptor descriptor = {.struct_size = sizeof descriptor,
                                               .name = "web",
                                               .version = "1",
                                               .vendor = "tests",
                                               .license = "MIT",
                                               .summary = "routes and a function",
                                               .options = {NULL, 0, sizeof(pbay_option)}};
    static const pbay_entry e = {PBAY_MAGIC, sizeof e, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0,        &descriptor,
                                 create,     NULL,     NULL,           destroy,        extension};
    return &e;
}

/* ------------------------------------------------------------------------------------------ the gateway, in
 * a child */

static struct pb_loop *loop;
static struct pb_http_server *server;
static struct pb_listener *listener;

static void drained(void *user)
{
    (void)user;
    pb_loop_stop(loop);
}

static struct pb_timer timer;

/* The parent closes its end when it is done. */
static void poll_parent(void *user)
{
    int *fd = user;
    char c;
    if (recv(*fd, &c, 1, MSG_DONTWAIT) != 0) {
        pb_timer_set(loop, &timer, 20);
        return;
    }
    pb_listener_close(listener);
    listener = NULL;
    pb_http_server_drain(server, drained, NULL);
}

static void closed(void *user, bool clean)
{
    *(int *)user = clean ? 1 : 2;
}

static void take(void *user, struct pb_conn *conn)
{
    pb_http_server_take(user, conn);
}

static int serve(int parent)
{
    static const struct pb_script_field params[] = {{{"word", 4}, PBAY_STR, false},
                                                    {{"n", 1}, PBAY_NUM, false}};
    struct pb_err err;
    pb_log_level(NULL, PB_LOG_OFF);
    loop = pb_loop_new(&err);
    struct pb_metrics *metrics = pb_metrics_new();
    struct pb_plugin_env env = {.loop = loop, .metrics = metrics, .requests = pb_routes_service()};
    struct pb_registry *registry = pb_registry_new(&env, false);
    if (pb_registry_adopt(registry, entry, &err)) return 2;
    const struct pb_connector_spec spec = {.name = PB_STR("web"),
                                           .plugin = pb_registry_find(registry, PB_STR("web"), &err)};
    struct pb_connector *connector = pb_connector_new(registry, &spec, &err);
    if (!connector || pb_connector_start(connector, &err)) return 3;
    struct pb_flow *flow = pb_flow_new(loop);
    struct pb_function_counters counters;
    pb_counters_init(&counters, metrics, PB_STR("repeat it"));
    struct pb_lane lane = {.limit = 4};
    struct pb_function fn = {.magic = PB_FUNCTION_MAGIC,
                             .id = 7,
                             .name = PB_STR("repeat it"),
                             .doc = PB_STR("says it \"again\""),
                             .shape = PBAY_SHAPE_MAP,
                             .params = params,
                             .n_params = 2,
                             .returns = params,
                             .n_returns = 1,
                             .lane = &lane,
                             .max_rows = 3,
                             .attempts = 1,
                             .counters = &counters};
    const pbay_function_info info = {.struct_size = sizeof info, .name = fn.name, .max_rows = fn.max_rows};
    fn.op = pb_op_bind(connector, PB_STR("repeat"), &info, &err);
    struct pb_catalog catalog = {.name = PB_STR("test")};
    pb_catalog_add(&catalog, &fn);
    struct pb_routes *routes = pb_routes_new(loop, &(struct pb_routes_options){.timeout_ms = 200});
    if (!fn.op || pb_routes_add_all(routes, registry, &err)) return 4;
    if (pb_routes_add(routes, PB_STR("/hook"), connector, PB_STR("/echo"), NULL, &err)) return 5;
    if (!pb_routes_add(routes, PB_STR("/hook"), connector, PB_STR("/echo"), NULL, &err)) return 6; /* twice */
    if (!pb_routes_add(routes, PB_STR("/other"), connector, PB_STR("/none"), NULL, &err)) return 7;
    struct pb_http_door *door = pb_http_door_new(loop, &catalog, flow, routes, NULL);
    server = pb_http_server_new(loop, "http", NULL, &pb_http_door_ops, door);
    const struct pb_listener_options o = {
        .name = "http", .address = "127.0.0.1:0", .protocol = "HTTP/1.1", .take = take, .user = server};
    listener = pb_listener_open(loop, &o, &err);
    uint16_t port = pb_listener_port(listener);
    if (write(parent, &port, sizeof port) != sizeof port) return 8;
    timer = (struct pb_timer){.fn = poll_parent, .user = &parent};
    pb_timer_set(loop, &timer, 20);
    pb_loop_run(loop);
    int over = 0;
    pb_http_server_free(server);
    pb_http_door_free(door);
    pb_op_unbind(fn.op);
    pb_connector_close(connector, 1000, closed, &over);
    while (!over) pb_loop_turn(loop, true);
    pb_routes_free(routes);
    pb_catalog_free(&catalog);
    pb_flow_free(flow);
    pb_registry_free(registry);
    pb_loop_free(loop);
    pb_metrics_free(metrics);
    pb_builder_pool_free();
    pb_op_pool_free();
    return over == 1 ? 0 : 9;
}

/* ------------------------------------------------------------------------------------------ the client */

static pid_t child;
static int link_fd;
static uint16_t port;
static struct pb_buf reply;

static int start(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) return -1;
    child = fork();
    if (child == 0) {
        close(fds[0]);
        exit(serve(fds[1]));
    }
    close(fds[1]);
    link_fd = fds[0];
    return read(link_fd, &port, sizeof port) == sizeof port ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    int status;
    close(link_fd);
    pb_buf_free(&reply);
    if (waitpid(child, &status, 0) != child) return -1;
    if (status) fprintf(stderr, "the gateway ended with status %x\n", status);
    return status ? -1 : 0;
}

/* One request on a connection of its own; the reply up to its end, NUL-terminated. */
static const char *ask(const char *line, const char *headers, pbay_str body)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    struct pb_buf b = {0};
    pb_buf_printf(&b, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", line,
                  headers, body.n);
    pb_buf_str(&b, body);
    assert_int_equal(write(fd, b.p, b.n), b.n);
    pb_buf_free(&b);
    reply.n = 0;
    ssize_t n;
    while ((n = read(fd, pb_buf_room(&reply, 4096), 4096)) > 0) reply.n += (size_t)n;
    close(fd);
    pb_buf_ch(&reply, 0);
    return reply.p;
}

#define JSON "Content-Type: application/json; charset=utf-8\r\n"

static void expect(const char *got, int status, const char *body)
{
    const char *end = strstr(got, "\r\n\r\n");
    assert_non_null(end);
    if (atoi(got + 9) != status || strcmp(end + 4, body) != 0) fail_msg("%s", got);
}

static void test_rows(void **state)
{
    (void)state;
    const char *fn = "POST /functions/repeat%20it";
    expect(ask(fn, JSON,
               PB_STR("{\"rows\":[[\"a\",1],[\"b\",2],[\"\\u00e9\\n\",\"3\"],[\"d\",null],[\"e\",5]]}")),
           200, "{\"rows\":[[\"a\"],[\"bb\"],[\"\xc3\xa9\\n\xc3\xa9\\n\xc3\xa9\\n\"],[\"\"],[\"eeeee\"]]}");
    expect(ask(fn, JSON, PB_STR("[{\"n\":2,\"word\":\"x\"},{\"word\":\"y\",\"n\":1}]")), 200,
           "{\"rows\":[[\"xx\"],[\"y\"]]}");
    expect(ask(fn, JSON, PB_STR("[{\"n\":2,\"word\":\"x\",\"more\":[{}]}]")), 400,
           "{\"error\":{\"code\":\"INVALID_ARGUMENT\",\"message\":\"row 1, offset 19: there is no column "
           "\\\"more\\\"; there are: word, n\"}}\n");
    expect(ask(fn, JSON, PB_STR(" [[\"x\",2]]")), 200, "{\"rows\":[[\"xx\"]]}");
    expect(ask(fn, JSON, PB_STR("{\"rows\":[]}")), 200, "{\"rows\":[]}");
    /* Numbered over all batches of three. */
    expect(ask(fn, JSON, PB_STR("[[\"a\",1],[\"b\",13],[\"c\",1],[\"d\",1],[\"e\",13]]")), 200,
           "{\"rows\":[[\"a\"],[null],[\"c\"],[\"d\"],[null]],\"errors\":["
           "{\"row\":1,\"code\":\"OUT_OF_RANGE\",\"message\":\"not \\\"13\\\"\"},"
           "{\"row\":4,\"code\":\"OUT_OF_RANGE\",\"message\":\"not \\\"13\\\"\"}]}");
}

static void test_function_errors(void **state)
{
    (void)state;
    const char *fn = "POST /functions/repeat%20it", *got;
    got = ask(fn, JSON, PB_STR("[[\"a\",1],[\"a\",99]]"));
    expect(got, 429,
           "{\"error\":{\"code\":\"RESOURCE_EXHAUSTED\",\"message\":\"the model \\\"x\\\" is busy\"}}\n");
    got = ask(fn, JSON, PB_STR("[[\"a\",1],[\"a\",99]]"));
    assert_non_null(strstr(got, "etry-"));
    assert_non_null(strcasestr(got, "retry-after: 3\r\n"));
    got = ask(fn, JSON, PB_STR("{\"rows\":[[\"a\",\"x\"]]}"));
    assert_int_equal(atoi(got + 9), 400);
    assert_non_null(strstr(got, "\"code\":\"INVALID_ARGUMENT\""));
    assert_non_null(strstr(got, "row 1"));
    assert_int_equal(atoi(ask(fn, JSON, PB_STR("{\"rows\":[[\"a\"]]}")) + 9), 400);
    assert_int_equal(atoi(ask(fn, JSON, PB_STR("{\"data\":[]}")) + 9), 400);
    assert_int_equal(atoi(ask(fn, JSON, PB_STR("")) + 9), 400);
    assert_int_equal(atoi(ask(fn, "", PB_STR("[]")) + 9), 415);
    assert_int_equal(atoi(ask(fn, JSON "Content-Encoding: br\r\n", PB_STR("[]")) + 9), 415);
    assert_int_equal(atoi(ask(fn, JSON "Content-Encoding: gzip\r\n", PB_STR("[]")) + 9), 400);
    got = ask("POST /functions/nobody", JSON, PB_STR("[]"));
    assert_int_equal(atoi(got + 9), 404);
    assert_non_null(strstr(got, "no function \\\"nobody\\\"; there are: repeat it (7)"));
    assert_int_equal(atoi(ask("POST /functions/%zz", JSON, PB_STR("[]")) + 9), 400);
    got = ask("GET /functions/repeat%20it", "", PB_STR(""));
    assert_int_equal(atoi(got + 9), 405);
    assert_non_null(strcasestr(got, "\r\nallow: POST\r\n"));
    expect(ask("GET /functions", "", PB_STR("")), 200,
           "{\"functions\":[\n{\"name\":\"repeat "
           "it\",\"id\":7,\"shape\":\"map\",\"params\":[{\"name\":\"word\",\"kind\":"
           "\"str\"},{\"name\":\"n\",\"kind\":\"num\"}],\"returns\":[{\"name\":\"word\",\"kind\":\"str\"}],"
           "\"doc\":\"says "
           "it \\\"again\\\"\"}\n]}\n");
    got = ask("DELETE /functions", "", PB_STR(""));
    assert_non_null(strcasestr(got, "\r\nallow: GET, HEAD\r\n"));
    assert_int_equal(atoi(ask("GET /", "", PB_STR("")) + 9), 404);
    assert_int_equal(atoi(ask("GET /functionsx", "", PB_STR("")) + 9), 404);
}

static void test_routes(void **state)
{
    (void)state;
    const char *got = ask("POST /web/echo?a=%20b", "X-One: 1\r\n", PB_STR("body"));
    expect(got, 201, "POST /web/echo?a=%20b 4 body");
    assert_null(strstr(got, "x-evil"));
    expect(ask("PUT /hook", "", PB_STR("")), 201, "PUT /hook 3 ");
    got = ask("PATCH /web/echo", "", PB_STR(""));
    assert_int_equal(atoi(got + 9), 405);
    assert_non_null(strcasestr(got, "\r\nallow: POST, PUT, GET\r\n"));
    char big[101];
    memset(big, 'b', sizeof big);
    assert_int_equal(atoi(ask("POST /web/echo", "", pb_str(big, 101)) + 9), 413);
    assert_int_equal(atoi(ask("POST /web/echo", "", pb_str(big, 100)) + 9), 201);
    assert_int_equal(atoi(ask("POST /web/wrong", "", PB_STR("")) + 9), 500);
    /* The longest pattern wins, one without a star first. */
    expect(ask("GET /web/x/y%20z", "", PB_STR("")), 200, "star x/y z");
    expect(ask("GET /web/a/c/d", "", PB_STR("")), 200, "star below a c/d");
    expect(ask("GET /web/a/b", "", PB_STR("")), 200, "a/b");
    expect(ask("GET /web/%61/b", "", PB_STR("")), 200, "a/b");
    assert_int_equal(atoi(ask("GET /web/a/%2e%2e/b", "", PB_STR("")) + 9), 400);
    assert_int_equal(atoi(ask("GET /web/%00", "", PB_STR("")) + 9), 400);
    assert_int_equal(atoi(ask("GET /web", "", PB_STR("")) + 9), 404);
}

static void test_bodies(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_buf gz = {0}, bomb = {0};
    char big[101];
    memset(big, 'b', sizeof big);
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, -1, PB_STR("text"), &gz, &err), 0);
    assert_int_equal(pb_deflate(PB_ZIP_GZIP, -1, pb_str(big, 101), &bomb, &err), 0);
    const char *coding = "Content-Encoding: gzip\r\n";
    expect(ask("POST /web/gz", coding, pb_buf_view(&gz)), 201, "POST /web/gz 4 text");
    expect(ask("POST /web/gz", "", PB_STR("text")), 201, "POST /web/gz 3 text");
    assert_int_equal(atoi(ask("POST /web/gz", coding, PB_STR("text")) + 9), 400);
    assert_int_equal(atoi(ask("POST /web/gz", coding, pb_buf_view(&bomb)) + 9), 413);
    assert_int_equal(atoi(ask("POST /web/gz", "Content-Encoding: br\r\n", PB_STR("text")) + 9), 415);
    expect(ask("POST /web/sniff", "", pb_buf_view(&gz)), 201, "POST /web/sniff 3 text");
    expect(ask("POST /web/sniff", coding, PB_STR("text")), 201, "POST /web/sniff 4 text");
    pb_buf_free(&gz);
    pb_buf_free(&bomb);
}

static void test_identity_and_deadline(void **state)
{
    (void)state;
    expect(ask("POST /web/own", "", PB_STR("")), 200, "accepted someone");
    assert_int_equal(atoi(ask("POST /web/host", "", PB_STR("")) + 9), 401);
    const char *got = ask("POST /web/late", "", PB_STR(""));
    assert_int_equal(atoi(got + 9), 504);
    assert_non_null(strstr(got, "connector \\\"web\\\" did not answer in time"));
    expect(ask("POST /web/held", "", PB_STR("")), 200, "held");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_function_errors),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_identity_and_deadline),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
