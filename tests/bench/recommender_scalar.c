/* SPDX-License-Identifier: MIT */
/* The recommender's kernels one number at a time, as a build without vectors has them. */
#define REC_WIDTH   1
#define REC_NAME    "scalar"
#define REC_KERNELS rec_kernels_scalar
#include "kernels_body.h"
