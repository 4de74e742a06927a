/* SPDX-License-Identifier: MIT */
/* The operations of the older gateway beside its first three: qrag_rest.c, qrag_dataframe.c, qrag_ws.c. */
#pragma once

#include "sagemaker.h"

extern const struct operation rest_template_operation, rest_dataframe_operation, ws_single_operation,
    ws_batch_operation;
extern const pbay_option template_options[], dataframe_options[], ws_single_options[], ws_batch_options[];
extern const uint32_t template_n_options, dataframe_n_options, ws_single_n_options, ws_batch_n_options;
