/* SPDX-License-Identifier: MIT */
/*
 * What the boundary costs: one function, called where it may stand.
 *
 *     plugin_bench --plugin bench_rows.so --program patchbay [--rows N] [--flight N] [--calls N] [--rounds N]
 *                  [--ways a,b]
 *
 * inside   compiled into this program, on the host's own builders, called directly
 * plugin   bench_rows.so, loaded as the gateway loads it: the tables of the SDK, a handle, a deadline, the
 * visit
 * process  the same with `isolation = process`
 * socket   no function at all: a byte there and back over a socket pair, to a process that reads and writes
 *
 * All ways answer on a later step of the loop, as the gateway wants it, and their answers are looked at.
 * `flight` calls are under way at a time. The ways take turns within a round, so that a busy machine is busy
 * for all. Prints a line of JSON per way and round; cpu_ns is of this process and of those that it started.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "data/config.h"
#include "plugin/operation.h"
#include "plugin/probe.h"
#include "plugin/registry.h"
#include "sum.h"

enum { FLIGHT_MAX = 1024 };

struct bench;

/* One place for a call; the next call takes it when the one before has ended. */
struct place {
    struct bench *b;
    struct pb_defer answer; /* inside: the step on which it answers */
    struct pbay_builder *out;
};

struct way {
    const char *name;
    void (*open)(struct bench *b);
    void (*call)(struct place *p);
    void (*close)(struct bench *b);
    bool waits; /* for another process */
};

struct bench {
    const char *plugin, *program;
    uint32_t rows, flight, calls, rounds;
    const struct way *way;
    struct pb_loop *loop;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_connector *connector;
    struct pb_op *op;
    struct pb_op_context *ctx;
    struct pbay_builder *of; /* the input: one column of numbers */
    const pbay_batch *in;
    int socket;
    pid_t echo;
    double wanted;
    uint32_t begun, ended;
    struct place places[FLIGHT_MAX];
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "plugin_bench: %s: %s\n", what, why);
    exit(2);
}

/* A call has ended with these rows, which are ours. The next one begins. */
static void ended(struct place *p, struct pbay_builder *out, const pbay_batch *batch)
{
    struct bench *b = p->b;
    if (!batch || batch->n_rows != b->rows || pbay_batch_col(batch, 0)->num[b->rows - 1] != b->wanted)
        die(b->way->name, "another answer than the function's");
    pb_builder_unref(out);
    b->ended++;
    if (b->begun < b->calls) {
        b->begun++;
        b->way->call(p);
    }
}

/* ------------------------------------------------------------------------------------------------ inside */

static void answer(void *user)
{
    struct place *p = user;
    struct pbay_builder *out = p->out;
    struct pb_err err;
    ended(p, out, pb_builder_seal(out, &err));
}

static void call_inside(struct place *p)
{
    const pbay_batch *in = p->b->in;
    struct pbay_builder *out = p->out = pb_builder_get();
    pb_builder_column(out, (pbay_str){NULL, 0}, PBAY_NUM);
    struct pb_col *col = &out->cols[0];
    pb_col_reserve(col, in->n_rows);
    sum_rows(col->num, in);
    col->n = in->n_rows;
    pb_loop_defer(p->b->loop, &p->answer);
}

static void nothing(struct bench *b)
{
    (void)b;
}

/* ------------------------------------------------------------------------------------------------ plugin */

static void on_complete(void *user, struct pb_op_answer *a)
{
    if (a->err) die("plugin", a->err->msg);
    ended(user, a->out, a->batch);
}

static void call_plugin(struct place *p)
{
    struct bench *b = p->b;
    struct pb_err err;
    if (pb_op_submit(b->op, b->ctx, 1, b->in, b->of, 0, b->rows, on_complete, p, NULL, &err))
        die("submit", err.msg);
}

/* [connector "bench"] plugin = bench_rows, isolation = process */
static struct pbay_config *isolated(const struct pb_plugin *p)
{
    struct pb_ini_entry entries[] = {
        {.key = PB_STR("plugin"), .value = PB_STR("bench_rows"), .quoted = true},
        {.key = PB_STR("isolation"), .value = PB_STR("process"), .quoted = true},
    };
    const struct pb_ini doc = {.file = "plugin_bench"};
    const struct pb_ini_section sec = {.doc = &doc, .kind = PB_STR("connector"), .entries = entries, .n = 2};
    const pbay_option_table *tables[] = {&pb_connector_options, &p->descriptor.options};
    const struct pb_config_env env = {.dir = "/"};
    struct pbay_config *cfg;
    struct pb_err err;
    if (pb_config_make(&sec, tables, 2, &env, &cfg, &err)) die("config", err.msg);
    return cfg;
}

static void open_connector(struct bench *b, bool apart)
{
    struct pb_err err;
    b->registry = pb_registry_new(&b->env, false);
    if (pb_registry_add(b->registry, b->plugin, &err)) die(b->plugin, err.msg);
    struct pb_connector_spec spec = {.name = PB_STR("bench")};
    spec.plugin = pb_registry_find(b->registry, PB_STR("bench_rows"), &err);
    if (!spec.plugin) die(b->plugin, err.msg);
    if (apart) spec.config = isolated(spec.plugin);
    b->connector = pb_connector_new(b->registry, &spec, &err);
    if (!b->connector || pb_connector_start(b->connector, &err)) die("connector", err.msg);
    static const pbay_field x = {{"x", 1}, PBAY_NUM, 0};
    const pbay_function_info info = {.struct_size = sizeof info,
                                     .name = {"sum", 3},
                                     .sends = &x,
                                     .answers = &x,
                                     .n_sends = 1,
                                     .n_answers = 1,
                                     .max_rows = b->rows};
    b->op = pb_op_bind(b->connector, PB_STR("sum"), &info, &err);
    if (!b->op) die("bind", err.msg);
    b->ctx = pb_op_context_new(&(struct pb_op_context_info){.deadline_ns = PB_NO_DEADLINE});
}

static void open_plugin(struct bench *b)
{
    open_connector(b, false);
}

static void open_process(struct bench *b)
{
    if (!b->program) die("--program", "is needed for a process");
    pb_probe_program(b->program);
    open_connector(b, true);
}

static void on_closed(void *user, bool clean)
{
    if (!clean) die("plugin", "it does not close");
    *(bool *)user = true;
}

static void close_plugin(struct bench *b)
{
    bool closed = false;
    pb_op_context_unref(b->ctx);
    pb_op_unbind(b->op);
    pb_connector_close(b->connector, 5000, on_closed, &closed);
    while (!closed) pb_loop_turn(b->loop, false);
    pb_registry_free(b->registry);
}

/* ------------------------------------------------------------------------------------------------ socket */

static void open_socket(struct bench *b)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) die("socketpair", strerror(errno));
    b->echo = fork();
    if (b->echo == 0) {
        char c;
        close(ends[0]);
        while (read(ends[1], &c, 1) == 1 && write(ends[1], &c, 1) == 1) {
        }
        _exit(0);
    }
    close(ends[1]);
    b->socket = ends[0];
}

/* One after the other, whatever `flight` says. */
static void call_socket(struct place *p)
{
    struct bench *b = p->b;
    for (char c = 'x';;) {
        if (write(b->socket, &c, 1) != 1 || read(b->socket, &c, 1) != 1) die("socket", strerror(errno));
        b->ended++;
        if (b->begun == b->calls) return;
        b->begun++;
    }
}

static void close_socket(struct bench *b)
{
    close(b->socket);
    waitpid(b->echo, NULL, 0);
}

/* ------------------------------------------------------------------------------------------------ rounds */

static const struct way ways[] = {
    {"inside", nothing, call_inside, nothing, false},
    {"plugin", open_plugin, call_plugin, close_plugin, false},
    {"process", open_process, call_plugin, close_plugin, true},
    {"socket", open_socket, call_socket, close_socket, false},
};
enum { WAYS = sizeof ways / sizeof *ways };

static int64_t cpu_ns(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * PB_SEC +
           ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void run(struct bench *b, uint32_t calls)
{
    b->calls = calls;
    b->begun = b->ended = 0;
    for (uint32_t i = 0; i < b->flight && b->begun < calls; i++) {
        b->begun++;
        b->way->call(&b->places[i]);
    }
    while (b->ended < calls) pb_loop_turn(b->loop, b->way->waits);
}

/* A way is opened for its turn and closed behind it: the CPU time of a child counts once it has ended. */
static void measure(struct bench *b, uint32_t round)
{
    const uint32_t calls = b->calls;
    int64_t child = cpu_ns(RUSAGE_CHILDREN);
    b->way->open(b);
    run(b, calls / 10 + 1); /* warm */
    int64_t wall = pb_mono_ns(), cpu = cpu_ns(RUSAGE_SELF);
    run(b, calls);
    wall = pb_mono_ns() - wall;
    cpu = cpu_ns(RUSAGE_SELF) - cpu;
    b->way->close(b);
    child = cpu_ns(RUSAGE_CHILDREN) - child;
    printf("{\"way\": \"%s\", \"round\": %u, \"rows\": %u, \"flight\": %u, \"calls\": %u, \"wall_ns\": %lld, "
           "\"cpu_ns\": %lld, \"child_cpu_ns\": %lld}\n",
           b->way->name, round, b->rows, b->flight, calls, (long long)wall, (long long)cpu, (long long)child);
    fflush(stdout);
}

static uint32_t number(const char *s, uint32_t most)
{
    char *end;
    unsigned long v = strtoul(s, &end, 10);
    if (*end || !v || v > most) die(s, "not a number that it takes");
    return (uint32_t)v;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"plugin", 1, NULL, 'p'}, {"rows", 1, NULL, 'r'}, {"flight", 1, NULL, 'f'},  {"calls", 1, NULL, 'c'},
        {"rounds", 1, NULL, 'n'}, {"ways", 1, NULL, 'w'}, {"program", 1, NULL, 'g'}, {0}};
    static struct bench b = {.rows = 1, .flight = 1, .calls = 200000, .rounds = 5};
    const char *wanted = NULL;
    struct pb_err err;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 'p': b.plugin = optarg; break;
        case 'r': b.rows = number(optarg, 1000000); break;
        case 'f': b.flight = number(optarg, FLIGHT_MAX); break;
        case 'c': b.calls = number(optarg, 1000000000); break;
        case 'n': b.rounds = number(optarg, 1000); break;
        case 'w': wanted = optarg; break;
        case 'g': b.program = optarg; break;
        default: return 2;
        }
    if (!b.plugin) die("--plugin", "is needed");
    b.loop = pb_loop_new(&err);
    if (!b.loop) die("loop", err.msg);
    b.env = (struct pb_plugin_env){.loop = b.loop, .metrics = pb_metrics_new()};
    b.of = pb_builder_new();
    pb_builder_column(b.of, PB_STR("x"), PBAY_NUM);
    for (uint32_t i = 0; i < b.rows; i++) pb_put_num(b.of, 0, b.wanted = i + 0.5);
    b.in = pb_builder_seal(b.of, &err);
    for (uint32_t i = 0; i < FLIGHT_MAX; i++) {
        b.places[i].b = &b;
        b.places[i].answer = pb_defer_make(answer, &b.places[i]);
    }
    const uint32_t calls = b.calls;
    for (uint32_t round = 0; round < b.rounds; round++)
        for (int i = 0; i < WAYS; i++) {
            if (wanted && !strstr(wanted, ways[i].name)) continue;
            b.way = &ways[i];
            b.calls = calls;
            measure(&b, round);
        }
    pb_builder_unref(b.of);
    pb_op_pool_free();
    pb_builder_pool_free();
    pb_loop_free(b.loop);
    pb_metrics_free((struct pb_metrics *)b.env.metrics);
    return 0;
}
