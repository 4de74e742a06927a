/* SPDX-License-Identifier: MIT */
/*
 * What a function on a SageMaker endpoint is, whichever way it is asked: endpoint, headers, how rows are
 * written and answers are read. Shared by invoke.c and invoke_async.c.
 */
#pragma once

#include "answers.h"
#include "path.h"
#include "policy.h"
#include "sagemaker.h"

enum { ENDPOINT_MAX = 63, SCORING_HEADERS = 32, SCORING_COLUMNS = 12, SCORING_WHO = 96 };

/* A column whose cells go into a header (or choose the endpoint or region) instead of into the body. */
struct scoring_column {
    enum { COLUMN_HEADER, COLUMN_ENDPOINT, COLUMN_REGION } what;
    pbay_str header;    /* COLUMN_HEADER; borrowed for ever */
    pbay_str name;      /* the configuration's, for messages */
    uint32_t index;     /* of the columns that are sent */
    const char *option; /* "target_model" */
};

struct scoring {
    struct sagemaker *sm;
    char endpoint[ENDPOINT_MAX + 1];
    char region[AWS_REGION]; /* empty: the connector's */
    char who[SCORING_WHO];   /* "endpoint churn-v1" */
    pbay_codec codec;
    pbay_header
        headers[SCORING_HEADERS]; /* texts are the configuration's; Content-Type and Accept come first */
    uint32_t n_headers;
    struct scoring_column from[SCORING_COLUMNS];
    uint32_t n_from;
    struct path path;
    struct answer_columns columns;
    struct use use;
};

/* Options that both have. */
#define SCORING_OPTIONS                                                                                      \
    {"endpoint", PBAY_OPT_STR, PBAY_OPTF_REQUIRED | PBAY_OPTF_PER_CALL, NULL, NULL, "name of the endpoint"}, \
        {"region",                                                                                           \
         PBAY_OPT_STR,                                                                                       \
         PBAY_OPTF_PER_CALL,                                                                                 \
         NULL,                                                                                               \
         NULL,                                                                                               \
         "where the endpoint is when it is not in the connector's region; callers choose among "             \
         "allow_regions"},                                                                                   \
        {"format",                                                                                           \
         PBAY_OPT_ENUM,                                                                                      \
         PBAY_OPTF_PER_CALL,                                                                                 \
         "csv",                                                                                              \
         "csv|json|lines",                                                                                   \
         "how rows are sent: CSV lines, JSON {\"instances\": [[...]]}, or JSON lines of arrays"},            \
        {"body",                                                                                             \
         PBAY_OPT_ENUM,                                                                                      \
         PBAY_OPTF_PER_CALL,                                                                                 \
         "quoted",                                                                                           \
         "quoted|raw",                                                                                       \
         "csv: raw sends the one text column as it is, a line per row; quoted writes fields as CSV"},        \
        {"last_newline", PBAY_OPT_BOOL, PBAY_OPTF_PER_CALL,                                                  \
         "yes",          NULL,          "csv, lines: the last line ends with a newline too"},                \
        {"instances_key", PBAY_OPT_STR, PBAY_OPTF_PER_CALL,                                                  \
         "instances",     NULL,         "json: the member that holds the rows; empty: a bare array"},        \
        {"content_type", PBAY_OPT_STR, PBAY_OPTF_PER_CALL,                                                   \
         NULL,           NULL,         "instead of the one that goes with the format"},                      \
        {"accept", PBAY_OPT_STR, PBAY_OPTF_PER_CALL,                                                         \
         NULL,     NULL,         "instead of the one that goes with the format"},                            \
        {"path",                                                                                             \
         PBAY_OPT_STR,                                                                                       \
         PBAY_OPTF_PER_CALL,                                                                                 \
         NULL,                                                                                               \
         NULL,                                                                                               \
         "where in the answer the predictions are: predictions[].score; for CSV the number of a field: "     \
         "[0]"},                                                                                             \
        {"custom_attributes",                                                                                \
         PBAY_OPT_STR,                                                                                       \
         PBAY_OPTF_PER_CALL,                                                                                 \
         NULL,                                                                                               \
         NULL,                                                                                               \
         "passed on to the container, up to 1024 visible characters"},                                       \
    {                                                                                                        \
        "inference_id", PBAY_OPT_STR, PBAY_OPTF_PER_CALL, NULL, NULL,                                        \
            "stands in captured data beside the request"                                                     \
    }

/* Fill *s (zeroed) from what a function says. PBAY_OK, or a code with *why; then scoring_free. async: of
 * invoke_async. */
int32_t scoring_read(struct scoring *s, struct sagemaker *sm, const pbay_function_info *info, int async,
                     pbay_result *why);
void scoring_free(struct scoring *s);
/* Will these columns do? For body = raw, and for `column.` by number. */
int32_t scoring_fits(const struct scoring *s, const pbay_batch *in, pbay_result *why);
/* May a caller name it? */
int scoring_endpoint_valid(pbay_str endpoint);
int scoring_allowed(const struct sagemaker *sm, const char *list, pbay_str name);
/* A reply of 2xx into a builder of n_rows answers, or NULL with the failure in *r; text: room for its
 * message. */
pbay_builder *scoring_answers(const struct scoring *s, const char *who, pbay_str body, uint32_t n_rows,
                              pbay_result *r, char text[1024]);
