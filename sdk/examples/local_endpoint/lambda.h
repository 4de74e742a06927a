/* SPDX-License-Identifier: MIT */
/* What stood between an older gateway and its endpoint: an API Gateway method and a Lambda. Sans I/O. */
#pragma once

#include "score.h"

/* {"data":"1,2,3"} to "0.8401", quotes included. -1: the body is not that. */
int lambda_answer(pbay_str body, struct out *out);
