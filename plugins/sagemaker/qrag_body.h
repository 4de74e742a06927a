/* SPDX-License-Identifier: MIT */
/*
 * The messages of the older gateway's REST functions: {"data":"..."} out, a JSON string or bare text back.
 * Sans I/O.
 */
#pragma once

#include <patchbay/types.h>

#include "text.h"

/* {"data":"VALUE"} with VALUE escaped as JSON wants it, and nothing else between. */
void qrag_body(struct text *out, pbay_str value);
/*
 * What an answer says: a JSON string is decoded; of anything else the double quotes are taken out and blanks
 * at the ends cut. *out is overwritten. 0, or -1: not valid UTF-8.
 */
int qrag_answer(pbay_str body, struct text *out);
