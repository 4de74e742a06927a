/* SPDX-License-Identifier: MIT */
#include "endpoints/functions_http.h"

#include "base/check.h"
#include "data/codec.h"
#include "endpoints/catalog.h"
#include "endpoints/http_door.h"
#include "flow/call.h"
#include "loop/loop.h"

enum { JOB_MAGIC = 0x464e4854 };

/* A reply is built in memory, so that an error can still be an error. */
#define ANSWER_MAX ((size_t)256 << 20)

struct pb_functions_http {
    struct pb_loop *loop;
    const struct pb_catalog *catalog;
    struct pb_flow *flow;
};

struct call {
    struct pb_http_job job; /* first */
    uint32_t magic;
    struct pb_functions_http *h;
    struct pb_http_request *req;
    struct pb_http_guest *guest;
    struct pb_flow_call *flow; /* NULL: over */
    struct pbay_writer *rows;
    struct pb_buf errors, columns;
    uint64_t n_rows;
    size_t bytes; /* of the answer, about */
    bool starting, over;
    int status; /* of a body that could not be read; 0: what err says */
    struct pb_err err;
    struct pb_defer give_up;
};

/* ---------------------------------------------------------------------------------------------- the list */

static void put_params(struct pb_buf *b, const char *name, const struct pb_script_field *params, uint32_t n)
{
    pb_buf_printf(b, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        pb_buf_c(b, i ? ",{\"name\":" : "{\"name\":");
        pb_buf_json(b, params[i].name);
        pb_buf_printf(b, ",\"kind\":\"%s\"}", pb_kind_name(params[i].kind));
    }
    pb_buf_ch(b, ']');
}

static void list(struct pb_functions_http *h, struct pb_http_request *req)
{
    static const char *const shapes[] = {"map", "aggregate", "table"};
    struct pb_buf b = {0};
    pb_buf_c(&b, "{\"functions\":[");
    for (size_t i = 0; i < h->catalog->n; i++) {
        const struct pb_function *fn = h->catalog->functions[i];
        pb_buf_c(&b, i ? ",\n{\"name\":" : "\n{\"name\":");
        pb_buf_json(&b, fn->name);
        pb_buf_printf(&b, ",\"id\":%d,\"shape\":\"%s\"", fn->id,
                      shapes[fn->shape == PBAY_SHAPE_TABLE ? 2 : fn->shape == PBAY_SHAPE_AGGREGATE]);
        put_params(&b, "params", fn->params, fn->n_params);
        put_params(&b, "returns", fn->returns, fn->n_returns);
        if (fn->doc.n) {
            pb_buf_c(&b, ",\"doc\":");
            pb_buf_json(&b, fn->doc);
        }
        pb_buf_ch(&b, '}');
    }
    pb_buf_c(&b, "\n]}\n");
    pb_http_json(req, 200, pb_buf_view(&b));
    pb_buf_free(&b);
}

/* ---------------------------------------------------------------------------------------------- the answer
 */

static void call_free(struct call *c)
{
    pb_defer_cancel(&c->give_up);
    pb_writer_free(c->rows);
    pb_buf_free(&c->errors);
    pb_buf_free(&c->columns);
    pb_http_guest_free(c->guest);
    c->magic = 0;
    pb_free(c);
}

static void respond(struct call *c)
{
    if (c->err.code != PBAY_OK) {
        pb_http_error(c->req, c->status, &c->err);
        call_free(c);
        return;
    }
    struct pb_buf b = {0};
    pbay_str rows = pb_writer_text(c->rows);
    if (c->errors.n || c->columns.n) {
        /* {"rows": [...]} and more members. */
        PB_REQUIRE(rows.n && rows.p[rows.n - 1] == '}');
        pb_buf_add(&b, rows.p, rows.n - 1);
        if (c->columns.n) pb_buf_printf(&b, ",\"columns\":[%.*s]", PB_FMT(pb_buf_view(&c->columns)));
        if (c->errors.n) pb_buf_printf(&b, ",\"errors\":[%.*s]", PB_FMT(pb_buf_view(&c->errors)));
        pb_buf_ch(&b, '}');
        rows = pb_buf_view(&b);
    }
    pb_http_json(c->req, 200, rows);
    pb_buf_free(&b);
    call_free(c);
}

static void give_up(void *user)
{
    struct call *c = user;
    if (c->flow) pb_flow_fail(c->flow, &c->err);
}

static bool on_rows(void *user, const pbay_batch *batch)
{
    struct call *c = user;
    for (uint32_t i = 0; i < batch->n_cols; i++) {
        const pbay_column *col = pbay_batch_col(batch, i);
        c->bytes += (size_t)batch->n_rows * 8 + (col->off ? col->off[batch->n_rows] - col->off[0] : 0);
    }
    if (c->bytes > ANSWER_MAX) {
        pb_fail(&c->err, PBAY_RESOURCE_EXHAUSTED,
                "the answer is larger than %zu MiB: ask for fewer rows at a time", ANSWER_MAX >> 20);
        if (!pb_defer_queued(&c->give_up)) pb_loop_defer(c->h->loop, &c->give_up);
        return false;
    }
    pb_writer_write(c->rows, batch, NULL);
    for (uint32_t i = 0; i < batch->n_row_errors; i++) {
        const pbay_row_error *e = &batch->row_errors[i];
        pb_buf_printf(&c->errors, "%s{\"row\":%llu,\"code\":\"%s\",\"message\":", c->errors.n ? "," : "",
                      (unsigned long long)(c->n_rows + e->row), pb_code_name(e->code));
        pb_buf_json(&c->errors, e->message);
        pb_buf_ch(&c->errors, '}');
        c->bytes += e->message.n;
    }
    c->n_rows += batch->n_rows;
    return true;
}

static void on_describe(void *user, pbay_str name, const pbay_field *fields, uint32_t n)
{
    (void)name;
    struct call *c = user;
    for (uint32_t i = 0; i < n; i++) {
        if (i) pb_buf_ch(&c->columns, ',');
        pb_buf_json(&c->columns, fields[i].name);
    }
}

static void on_consumed(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
}

static void on_done(void *user, const struct pb_err *err, const struct pb_flow_stats *stats)
{
    (void)stats;
    struct call *c = user;
    PB_MAGIC_CHECK(c, JOB_MAGIC);
    c->flow = NULL;
    c->over = true;
    c->err = *err;
    if (!c->starting) respond(c);
}

static const struct pb_flow_sink sink = {on_rows, on_describe, on_consumed, on_done};

static void on_gone(struct pb_http_job *job)
{
    struct call *c = (struct call *)(void *)job;
    PB_MAGIC_CHECK(c, JOB_MAGIC);
    if (c->flow) pb_flow_cancel(c->flow, NULL);
    call_free(c);
}

/* ---------------------------------------------------------------------------------------------- the question
 */

/* The body's rows into a builder of the function's parameters; borrowed by the caller. */
static int read_rows(const struct pb_function *fn, pbay_str body, struct pbay_builder *into,
                     struct pb_err *err)
{
    struct pb_arena a = {0};
    const char **names = pb_arena_alloc(&a, (fn->n_params + 1) * sizeof *names);
    uint32_t *kinds = pb_arena_alloc(&a, (fn->n_params + 1) * sizeof *kinds);
    for (uint32_t i = 0; i < fn->n_params; i++) {
        names[i] = pb_arena_str(&a, fn->params[i].name).p;
        kinds[i] = fn->params[i].kind;
    }
    pbay_str text = pb_str_trim(body);
    bool bare = text.n && *text.p == '[';
    const pbay_codec codec = {.struct_size = sizeof codec,
                              .format = PBAY_FORMAT_JSON_ROWS,
                              .names = fn->n_params ? names : NULL,
                              .kinds = fn->n_params ? kinds : NULL,
                              .n_columns = fn->n_params,
                              .any_kind = PBAY_JSON,
                              .key = bare ? PB_STR("") : PB_STR("rows"),
                              .strict = 1};
    struct pbay_reader *r = pb_reader_new(&codec, into);
    int rc = pb_reader_feed(r, body, err);
    if (!rc) rc = pb_reader_finish(r, err);
    if (!rc && !fn->n_params) into->bare_rows = (uint32_t)pb_reader_rows(r);
    pb_reader_free(r);
    pb_arena_free(&a);
    return rc;
}

/* Rows to the flow's own builder: its columns are the parameters in the same order. */
static int hand_over(struct pb_flow_call *flow, struct pbay_builder *from, size_t bytes, struct pb_err *err)
{
    const pbay_batch *batch = pb_builder_seal(from, err);
    if (!batch) return -1;
    struct pbay_builder *to = pb_flow_input(flow);
    for (uint32_t i = 0; i < to->n_cols; i++)
        pb_builder_copy(to, i, pbay_batch_col(batch, i), 0, batch->n_rows);
    if (!to->n_cols) to->bare_rows += from->bare_rows;
    pb_flow_commit(flow, bytes);
    return 0;
}

static void call(struct pb_functions_http *h, struct pb_http_request *req, const struct pb_function *fn,
                 struct pb_http_guest **guest)
{
    struct pb_err err;
    struct pbay_builder *rows = pb_builder_get();
    struct pb_buf plain = {0}; /* the body without its content coding */
    bool coded = pb_http_header(req, "content-encoding").n != 0;
    int status = coded ? pb_http_decode_body(req, pb_http_body_limit(req), &plain, &err) : 0;
    pbay_str body = coded ? pb_buf_view(&plain) : pb_http_body(req);
    bool bad = status || read_rows(fn, body, rows, &err);
    pb_buf_free(&plain);
    struct call *c = pb_zalloc(sizeof *c);
    *c = (struct call){.job.gone = on_gone, .magic = JOB_MAGIC, .h = h, .req = req, .starting = true};
    c->guest = *guest;
    *guest = NULL;
    c->give_up = pb_defer_make(give_up, c);
    const pbay_codec codec = {
        .struct_size = sizeof codec, .format = PBAY_FORMAT_JSON_ROWS, .key = PB_STR("rows")};
    c->rows = pb_writer_new(&codec);
    const struct pb_flow_request request = {
        .fn = fn,
        .identity = {.struct_size = sizeof(pbay_identity),
                     .principal = c->guest->pass.id.principal,
                     .source = PB_STR("http")},
        .traceparent = pb_http_header(req, "traceparent"),
        .peer = pb_http_peer(req),
        .deadline_ns = PB_NO_DEADLINE,
        .row_errors = true,
        .sink = &sink,
        .user = c,
    };
    pb_http_set_user(req, c);
    c->flow = pb_flow_open(h->flow, &request, &c->err);
    if (!c->flow) c->over = true;
    /* A body that cannot be read is a call that has failed: it is counted, and has its line. */
    if (c->flow && bad) c->status = status;
    if (c->flow && (bad || hand_over(c->flow, rows, body.n, &err)) && c->flow) pb_flow_fail(c->flow, &err);
    if (c->flow) pb_flow_end(c->flow);
    pb_builder_unref(rows);
    c->starting = false;
    if (c->over) respond(c);
}

static const struct pb_function *find(struct pb_functions_http *h, pbay_str path, struct pb_err *err)
{
    const pbay_str prefix = PB_STR("/functions/");
    struct pb_buf name = {0};
    const struct pb_function *fn = NULL;
    if (!pb_http_unescape(pb_str(path.p + prefix.n, path.n - prefix.n), &name, err)) {
        fn = pb_catalog_name(h->catalog, pb_buf_view(&name));
        if (!fn) {
            struct pb_buf there = {0};
            pb_catalog_list(h->catalog, &there);
            if (name.n > 256) name.n = pb_utf8_floor(pb_buf_view(&name), 256);
            pb_fail(err, PBAY_NOT_FOUND, "there is no function \"%.*s\"; there are: %.*s",
                    PB_FMT(pb_buf_view(&name)), PB_FMT(pb_buf_view(&there)));
            pb_buf_free(&there);
        }
    }
    pb_buf_free(&name);
    return fn;
}

void pb_functions_http_request(struct pb_functions_http *h, struct pb_http_request *req,
                               struct pb_http_guest **guest)
{
    struct pb_err err;
    pbay_str method = pb_http_method(req), path = pb_http_path(req);
    if (path.n <= sizeof "/functions/" - 1) {
        if (pb_str_is(method, "GET") || pb_str_is(method, "HEAD"))
            list(h, req);
        else
            pb_http_not_allowed(req, "GET, HEAD");
        return;
    }
    const struct pb_function *fn = find(h, path, &err);
    if (!fn) {
        pb_http_error(req, 0, &err);
    } else if (!pb_str_is(method, "POST")) {
        pb_http_not_allowed(req, "POST");
    } else if (pb_json_type_check(pb_http_header(req, "content-type"), &err)) {
        pb_http_error(req, 415, &err);
    } else if (pb_gate_function(&(*guest)->pass, fn, &err)) {
        pb_http_error(req, 0, &err);
    } else {
        call(h, req, fn, guest);
    }
}

struct pb_functions_http *pb_functions_http_new(struct pb_loop *loop, const struct pb_catalog *catalog,
                                                struct pb_flow *flow)
{
    struct pb_functions_http *h = pb_zalloc(sizeof *h);
    *h = (struct pb_functions_http){loop, catalog, flow};
    return h;
}

void pb_functions_http_free(struct pb_functions_http *h)
{
    pb_free(h);
}
