/* SPDX-License-Identifier: MIT */
/* A plugin that does what its configuration says, right and wrong: part of the tests of the mock host. */
#pragma once

#include <patchbay/plugin.h>

const pbay_entry *odd_entry(void);
