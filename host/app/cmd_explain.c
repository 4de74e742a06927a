/* SPDX-License-Identifier: MIT */
/* `patchbay explain`: the exact request that given rows would make, without sending it. */
#include <stdio.h>
#include <string.h>

#include "app/verbs.h"
#include "app/worker.h"
#include "base/log.h"
#include "flow/call.h"

struct explanation {
    struct pb_loop *loop;
    unsigned requests;
    bool done;
    struct pb_err err;
};

/* What is said of a request ends up in tickets and chats. */
static bool secret_header(pbay_str name)
{
    static const char *const names[] = {"x-amz-security-token", "x-api-key", "cookie", "proxy-authorization"};
    for (size_t i = 0; i < PB_COUNTOF(names); i++)
        if (pb_str_ieq(name, pb_str_c(names[i]))) return true;
    return false;
}

static void show(void *user, pbay_str connector, pbay_str method, pbay_str url, const pbay_header *headers,
                 uint32_t n, pbay_str body)
{
    struct explanation *x = user;
    printf("%srequest %u, connector %.*s\n%.*s %.*s\n", x->requests ? "\n" : "", x->requests + 1,
           PB_FMT(connector), PB_FMT(method), PB_FMT(url));
    x->requests++;
    for (uint32_t i = 0; i < n; i++) {
        bool bearer = pb_str_ieq(headers[i].name, PB_STR("authorization")) &&
                      (pb_str_starts(headers[i].value, PB_STR("Bearer ")) ||
                       pb_str_starts(headers[i].value, PB_STR("Basic ")));
        if (bearer || secret_header(headers[i].name))
            printf("%.*s: (hidden)\n", PB_FMT(headers[i].name));
        else
            printf("%.*s: %.*s\n", PB_FMT(headers[i].name), PB_FMT(headers[i].value));
    }
    printf("\n%.*s\n", PB_FMT(body));
}

static bool on_rows(void *user, const pbay_batch *batch)
{
    (void)user;
    (void)batch;
    return true;
}

static void on_done(void *user, const struct pb_err *err, const struct pb_flow_stats *stats)
{
    struct explanation *x = user;
    (void)stats;
    x->err = *err;
    x->done = true;
}

static const struct pb_flow_sink sink = {.rows = on_rows, .done = on_done};

/* "34,52000,Basic" as one row; a function that takes one value takes the whole text. */
static int put_row(const struct pb_args *a, const struct pb_function *fn, struct pbay_builder *b,
                   const char *text)
{
    pbay_str rest = pb_str_c(text), cell;
    uint32_t c = 0;
    while (c < fn->n_params && pb_str_split(&rest, fn->n_params > 1 ? ',' : 0, &cell)) {
        double v;
        cell = pb_str_trim(cell);
        if (fn->params[c].kind == PBAY_NUM) {
            if (!cell.n)
                pb_put_null(b, c);
            else if (pb_parse_f64(cell, &v))
                pb_put_num(b, c, v);
            else
                return pb_args_error(a, PB_EXIT_INPUT, "\"%s\": %.*s is a number, \"%.*s\" is not", text,
                                     PB_FMT(fn->params[c].name), PB_FMT(cell));
        } else if (fn->params[c].kind == PBAY_DUAL)
            pb_put_dual(b, c, pb_parse_f64(cell, &v) ? v : NAN, cell.p, cell.n);
        else
            pb_put_text(b, c, cell.p, cell.n);
        c++;
    }
    if (c == fn->n_params && !rest.p) return 0;
    return pb_args_error(a, PB_EXIT_INPUT, "\"%s\": function %.*s takes %u values a row", text,
                         PB_FMT(fn->name), fn->n_params);
}

static const struct pb_function *find(const struct pb_generation *g, pbay_str name)
{
    const struct pb_function *fn = pb_catalog_name(&g->catalog, name);
    for (size_t i = 0; !fn && i < g->n_qrags; i++) fn = pb_catalog_name(&g->qrags[i].catalog, name);
    return fn;
}

static int explain_rows(const struct pb_args *a, struct pb_workshop *shop, struct pb_generation *g,
                        struct explanation *x)
{
    const struct pb_function *fn = find(g, pb_str_c(a->args[0]));
    struct pb_buf list = {0};
    pb_catalog_list(&g->catalog, &list);
    int rc = PB_EXIT_OK;
    if (!fn)
        rc = pb_args_error(a, PB_EXIT_USAGE, "there is no function \"%s\"; there are %.*s", a->args[0],
                           PB_FMT(pb_buf_view(&list)));
    pb_buf_free(&list);
    if (rc) return rc;
    const struct pb_flow_request req = {
        .fn = fn,
        .deadline_ns = PB_NO_DEADLINE,
        .sink = &sink,
        .user = x,
        .identity = {.struct_size = sizeof(pbay_identity), .source = PB_STR("cli")}};
    struct pb_err err;
    struct pb_flow_call *call = pb_flow_open(shop->flow, &req, &err);
    if (!call) return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    for (int i = 1; !rc && i < a->n; i++) rc = put_row(a, fn, pb_flow_input(call), a->args[i]);
    if (rc) {
        pb_flow_cancel(call, NULL);
        return rc;
    }
    pb_flow_commit(call, 0);
    pb_flow_end(call);
    while (!x->done) pb_loop_turn(shop->loop, true);
    if (x->requests) return PB_EXIT_OK;
    if (x->err.code != PBAY_OK) return pb_args_error(a, PB_EXIT_FAILED, "%s", x->err.msg);
    printf("nothing would be sent: the function answers these rows without asking anybody\n");
    return PB_EXIT_OK;
}

static int explain(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_explain, argc, argv);
    if (rc >= 0) return rc;
    struct pb_site *site = pb_args_site(a);
    if (!site) return PB_EXIT_FAILED;
    pb_log_level(NULL, PB_LOG_OFF);
    struct pb_workshop shop;
    struct pb_err err;
    if (pb_workshop_open(&shop, site, NULL, PB_STORE_NONE, &err)) {
        pb_site_free(site);
        return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    }
    struct explanation x = {.loop = shop.loop};
    shop.env.explain = show;
    shop.env.explain_user = &x;
    const struct pb_generation_options o = {
        .probe = pb_config_get_int(site->plugins, "probe") != 0, .env = shop.env, .flow = shop.flow};
    struct pb_generation *g = pb_generation_build(site, &o, &err);
    if (!g)
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    else {
        pb_generation_start(g, NULL);
        rc = explain_rows(a, &shop, g, &x);
    }
    pb_workshop_end_generation(&shop, g);
    pb_workshop_close(&shop);
    return rc;
}

static const struct pb_cli_option options[] = {PB_OPTION_CONFIG};
const struct pb_cli_verb pb_verb_explain = {
    .name = "explain",
    .args = "FUNCTION ROW [ROW ...]",
    .summary = "Show the exact request that rows would make; nothing is sent.",
    .text = "A ROW is the function's parameters in order, as one argument: \"34,52000,Basic,3\".\n"
            "Tokens and keys are hidden; a signature is shown, it is valid for minutes and for this request "
            "alone.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 2,
    .max_args = -1,
    .run = explain};
