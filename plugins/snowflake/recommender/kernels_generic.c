/* SPDX-License-Identifier: MIT */
/* kernels.h for every processor: four floats at a time, which all have. */
#define REC_WIDTH   4
#define REC_NAME    "generic"
#define REC_KERNELS rec_kernels_generic
#include "kernels_body.h"
