/* SPDX-License-Identifier: MIT */
/* recommender: train, serve and ask a model that recommends. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/log.h"
#include "base/mem.h"
#include "predict.h"
#include "serve.h"
#include "train.h"

enum { EXIT_USAGE = 2, EXIT_TRAINING = 255 /* what SageMaker's own sample containers end with */ };

static const char usage[] =
    "recommender train [--local DIR]             learn from ratings; DIR is laid out like /opt/ml\n"
    "recommender serve [--local DIR] [--address HOST:PORT]   answer GET /ping and POST /invocations, on port "
    "8080\n"
    "recommender predict FILE.csv|- [--url URL] [--content-type TYPE]   send user,item lines to a server\n"
    "recommender version\n"
    "\n"
    "Without --local the folder is /opt/ml, as Amazon SageMaker starts its containers. Hyperparameters stand "
    "in\n"
    "DIR/input/config/hyperparameters.json, ratings in DIR/input/data/CHANNEL/*.csv or in a Snowflake "
    "table.\n";

struct options {
    const char *root, *address, *url, *content_type;
};

static int complain(const struct pb_err *err, int code)
{
    fflush(stdout);
    fprintf(stderr, "recommender: %s\n", err->msg);
    return code;
}

static int run_train(const struct options *o, int argc, char **argv)
{
    struct pb_err err;
    (void)argv;
    if (argc) return -1;
    return rec_train(o->root, &err) ? complain(&err, EXIT_TRAINING) : 0;
}

static int run_serve(const struct options *o, int argc, char **argv)
{
    struct pb_err err;
    (void)argv;
    if (argc) return -1;
    return rec_serve(o->root, o->address, &err) ? complain(&err, EXIT_FAILURE) : 0;
}

/* A second argument is the content type, as the script that this replaces took it. */
static int run_predict(const struct options *o, int argc, char **argv)
{
    struct pb_err err;
    if (argc < 1 || argc > 2) return -1;
    const char *type = argc == 2 ? argv[1] : o->content_type;
    return rec_predict(o->url, argv[0], type, &err) ? complain(&err, EXIT_FAILURE) : 0;
}

static int run_version(const struct options *o, int argc, char **argv)
{
    (void)o, (void)argc, (void)argv;
    printf("recommender %s\n", PB_VERSION);
    return 0;
}

static int run_help(const struct options *o, int argc, char **argv)
{
    (void)o, (void)argc, (void)argv;
    fputs(usage, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct options *o, int argc, char **argv);
    } verbs[] = {{"train", run_train},
                 {"serve", run_serve},
                 {"predict", run_predict},
                 {"version", run_version},
                 {"help", run_help}};
    static const struct option known[] = {
        {"local", required_argument, NULL, 'l'}, {"address", required_argument, NULL, 'a'},
        {"url", required_argument, NULL, 'u'},   {"content-type", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {0}};
    struct options o = {"/opt/ml", "0.0.0.0:8080", "http://localhost:8080", "text/csv"};
    pb_log_open(2, PB_LOG_LOGFMT);
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (c) {
        case 'l': o.root = optarg; break;
        case 'a': o.address = optarg; break;
        case 'u': o.url = optarg; break;
        case 't': o.content_type = optarg; break;
        case 'h': return run_help(&o, 0, NULL);
        default: return EXIT_USAGE;
        }
    }
    const char *verb = optind < argc ? argv[optind++] : "";
    for (size_t i = 0; i < PB_COUNTOF(verbs); i++) {
        if (strcmp(verb, verbs[i].name)) continue;
        int rc = verbs[i].run(&o, argc - optind, argv + optind);
        if (rc >= 0) return rc;
        break;
    }
    fputs(usage, stderr);
    return EXIT_USAGE;
}
