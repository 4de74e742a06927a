/* SPDX-License-Identifier: MIT */
#include "app/cmd_call.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "app/call_plan.h"
#include "app/call_rows.h"
#include "app/progress.h"
#include "base/clock.h"
#include "net/grpc_client.h"

enum {
    OPT_ADDRESS,
    OPT_TLS,
    OPT_TLS_NAME,
    OPT_COLUMNS,
    OPT_OUTPUT,
    OPT_NAME,
    OPT_USER,
    OPT_APP,
    OPT_KEY,
    OPT_TIMEOUT,
    OPT_ROWS,
    OPT_QUIET,
    N_OPTIONS,
};

static const struct pb_cli_option options[N_OPTIONS] = {
    [OPT_ADDRESS] = {"address", 'a', "HOST:PORT", "the gateway's SSE port; 127.0.0.1:50058 unless given"},
    [OPT_TLS] = {"tls", 0, "DIR",
                 "speak TLS with root_cert.pem, sse_client_cert.pem, sse_client_key.pem of DIR"},
    [OPT_TLS_NAME] = {"tls-name", 0, "NAME", "what the gateway's certificate is for; HOST unless given"},
    [OPT_COLUMNS] = {"columns", 'c', "A,B,C", "columns of the file, in the order of the parameters"},
    [OPT_OUTPUT] = {"output", 'o', "FILE", "where the answer goes; - or nothing: standard output"},
    [OPT_NAME] = {"name", 'n', "COLUMN", "name of the answer's column; the function's unless given"},
    [OPT_USER] = {"user", 'u', "USER", "call as this Qlik user"},
    [OPT_APP] = {"app", 0, "APP", "call as from this Qlik app"},
    [OPT_KEY] = {"key", 'k', "FILE", "show the API key in FILE; admin.token of the state directory is one"},
    [OPT_TIMEOUT] = {"timeout", 't', "TIME", "give up after 30s, 5m, 2h; the whole call"},
    [OPT_ROWS] = {"rows-per-bundle", 0, "N", "rows of a message; as many as make 256 KiB unless given"},
    [OPT_QUIET] = {"quiet", 'q', NULL, "no progress on the terminal"},
};

const struct pb_cli_verb pb_verb_call = {
    .name = "call",
    .args = "FUNCTION [FILE.csv|-]",
    .summary = "Call a function of a running gateway for every row of a CSV file.",
    .text = "The first line of the file names its columns. They are matched to the function's parameters as "
            "--columns\n"
            "says, else by name, else by position. The answer is a CSV too: the file's own columns and the "
            "answer's\n"
            "beside them; for aggregations and tables the answer alone. A file of any size takes bounded "
            "memory.\n"
            "A function without parameters needs no file.\n\n"
            "Exit codes: 0 done; 1 the call failed; 2 usage; 3 cannot connect; 4 the file is wrong, or not "
            "there;\n"
            "130 interrupted.",
    .options = options,
    .n_options = N_OPTIONS,
    .min_args = 1,
    .max_args = 2,
    .run = pb_cmd_call,
};

/* ---------------------------------------------------------------------------------------------- signals */

static int wake[2] = {-1, -1};
static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
    int keep = errno;
    signalled = sig;
    ssize_t rc = write(wake[1], "", 1);
    (void)rc;
    errno = keep;
}

/* The first signal ends the call, the second the program. */
static void catch_signals(void)
{
    signalled = 0;
    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK)) wake[0] = wake[1] = -1;
    struct sigaction ignore = {.sa_handler = SIG_IGN},
                     act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

static void release_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (wake[0] >= 0) {
        close(wake[0]);
        close(wake[1]);
    }
    wake[0] = wake[1] = -1;
}

/* ---------------------------------------------------------------------------------------------- the call */

struct job {
    const char *values[N_OPTIONS];
    const char *function;
    const char *file; /* NULL: none */
    int64_t timeout_ms;
    pbay_str key; /* in the arena; empty: none */

    struct pb_grpc_client *client;
    struct pb_arena arena;
    struct pb_sse_capabilities capabilities;
    const struct pb_sse_function *fn;
    struct pb_call_in in;
    struct pb_csv_file follower;
    struct pb_call_out out;
    pbay_str header; /* raw, in the arena */
    struct pb_progress progress;
};

static int failed(int exit_code, const struct pb_err *err)
{
    if (signalled) return 128 + signalled;
    return pb_cli_fail(&pb_verb_call, exit_code, err, exit_code == PB_EXIT_FAILED);
}

static int read_options(struct job *j)
{
    const char *timeout = j->values[OPT_TIMEOUT], *rows = j->values[OPT_ROWS];
    if (timeout && (!pb_parse_duration(pb_str_c(timeout), &j->timeout_ms) || j->timeout_ms <= 0))
        return pb_cli_usage(&pb_verb_call, "--timeout %s: a time like 30s, 5m or 2h is expected", timeout);
    uint64_t n = 0;
    if (rows && (!pb_parse_u64(pb_str_c(rows), &n) || n == 0 || n > 10000000))
        return pb_cli_usage(&pb_verb_call, "--rows-per-bundle %s: a number from 1 to 10000000 is expected",
                            rows);
    j->in.max_rows = (uint32_t)n;
    return -1;
}

/* The text of the key, which stands alone in its file. */
static int read_key(struct job *j)
{
    const char *path = j->values[OPT_KEY];
    struct pb_err err;
    char text[256];
    if (!path) return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (n < 0) pb_fail(&err, PBAY_NOT_FOUND, "%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    if (n < 0) return failed(PB_EXIT_INPUT, &err);
    pbay_str key = pb_str_trim(pb_str(text, (size_t)n));
    bool good = key.n && n < (ssize_t)sizeof text;
    for (size_t i = 0; good && i < key.n; i++) good = key.p[i] > ' ' && key.p[i] < 0x7f;
    if (good) {
        j->key = pb_arena_str(&j->arena, key);
        return -1;
    }
    pb_fail(&err, PBAY_INVALID_ARGUMENT, "%s: is no file with a key alone in it", path);
    return failed(PB_EXIT_INPUT, &err);
}

/* The file and its header. */
static int open_file(struct job *j)
{
    struct pb_err err;
    pbay_str raw;
    if (!j->file) return -1;
    if (pb_csv_open(&j->in.csv, j->file, true, &err)) return failed(PB_EXIT_INPUT, &err);
    int rc = pb_csv_next(&j->in.csv, &raw, &err);
    if (rc == 0)
        rc = pb_fail(&err, PBAY_INVALID_ARGUMENT, "%s: is empty; a header line is expected", j->in.csv.name);
    if (rc < 0) return failed(PB_EXIT_INPUT, &err);
    j->header = pb_arena_str(&j->arena, raw);
    return -1;
}

static int connect_gateway(struct job *j)
{
    struct pb_err err;
    const struct pb_grpc_client_options o = {
        .address = j->values[OPT_ADDRESS] ? j->values[OPT_ADDRESS] : "127.0.0.1:50058",
        .tls_dir = j->values[OPT_TLS],
        .tls_name = j->values[OPT_TLS_NAME],
        .wake_fd = wake[0],
    };
    j->client = pb_grpc_client_open(&o, &err);
    if (j->client) return -1;
    return failed(err.code == PBAY_INVALID_ARGUMENT ? PB_EXIT_USAGE : PB_EXIT_CONNECT, &err);
}

/* Which function, and which column is which parameter. */
static int plan(struct job *j)
{
    enum { CAPABILITIES_MS = 30000 };
    struct pb_err err;
    struct pb_buf reply = {0};
    int64_t ms = j->timeout_ms && j->timeout_ms < CAPABILITIES_MS ? j->timeout_ms : CAPABILITIES_MS;
    const pbay_header key = {PB_STR("x-api-key"), j->key};
    int rc = pb_grpc_client_unary(j->client, "/qlik.sse.Connector/GetCapabilities", &key, j->key.n ? 1 : 0,
                                  ms, pb_str(NULL, 0), &reply, &err);
    if (!rc) rc = pb_sse_read_capabilities(pb_buf_view(&reply), &j->capabilities, &j->arena, &err);
    pb_buf_free(&reply);
    if (rc) return failed(PB_EXIT_FAILED, &err);
    j->fn = pb_call_find(&j->capabilities, j->function, &err);
    if (!j->fn) return failed(PB_EXIT_FAILED, &err);
    j->in.fn = j->out.fn = j->fn;
    if (!j->file && j->fn->n_params)
        return pb_cli_usage(&pb_verb_call, "%.*s takes %u parameters: give a file, or - for standard input",
                            PB_FMT(j->fn->name), j->fn->n_params);
    if (!j->file) return -1;
    size_t n = j->in.csv.n_fields;
    pbay_str *header = pb_arena_alloc(&j->arena, n * sizeof *header);
    for (size_t i = 0; i < n; i++) header[i] = pb_str_trim(pb_csv_field(&j->in.csv, i));
    j->in.columns = pb_array(j->fn->n_params + 1, sizeof *j->in.columns);
    if (pb_call_columns(j->fn, header, n, j->values[OPT_COLUMNS], j->in.csv.name, j->in.columns, &err))
        return pb_cli_fail(&pb_verb_call, PB_EXIT_USAGE, &err, false);
    return -1;
}

/* The first message, or the end, has come: it is known what kind of answer this is. */
static int begin_answer(struct job *j, struct pb_grpc_stream *s, pbay_str message, struct pb_err *err)
{
    struct pb_buf bytes = {0};
    struct pb_sse_table table;
    struct pb_csv_file *rows = NULL;
    pbay_str raw;
    int rc = pb_grpc_stream_metadata_bin(s, "qlik-tabledescription-bin", &bytes, err);
    bool is_table = rc > 0;
    if (is_table) rc = pb_sse_read_table(pb_buf_view(&bytes), &table, &j->arena, err);
    pb_buf_free(&bytes);
    if (rc < 0) return -1;
    if (j->file) {
        rows = &j->follower;
        pb_csv_follow(rows, &j->in.csv);
        if (pb_csv_next(rows, &raw, err) < 0) return -1;
    }
    return pb_call_out_begin(&j->out, j->header, is_table ? &table : NULL, pb_sse_first_row(message), rows,
                             err);
}

static int take(struct job *j, struct pb_grpc_stream *s, struct pb_err *err)
{
    pbay_str message;
    while (pb_grpc_stream_next(s, &message)) {
        if (!message.n) continue;
        if (!j->out.begun && begin_answer(j, s, message, err)) return -1;
        if (pb_call_out_message(&j->out, message, j->in.n_rows, err)) return -1;
    }
    return 0;
}

static void show(struct job *j)
{
    bool beside = j->out.begun && j->out.beside;
    const struct pb_csv_file *at = beside ? &j->follower : &j->in.csv;
    pb_progress_show(&j->progress, at->taken, j->in.csv.size, beside ? j->out.n_rows : j->in.n_rows);
}

/* Send and take until it is over. Returns the exit code. */
static int stream(struct job *j, struct pb_grpc_stream *s)
{
    enum { AHEAD = 1024 * 1024 };
    struct pb_err err;
    pbay_str message;
    while (!pb_grpc_stream_over(s)) {
        while (!j->in.ended && pb_grpc_stream_unsent(s) < AHEAD && !signalled) {
            int rc = pb_call_in_next(&j->in, &message, &err);
            if (rc < 0) return failed(PB_EXIT_INPUT, &err);
            if (rc) pb_grpc_stream_send(s, message);
            if (j->in.ended) pb_grpc_stream_end(s);
            if (rc && !j->in.csv.seekable)
                break; /* a pipe gives when it likes: look at the answers in between */
        }
        if (signalled) return 128 + signalled;
        if (take(j, s, &err)) return failed(PB_EXIT_FAILED, &err);
        show(j);
        if (pb_grpc_stream_over(s)) break;
        bool more = !j->in.ended && pb_grpc_stream_unsent(s) < AHEAD;
        pb_grpc_client_turn(j->client, more ? 0 : 1000);
    }
    const struct pb_err *status = pb_grpc_stream_status(s);
    if (status->code != PBAY_OK) return failed(PB_EXIT_FAILED, status);
    if (!j->out.begun && begin_answer(j, s, pb_str(NULL, 0), &err)) return failed(PB_EXIT_FAILED, &err);
    if (j->out.beside && (!j->in.ended || j->out.n_rows != j->in.n_rows)) {
        pb_fail(&err, PBAY_INTERNAL, "the gateway has answered %" PRIu64 " rows of %" PRIu64 "%s",
                j->out.n_rows, j->in.n_rows, j->in.ended ? "" : " and more");
        return failed(PB_EXIT_FAILED, &err);
    }
    if (pb_call_out_commit(&j->out, &err)) return failed(PB_EXIT_FAILED, &err);
    return PB_EXIT_OK;
}

static int call(struct job *j)
{
    struct pb_buf function = {0}, common = {0};
    pb_sse_write_call(&(struct pb_sse_call){.function_id = j->fn->id}, &function);
    pb_sse_write_common(&(struct pb_sse_common){.app_id = pb_str_c(j->values[OPT_APP]),
                                                .user_id = pb_str_c(j->values[OPT_USER])},
                        &common);
    const pbay_header metadata[] = {
        {PB_STR("qlik-functionrequestheader-bin"), pb_buf_view(&function)},
        {PB_STR("qlik-commonrequestheader-bin"), pb_buf_view(&common)},
        {PB_STR("x-api-key"), j->key},
    };
    struct pb_grpc_stream *s = pb_grpc_stream_open(j->client, "/qlik.sse.Connector/ExecuteFunction", metadata,
                                                   j->key.n ? 3 : 2, j->timeout_ms);
    pb_buf_free(&function);
    pb_buf_free(&common);
    /* A bar in the middle of the answer helps nobody. */
    bool wanted = !j->values[OPT_QUIET] && (j->out.path || !isatty(STDOUT_FILENO));
    pb_progress_start(&j->progress, j->function, wanted);
    int rc = stream(j, s);
    pb_progress_end(&j->progress, rc == PB_EXIT_OK, j->file ? j->in.n_rows : j->out.n_rows);
    pb_grpc_stream_free(s);
    return rc;
}

int pb_cmd_call(int argc, char **argv)
{
    struct job j = {.in.csv = {.fd = -1, .spool = -1}, .follower = {.fd = -1, .spool = -1}, .out.fd = -1};
    struct pb_err err;
    int first, rc = pb_cli_parse(&pb_verb_call, argc, argv, j.values, &first);
    if (rc >= 0) return rc;
    j.function = argv[first];
    j.file = first + 1 < argc ? argv[first + 1] : NULL;
    j.out.name = j.values[OPT_NAME];
    if ((rc = read_options(&j)) >= 0) return rc;
    catch_signals();
    const char *output = j.values[OPT_OUTPUT];
    if (output && !strcmp(output, "-")) output = NULL;
    if (rc < 0) rc = read_key(&j);
    if (rc < 0) rc = open_file(&j);
    if (rc < 0) rc = connect_gateway(&j);
    if (rc < 0) rc = plan(&j);
    if (rc < 0 && pb_call_out_open(&j.out, output, &err)) rc = failed(PB_EXIT_FAILED, &err);
    if (rc < 0) rc = call(&j);
    pb_grpc_client_close(j.client);
    pb_call_out_free(&j.out);
    pb_csv_close(&j.follower);
    pb_call_in_free(&j.in);
    pb_arena_free(&j.arena);
    release_signals();
    return rc;
}
