/* SPDX-License-Identifier: MIT */
/* Names as Qlik Cloud compares them: upper and lower case alike. Sans I/O, any thread. */
#pragma once

#include <patchbay/types.h>

/* Equal but for case? Letters of Latin, Greek and Cyrillic script; others must be the same. Both are UTF-8.
 */
int fold_equal(pbay_str a, pbay_str b);
