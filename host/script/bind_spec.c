/* SPDX-License-Identifier: MIT */
/* Placeholder list until spec.c brings its functions. */
#include "script/vm_priv.h"

const struct pb_binding pb_bind_spec[] = {{NULL, NULL, NULL, NULL}};
