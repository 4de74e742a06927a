/* SPDX-License-Identifier: MIT */
/*
 * Hyperparameters and the folders of SageMaker's training contract
 * (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html): below /opt/ml,
 * input/config/hyperparameters.json (a flat object of strings), input/data/CHANNEL/, model/, output/failure,
 * output/data/.
 */
#pragma once

#include "base/err.h"
#include "fit.h"

struct rec_hyper {
    struct rec_params params;
    /* Texts: owned, NULL when not given. */
    char *input_table, *output_table; /* names of Snowflake tables: DB.SCHEMA.TABLE */
    char *output_mode;                /* "replace" (what the table held before goes) or "append" */
    char *region;
    char *account, *user, *warehouse, *database, *schema, *role;
    char *secret_parameter; /* of the SSM parameter store: a programmatic access token or a private key */
    char *private_key_file; /* PEM; instead of the parameter */
    char *token_file;       /* a programmatic access token or an OAuth token; instead of the parameter */
    char *token_type;       /* of a token: PROGRAMMATIC_ACCESS_TOKEN (default) or OAUTH */
    char *snowflake_url;    /* instead of https://ACCOUNT.snowflakecomputing.com, for a proxy or a test */
};

/*
 * From the text of hyperparameters.json; empty text is an empty object. Numbers may stand with or without
 * quotes; names beginning with sagemaker_ or _ are SageMaker's own and passed over. Errors name the
 * hyperparameter, its value and what was expected; an unknown one is an error.
 */
int rec_hyper_parse(struct rec_hyper *h, pbay_str json, struct pb_err *err);
void rec_hyper_free(struct rec_hyper *h);
