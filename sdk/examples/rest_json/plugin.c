/* SPDX-License-Identifier: MIT */
/* A REST API that answers JSON, as a function: its options, and what is declared with them. */
#include <stdio.h>
#include <stdlib.h>

#include "rest_json.h"

/* ---------------------------------------------------------------------------------- declaring a function */

static int32_t refuse(struct instance *x, pbay_result *why, const char *what, pbay_str which)
{
    snprintf(x->why, sizeof x->why, "%s%.*s", what, (int)(which.n < 200 ? which.n : 200),
             which.n ? which.p : "");
    return pbay_fail(why, PBAY_INVALID_ARGUMENT, x->why);
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct instance *x = self;
    const pbay_host *h = x->host;
    struct function *fn = calloc(1, sizeof *fn);
    if (!fn) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    const pbay_str path = h->get_str(info->config, "path"), body = h->get_str(info->config, "body");
    const char *wrong = NULL;
    pbay_str where = {NULL, 0};
    fn->method = h->get_str(info->config, "method");
    if (!fn->method.n) fn->method = pbay_str_c(body.n ? "POST" : "GET");
    fn->pick = h->get_str(info->config, "pick");
    fn->next = h->get_str(info->config, "next");
    fn->cursor = h->get_str(info->config, "cursor");
    fn->pages = fn->next.n ? (uint32_t)h->get_int(info->config, "pages") : 1;
    fn->at_once = (uint32_t)h->get_int(info->config, "at_once");
    fn->kind = info->n_answers ? info->answers[0].kind : PBAY_STR;
    if (info->n_answers != 1 || !info->n_sends || fn->kind == PBAY_DUAL)
        wrong = "params are needed, and one answer: num, str or json";
    else if (!path.n || path.p[0] != '/')
        wrong = "path begins with '/'; it is ", where = path;
    if (!wrong) wrong = template_make(&fn->path, path, info, &where);
    if (!wrong) wrong = template_make(&fn->body, body, info, &where);
    const uint32_t n = h->count(info->config, "header");
    for (uint32_t i = 0; i < n && !wrong; i++) {
        if (i == HEADERS)
            wrong = "a function has at most 16 headers", where = (pbay_str){NULL, 0};
        else
            wrong = template_make(&fn->headers[i], h->item(info->config, "header", i, &fn->names[i]), info,
                                  &where);
        fn->n_headers = i + 1;
    }
    if (!wrong) {
        *bound = fn;
        return PBAY_OK;
    }
    free(fn);
    return refuse(x, why, wrong, where);
}

static void unbind(void *self, void *bound)
{
    (void)self;
    free(bound);
}

/* ------------------------------------------------------------------------------------------------ plugin */

static const pbay_option request_options[] = {
    {"path", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "Behind `base`; {column} becomes the row's value, percent-encoded."},
    {"body", PBAY_OPT_STR, 0, NULL, NULL, "JSON to send; {column} becomes the row's value as JSON."},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL, "header.NAME = text of a header, with {column} in it."},
    {"method", PBAY_OPT_STR, 0, NULL, NULL, "GET, or POST with a body, unless given."},
    {"pick", PBAY_OPT_STR, 0, NULL, NULL,
     "Where the answer is in the reply: members with dots, positions in lists."},
    {"next", PBAY_OPT_STR, 0, NULL, NULL,
     "Where the reply says which page is the next: its URL, its path, or with `cursor` a value for the "
     "query. The lists "
     "that are picked become one."},
    {"cursor", PBAY_OPT_STR, 0, NULL, NULL, "The member of the query that the value at `next` goes into."},
    {"pages", PBAY_OPT_INT, 0, "100", "1..10000", "More pages for one row are an error."},
    {"at_once", PBAY_OPT_INT, 0, "4", "1..100", "Requests at once for one batch."},
};
static const pbay_operation operations[] = {
    {"request",
     "A request for each row.",
     PBAY_SHAPE_MAP,
     0,
     {request_options, sizeof request_options / sizeof *request_options, sizeof(pbay_option)}},
};
static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                           .n_operations = 1,
                                           .operations = operations,
                                           .operation_stride = sizeof(pbay_operation),
                                           .bind = bind,
                                           .unbind = unbind,
                                           .submit = submit_rows,
                                           .cancel = cancel_rows};
static const pbay_option options[] = {
    {"base", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The API's URL, without a '/' at its end."},
    {"token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL,
     "What the API knows us by; asked for anew when it was refused."},
    {"token_header", PBAY_OPT_STR, 0, "Authorization", NULL, "The header that it stands in."},
    {"scheme", PBAY_OPT_STR, 0, NULL, NULL,
     "The word before it: Basic, ...; Bearer unless given, and none in another header than Authorization."},
    {"header", PBAY_OPT_FAMILY, 0, NULL, NULL, "header.NAME = value: more headers of every request."},
};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct instance *x = calloc(1, sizeof *x);
    if (!x) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    const pbay_str header = host->get_str(config, "token_header");
    x->host = host;
    x->config = config;
    x->batch = host->service(host, PBAY_SVC_BATCH);
    x->call = host->service(host, PBAY_SVC_CALL);
    x->http = host->service(host, PBAY_SVC_HTTP);
    x->secret = host->service(host, PBAY_SVC_SECRET);
    x->base = host->get_str(config, "base");
    x->scheme = host->get_str(config, "scheme");
    if (!host->is_set(config, "scheme") && header.n == 13 && !memcmp(header.p, "Authorization", 13))
        x->scheme = pbay_str_c("Bearer");
    *self = x;
    if (x->batch && x->call && x->http && x->secret) return PBAY_OK;
    free(x);
    return pbay_fail(why, PBAY_UNIMPLEMENTED,
                     "this host lacks pbay.host.batch/1, call/1, http/1 or secret/1");
}

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "rest_json",
        .version = "1.1.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Any REST API that answers JSON, as a function",
        .options = {options, sizeof options / sizeof *options, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       free,         extension};
    return &entry;
}
