/* SPDX-License-Identifier: MIT */
/*
 * `patchbay import-qrag DIR`: a Qlik Rapid API Gateway folder as a patchbay.ini: the same ids, names and
 * order. With
 * --direct a function asks its SageMaker endpoint itself, without the API Gateway and the Lambda in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/qrag_file.h"
#include "app/verbs.h"
#include "base/buf.h"
#include "base/mem.h"

/* What the published Lambdas did with the endpoint's answer. */
enum lambda { LAMBDA_RAW, LAMBDA_SCORE, LAMBDA_LABEL };

static const char *const lambda_names[] = {"raw", "score", "label"};

struct direct {
    pbay_str function, endpoint;
    enum lambda lambda;
    bool used;
};

struct import {
    const struct pb_args *a;
    struct pb_qrag_file file;
    struct direct *direct;
    size_t n_direct, cap;
    bool has_direct, has_old;
    struct pb_buf out;
    const char *to; /* a folder, or NULL: standard output */
};

/* ------------------------------------------------------------------------------------------------ --direct
 */

/* By the name, as the published functions have it: predict_cancer_score_rest, ..._result_... */
static enum lambda guess(pbay_str name)
{
    struct pb_buf lower = {0};
    for (size_t i = 0; i < name.n; i++)
        pb_buf_ch(&lower, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    pb_buf_ch(&lower, 0);
    enum lambda l = strstr(lower.p, "score")    ? LAMBDA_SCORE
                    : strstr(lower.p, "result") ? LAMBDA_LABEL
                                                : LAMBDA_RAW;
    pb_buf_free(&lower);
    return l;
}

/* https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html */
static bool is_endpoint(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool hyphen = c == '-' && i > 0 && i + 1 < s.n;
        if (!hyphen && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return s.n >= 1 && s.n <= 63;
}

/* FUNCTION=ENDPOINT[:raw|score|label], with commas between. -1: go on. */
static int read_direct(struct import *im)
{
    const char *given = pb_args_get(im->a, "direct");
    pbay_str rest = given ? pb_str_c(given) : pb_str(NULL, 0), one;
    while (given && pb_str_split(&rest, ',', &one)) {
        one = pb_str_trim(one);
        size_t at = pb_str_chr(one, '=');
        if (!at || at + 1 >= one.n)
            return pb_cli_usage(im->a->verb, "--direct %.*s: FUNCTION=ENDPOINT is expected", PB_FMT(one));
        pbay_str endpoint = pb_str(one.p + at + 1, one.n - at - 1), kind = pb_str(NULL, 0);
        size_t colon = pb_str_chr(endpoint, ':');
        if (colon < endpoint.n) {
            kind = pb_str(endpoint.p + colon + 1, endpoint.n - colon - 1);
            endpoint.n = colon;
        }
        if (!is_endpoint(endpoint))
            return pb_cli_usage(
                im->a->verb,
                "--direct %.*s: \"%.*s\" is not the name of an endpoint: 1 to 63 letters, digits "
                "and hyphens between them",
                PB_FMT(one), PB_FMT(endpoint));
        struct direct d = {.function = pb_str(one.p, at), .endpoint = endpoint};
        d.lambda = guess(d.function);
        for (int i = 0; i <= LAMBDA_LABEL + 1 && kind.p; i++) {
            if (i > LAMBDA_LABEL)
                return pb_cli_usage(im->a->verb, "--direct %.*s: after the colon stands raw, score or label",
                                    PB_FMT(one));
            if (!pb_str_is(kind, lambda_names[i])) continue;
            d.lambda = (enum lambda)i;
            break;
        }
        PB_GROW(im->direct, im->cap, im->n_direct + 1);
        im->direct[im->n_direct++] = d;
    }
    return -1;
}

static struct direct *direct_of(struct import *im, pbay_str name)
{
    for (size_t i = 0; i < im->n_direct; i++)
        if (pb_str_eq(im->direct[i].function, name)) return &im->direct[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ the file
 */

/* In quotes whatever it is: a value of an old file never means a reference. */
static void put_value(struct pb_buf *b, const char *key, pbay_str v)
{
    pb_buf_printf(b, "%s = \"", key);
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '"' || v.p[i] == '\\') pb_buf_ch(b, '\\');
        if (v.p[i] == '\n')
            pb_buf_c(b, "\\n");
        else if (v.p[i] == '\t')
            pb_buf_c(b, "\\t");
        else
            pb_buf_ch(b, v.p[i]);
    }
    pb_buf_c(b, "\"\n");
}

static const char *kind_name(uint8_t type)
{
    static const char *const names[] = {"str", "num", "dual"};
    return names[type];
}

static void put_head(struct import *im)
{
    const struct pb_qrag_file *f = &im->file;
    pb_buf_printf(&im->out,
                  "; What %s and %s said, by `patchbay import-qrag`.\n"
                  "; Ids, names and the order of parameters are the same, so that Qlik notices nothing.\n\n"
                  "[listen \"sse\"]\n",
                  f->json_path, f->ini_path);
    const struct pb_ini_section *base = pb_ini_find(f->ini, "base", NULL);
    const struct pb_ini_entry *port = base ? pb_ini_get(base, "port") : NULL;
    pbay_str number = port ? pb_str_trim(port->value) : PB_STR("50058");
    uint64_t n;
    if (!pb_parse_u64(number, &n) || n < 1 || n > 65535) number = PB_STR("50058");
    pb_buf_printf(
        &im->out,
        "address = [::]:%.*s\n"
        "; What --pem_dir was. Without certificates: `insecure = yes`, or an address on 127.0.0.1.\n"
        "tls_dir = pem\n",
        PB_FMT(number));
    if (im->has_old) pb_buf_c(&im->out, "\n[connector \"qrag\"]\nplugin = sagemaker\n");
    if (!im->has_direct) return;
    pb_buf_c(&im->out, "\n; Keys: the environment, the shared files of AWS's tools, or the machine's role.\n"
                       "[connector \"aws\"]\nplugin = sagemaker\n");
    pbay_str region = pb_qrag_file_region(f);
    if (region.n)
        pb_buf_printf(&im->out, "region = %.*s\n", PB_FMT(region));
    else
        pb_buf_c(&im->out, "; region = eu-west-1\n");
}

static void put_common(struct import *im, const struct pb_qrag_function *fn)
{
    struct pb_buf *b = &im->out;
    static const char *const types[] = {"scalar", "aggregation", "tensor"};
    pb_buf_printf(b, "\n[function \"%.*s\"]\nid = %d\ntype = %s\n", PB_FMT(fn->name), fn->id,
                  types[fn->type]);
    if (fn->n_params) pb_buf_c(b, "params = ");
    for (size_t i = 0; i < fn->n_params; i++)
        pb_buf_printf(b, "%s%.*s:%s", i ? ", " : "", PB_FMT(fn->params[i].name),
                      kind_name(fn->params[i].type));
    pb_buf_printf(b, "%sreturns = %s\n", fn->n_params ? "\n" : "", kind_name(fn->return_type));
    if (!pb_qrag_cached(&im->file, fn)) pb_buf_c(b, "cache = no\n");
}

/* Keys of the section that its type knows. */
static void put_old(struct import *im, const struct pb_qrag_function *fn)
{
    static const char *const rest[] = {"url", NULL}, *const template[] = {"url", "query_parameter", NULL},
                             *const ws[] = {"ws_url", "ws_route", "username", NULL},
                             *const batch[] = {"ws_url", "ws_route", "username", "batch_size", NULL},
                             *const frame[] = {"url", "schema_metadata", "batch_size", NULL},
                             *const none[] = {NULL};
    static const struct {
        const char *type;
        const char *const *keys;
    } types[] = {{"rest_single", rest}, {"rest_30", rest},   {"rest_template", template},
                 {"ws_single", ws},     {"ws_batch", batch}, {"rest_dataframe", frame},
                 {"echo_table", none}};
    struct pb_buf *b = &im->out;
    const struct pb_ini_section *sec = pb_qrag_section(&im->file, fn);
    const char *const *keys = NULL;
    for (size_t i = 0; i < PB_COUNTOF(types); i++)
        if (pb_str_is(fn->qrap_type, types[i].type)) keys = types[i].keys;
    const char *lacks = NULL;
    for (size_t i = 0; keys && keys[i]; i++)
        if (!sec || !pb_ini_get(sec, keys[i]))
            if (strcmp(keys[i], "username") && strcmp(keys[i], "batch_size")) lacks = keys[i];
    if (!keys || lacks) {
        pb_buf_printf(b, "\n; [function \"%.*s\"] (id %d) is left out: ", PB_FMT(fn->name), fn->id);
        if (!keys)
            pb_buf_printf(b, "its QRAP_Type \"%.*s\" is served by nobody here.\n", PB_FMT(fn->qrap_type));
        else
            pb_buf_printf(b, "%s has no `%s` for it.\n", im->file.ini_path, lacks);
        return;
    }
    put_common(im, fn);
    pb_buf_printf(b, "connector = qrag\noperation = %.*s\n", PB_FMT(fn->qrap_type));
    uint64_t rows = PB_QRAG_MAX_ROWS;
    for (size_t i = 0; keys[i]; i++) {
        const struct pb_ini_entry *e = pb_ini_get(sec, keys[i]);
        if (!e) continue;
        if (strcmp(keys[i], "batch_size"))
            put_value(b, keys[i], e->value);
        else if (pb_parse_u64(pb_str_trim(e->value), &rows) && rows >= 1 && rows <= 1000000)
            pb_buf_printf(b, "batch_size = %llu\n", (unsigned long long)rows);
        else {
            rows = PB_QRAG_MAX_ROWS;
            pb_buf_printf(
                b,
                "; batch_size = %.*s of %s is no number from 1 to 1000000; what counts without it stands "
                "in max_rows\n",
                PB_FMT(pb_str_trim(e->value)), im->file.ini_path);
        }
    }
    if (keys == frame && pb_qrag_base(&im->file, "databricks_token"))
        pb_buf_printf(b, "databricks_token = env:DATABRICKS_TOKEN  ; stands in [base] of %s\n",
                      im->file.ini_path);
    pb_buf_printf(b, "max_rows = %llu\nin_flight = %d\n", (unsigned long long)rows, PB_QRAG_IN_FLIGHT);
}

/* ------------------------------------------------------------------------------------------------ the
 * Lambda's work in Lua */

static void put_lua(struct pb_buf *b, const struct pb_qrag_function *fn, enum lambda lambda)
{
    pb_buf_printf(b, "-- What the Lambda behind %.*s did, by `patchbay import-qrag`.\nreturn {\n",
                  PB_FMT(fn->name));
    if (fn->n_params > 1)
        pb_buf_c(b, "    -- The features as one text, commas between, as the gateway joined them.\n"
                    "    before = function(...)\n"
                    "        local parts, some = {}, false\n"
                    "        for i = 1, select(\"#\", ...) do\n"
                    "            local v = select(i, ...)\n"
                    "            parts[i] = v == nil and \"\" or tostring(v)\n"
                    "            some = some or parts[i] ~= \"\"\n"
                    "        end\n"
                    "        if some then return table.concat(parts, \",\") end\n"
                    "    end,\n");
    if (lambda == LAMBDA_SCORE)
        pb_buf_c(b, "    -- str(round(score, 4))\n"
                    "    after = function(score)\n"
                    "        local text = string.format(\"%.14g\", math.round(score, 4))\n"
                    "        if not text:find(\"[.en]\") then text = text .. \".0\" end\n"
                    "        return text\n"
                    "    end,\n");
    if (lambda == LAMBDA_LABEL)
        pb_buf_c(b, "    after = function(score) return score > 0.5 and \"Malignant\" or \"Benign\" end,\n");
    pb_buf_c(b, "}\n");
}

static int write_file(const struct import *im, const char *path, pbay_str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    bool ok = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
    int why = errno;
    if (fd >= 0 && close(fd)) ok = false;
    return ok ? 0 : pb_args_error(im->a, PB_EXIT_FAILED, "%s: %s", path, strerror(why));
}

static int put_direct(struct import *im, const struct pb_qrag_function *fn, struct direct *d)
{
    struct pb_buf *b = &im->out;
    int rc = 0;
    d->used = true;
    put_common(im, fn);
    pb_buf_printf(b, "connector = aws\noperation = invoke\nendpoint = %.*s\nformat = csv\nbody = raw\n",
                  PB_FMT(d->endpoint));
    /* The labels of the published Lambda are those of its own model; the operator sees them in the Lua. */
    if (d->lambda != LAMBDA_RAW) pb_buf_c(b, "path = predictions[].score\nanswer = num\n");
    pb_buf_c(b, "max_rows = 500\nin_flight = 16\n");
    if (fn->n_params <= 1 && d->lambda == LAMBDA_RAW) return 0;
    pb_buf_printf(b, "transform = transforms/%.*s.lua\n", PB_FMT(fn->name));
    struct pb_buf lua = {0};
    put_lua(&lua, fn, d->lambda);
    if (im->to) {
        char *path = pb_sprintf("%s/transforms/%.*s.lua", im->to, PB_FMT(fn->name));
        rc = write_file(im, path, pb_buf_view(&lua));
        pb_free(path);
    } else {
        pbay_str rest = pb_buf_view(&lua), line;
        pb_buf_printf(b, "; transforms/%.*s.lua (--output DIR writes it):\n", PB_FMT(fn->name));
        while (pb_str_split(&rest, '\n', &line))
            if (line.n) pb_buf_printf(b, ";   %.*s\n", PB_FMT(line));
    }
    pb_buf_free(&lua);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ the verb
 */

static int make_folder(const struct import *im)
{
    if (!im->to) return 0;
    char *sub = pb_sprintf("%s/transforms", im->to);
    int rc = 0;
    if ((mkdir(im->to, 0750) && errno != EEXIST) || (mkdir(sub, 0750) && errno != EEXIST))
        rc = pb_args_error(im->a, PB_EXIT_FAILED, "%s: %s", sub, strerror(errno));
    pb_free(sub);
    return rc;
}

static int convert(struct import *im)
{
    const struct pb_qrag_functions *all = im->file.functions;
    for (size_t i = 0; i < all->n; i++) {
        if (direct_of(im, all->functions[i].name))
            im->has_direct = true;
        else
            im->has_old = true;
    }
    int rc = make_folder(im);
    if (rc) return rc;
    put_head(im);
    for (size_t i = 0; i < all->n && !rc; i++) {
        struct direct *d = direct_of(im, all->functions[i].name);
        if (d)
            rc = put_direct(im, &all->functions[i], d);
        else
            put_old(im, &all->functions[i]);
    }
    for (size_t i = 0; i < im->n_direct && !rc; i++)
        if (!im->direct[i].used)
            rc = pb_args_error(im->a, PB_EXIT_USAGE, "--direct: there is no function \"%.*s\" in %s",
                               PB_FMT(im->direct[i].function), im->file.json_path);
    if (rc) return rc;
    if (!im->to) {
        fwrite(im->out.p, 1, im->out.n, stdout);
        return PB_EXIT_OK;
    }
    char *path = pb_sprintf("%s/patchbay.ini", im->to);
    rc = write_file(im, path, pb_buf_view(&im->out));
    if (!rc) printf("%s: %zu functions; next: patchbay check --config %s\n", path, all->n, path);
    pb_free(path);
    return rc;
}

static int import_qrag(int argc, char **argv)
{
    struct pb_args args;
    int rc = pb_args_parse(&args, &pb_verb_import_qrag, argc, argv);
    if (rc >= 0) return rc;
    struct import im = {.a = &args, .to = pb_args_get(&args, "output")};
    const char *order = pb_args_get(&args, "order");
    if (order && strcmp(order, "name") && strcmp(order, "file"))
        return pb_cli_usage(args.verb, "--order %s: name or file", order);
    rc = read_direct(&im);
    struct pb_err err;
    if (rc < 0) {
        if (pb_qrag_file_open_dir(
                &im.file, args.args[0],
                order && !strcmp(order, "file") ? PB_QRAG_PARAMS_FILE : PB_QRAG_PARAMS_SORTED, &err))
            rc = pb_args_error(&args, PB_EXIT_INPUT, "%s", err.msg);
        else
            rc = convert(&im);
        pb_qrag_file_close(&im.file);
    }
    pb_free(im.direct);
    pb_buf_free(&im.out);
    return rc;
}

static const struct pb_cli_option options[] = {
    {"direct", 'd', "FUNCTION=ENDPOINT[:KIND],...",
     "ask the SageMaker endpoint itself, with Lua that does what the Lambda did: KIND is score (rounded to "
     "four "
     "digits), label (above 0.5 or not) or raw (as it comes); by the function's name unless given"},
    {"order", 0, "name|file", "order of parameters: name, as the old gateway advertised them, unless given"},
    {"output", 'o', "DIR", "write DIR/patchbay.ini and DIR/transforms/*.lua; standard output unless given"},
};
const struct pb_cli_verb pb_verb_import_qrag = {
    .name = "import-qrag",
    .args = "DIR",
    .summary = "Turn the folder of a Qlik Rapid API Gateway into a patchbay.ini.",
    .text = "DIR holds functions.json and config/qrag.ini (or qrag.ini). Such a folder is also served as it "
            "is: see\n"
            "[qrag] in the configuration.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 1,
    .max_args = 1,
    .run = import_qrag};
