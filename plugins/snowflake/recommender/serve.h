/* SPDX-License-Identifier: MIT */
/*
 * The model behind SageMaker's serving contract
 * (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html): GET /ping, POST
 * /invocations.
 */
#pragma once

#include "base/err.h"
#include "base/buf.h"
#include "model.h"

enum { REC_BODY_MAX = 5 << 20 };

/* Serve root's model at "0.0.0.0:8080" until SIGTERM. 0, or -1 with err. */
int rec_serve(const char *root, const char *address, struct pb_err *err);
/*
 * `user,item` a line to an estimate a line, appended to out. Errors: INVALID_ARGUMENT with the line and what
 * stands there; nothing of an answer is to be used then.
 */
int rec_answer(const struct rec_model *m, pbay_str body, struct pb_buf *out, struct pb_err *err);
