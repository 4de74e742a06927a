/* SPDX-License-Identifier: MIT */
/* sse_load: a load client for Qlik SSE servers, on nghttp2 and epoll alone, so that it drives every server
 * alike. Options and modes; the work is in mode_*.c. */
#include "load.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: sse_load calls|bulk|cancel --connect HOST:PORT [options]\n"
    "  calls    keep small calls in flight; with --count N: exactly N calls\n"
    "  bulk     one call of many rows at a time\n"
    "  cancel   give --count calls up half-way, then make one plain call\n"
    "options:\n"
    "  --function ID:WHAT[:COLUMNS[:SUFFIX]]   WHAT: echo, suffix, sum, count, numcount; may be repeated,\n"
    "                        streams then take the functions in turn (default 0:echo)\n"
    "  --connections M       (1)\n"
    "  --streams N           calls in flight over all connections (64)\n"
    "  --rows R              rows in a call (1; bulk: 1000000)\n"
    "  --bundles B           messages the rows of a small call come in (1)\n"
    "  --bundle-bytes N      bulk: size of one message (1048576)\n"
    "  --bundle-rows N       bulk: rows in one message, instead\n"
    "  --warmup S --seconds S --windows K      (1, 2, 5); bulk makes K runs\n"
    "  --count N             calls in all\n"
    "  --pid PID             the server: its CPU time and peak memory are read, children included\n"
    "  --window BYTES        stream window offered to the server (4194304)\n"
    "  --max-frame BYTES     largest frame accepted (16384)\n"
    "  --path PATH           (/qlik.sse.Connector/ExecuteFunction)\n"
    "  --body FILE           write the request body of one call to FILE, print its metadata, and end\n"
    "  --label TEXT --json   one JSON line instead of text\n";

static int write_body(const struct load_options *opt, const char *file)
{
    struct rows_form form;
    char function[64], common[400];
    rows_form_init(&form, &opt->specs[0]);
    rows_function_header(opt->specs[0].function_id, function, sizeof function);
    rows_common_header("bench-app", "UserDirectory=BENCH; UserId=load", opt->rows, common, sizeof common);
    uint8_t *msg = malloc(rows_message_size(&form, opt->rows));
    if (!msg) abort();
    size_t len = rows_message_write(&form, 0, opt->rows, msg);
    FILE *f = fopen(file, "wb");
    bool good = f && fwrite(msg, 1, len, f) == len;
    if (f && fclose(f) != 0) good = false;
    free(msg);
    if (!good) {
        perror(file);
        return 2;
    }
    printf("qlik-functionrequestheader-bin: %s\nqlik-commonrequestheader-bin: %s\n", function, common);
    return 0;
}

static uint64_t number(const char *text, const char *option)
{
    char *end;
    double v = strtod(text, &end); /* so that 1e6 may be written */
    if (*end || v < 0 || v > 1e15) {
        fprintf(stderr, "sse_load: --%s %s: not a number\n", option, text);
        exit(2);
    }
    return (uint64_t)v;
}

enum {
    O_CONNECT = 1,
    O_FUNCTION,
    O_CONNS,
    O_STREAMS,
    O_ROWS,
    O_BUNDLES,
    O_BUNDLE_BYTES,
    O_BUNDLE_ROWS,
    O_WARMUP,
    O_SECONDS,
    O_WINDOWS,
    O_COUNT,
    O_PID,
    O_WINDOW,
    O_MAX_FRAME,
    O_PATH,
    O_BODY,
    O_LABEL,
    O_JSON
};

static const struct option options[] = {{"connect", 1, NULL, O_CONNECT},
                                        {"function", 1, NULL, O_FUNCTION},
                                        {"connections", 1, NULL, O_CONNS},
                                        {"streams", 1, NULL, O_STREAMS},
                                        {"rows", 1, NULL, O_ROWS},
                                        {"bundles", 1, NULL, O_BUNDLES},
                                        {"bundle-bytes", 1, NULL, O_BUNDLE_BYTES},
                                        {"bundle-rows", 1, NULL, O_BUNDLE_ROWS},
                                        {"warmup", 1, NULL, O_WARMUP},
                                        {"seconds", 1, NULL, O_SECONDS},
                                        {"windows", 1, NULL, O_WINDOWS},
                                        {"count", 1, NULL, O_COUNT},
                                        {"pid", 1, NULL, O_PID},
                                        {"window", 1, NULL, O_WINDOW},
                                        {"max-frame", 1, NULL, O_MAX_FRAME},
                                        {"path", 1, NULL, O_PATH},
                                        {"body", 1, NULL, O_BODY},
                                        {"label", 1, NULL, O_LABEL},
                                        {"json", 0, NULL, O_JSON},
                                        {NULL, 0, NULL, 0}};

static const char *g_body;

static bool take_option(struct load_options *opt, int which, const char *name, const char *value)
{
    switch (which) {
    case O_CONNECT: opt->target = value; return true;
    case O_FUNCTION:
        if (opt->spec_count < LOAD_MAX_SPECS && rows_spec_parse(value, &opt->specs[opt->spec_count])) {
            opt->spec_count++;
            return true;
        }
        fprintf(stderr, "sse_load: --function %s: expected ID:WHAT[:COLUMNS[:SUFFIX]]\n", value);
        return false;
    case O_CONNS: opt->connections = (unsigned)number(value, name); return true;
    case O_STREAMS: opt->streams = (unsigned)number(value, name); return true;
    case O_ROWS: opt->rows = number(value, name); return true;
    case O_BUNDLES: opt->bundles = number(value, name); return true;
    case O_BUNDLE_BYTES: opt->bundle_bytes = number(value, name); return true;
    case O_BUNDLE_ROWS: opt->bundle_rows = number(value, name); return true;
    case O_WARMUP: opt->warmup = strtod(value, NULL); return true;
    case O_SECONDS: opt->seconds = strtod(value, NULL); return true;
    case O_WINDOWS: opt->windows = (unsigned)number(value, name); return true;
    case O_COUNT: opt->count = number(value, name); return true;
    case O_PID: opt->pid = (pid_t)number(value, name); return true;
    case O_WINDOW: opt->conn.window = (uint32_t)number(value, name); return true;
    case O_MAX_FRAME: opt->conn.max_frame = (uint32_t)number(value, name); return true;
    case O_PATH: opt->path = value; return true;
    case O_BODY: g_body = value; return true;
    case O_LABEL: opt->label = value; return true;
    case O_JSON: opt->json = true; return true;
    default: return false;
    }
}

int main(int argc, char **argv)
{
    struct load_options opt = {.path = "/qlik.sse.Connector/ExecuteFunction",
                               .connections = 1,
                               .streams = 64,
                               .bundles = 1,
                               .bundle_bytes = 1 << 20,
                               .warmup = 1,
                               .seconds = 2,
                               .windows = 5,
                               .label = "server",
                               .conn = {.window = 4 << 20, .max_frame = 16384}};
    int which, index = 0;
    signal(SIGPIPE, SIG_IGN);
    while ((which = getopt_long(argc, argv, "", options, &index)) != -1)
        if (!take_option(&opt, which, which == '?' ? "" : options[index].name, optarg)) {
            fputs(usage, stderr);
            return 2;
        }
    const char *mode = optind < argc ? argv[optind] : "";
    bool bulk = strcmp(mode, "bulk") == 0;
    if (opt.spec_count == 0) rows_spec_parse("0:echo", &opt.specs[opt.spec_count++]);
    if (opt.rows == 0) opt.rows = bulk ? 1000000 : 1;
    if (g_body) return write_body(&opt, g_body);
    if (!opt.target || opt.connections < 1 || opt.connections > LOAD_MAX_CONNS ||
        opt.streams < opt.connections || opt.bundles < 1 || opt.bundles > opt.rows || opt.windows < 1 ||
        opt.windows > 256) {
        fputs(usage, stderr);
        return 2;
    }
    if (bulk) return mode_bulk(&opt);
    if (strcmp(mode, "calls") == 0) return mode_calls(&opt);
    if (strcmp(mode, "cancel") == 0) {
        if (opt.count == 0) opt.count = 10000;
        return mode_cancel(&opt);
    }
    fputs(usage, stderr);
    return 2;
}
