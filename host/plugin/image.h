/* SPDX-License-Identifier: MIT */
/*
 * A shared object's file before it is mapped: is it one at all, and one for this machine? Inside of this
 * room. Threads: any.
 */
#pragma once

#include "base/err.h"

/* 0, or -1 with err naming the field of the ELF header that differs, with both values. Leaves fd's offset
 * alone. */
int pb_image_check(int fd, const char *path, struct pb_err *err);
