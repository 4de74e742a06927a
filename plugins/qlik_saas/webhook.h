/* SPDX-License-Identifier: MIT */
/* POST /CONNECTOR/hook. [any] */
#pragma once

#include "qlik.h"

/* "stored", "known", "ignored", "refused", "foreign", "lost": in answers and metrics. */
const char *webhook_end_name(enum hook_end e);
