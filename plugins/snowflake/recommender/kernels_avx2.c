/* SPDX-License-Identifier: MIT */
/* kernels.h for processors with avx2. */
#define REC_WIDTH   8
#define REC_NAME    "avx2"
#define REC_KERNELS rec_kernels_avx2
#include "kernels_body.h"
