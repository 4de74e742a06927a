/* SPDX-License-Identifier: MIT */
/* kernels.h for processors with avx512. */
#define REC_WIDTH   16
#define REC_NAME    "avx512"
#define REC_KERNELS rec_kernels_avx512
#include "kernels_body.h"
