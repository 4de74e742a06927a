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
 * at the ends cut. *out is overwritten. 0; or -1 with a sentence in *out: not valid UTF-8, a page of HTML, or
 * an object by which Lambda and API Gateway say that something failed although the status is 200.
 */
int qrag_answer(pbay_str body, struct text *out);

/*
 * rest_template: URL + FIRST + ?PARAMETER=SECOND& with the callers' texts percent-encoded, where the older
 * gateway pasted them as they came. *out is overwritten.
 */
void qrag_url(struct text *out, pbay_str url, pbay_str first, pbay_str parameter, pbay_str second);
/* The last element of the list `key` of a JSON object. 0; 1: the list is empty, or the element null; -1: as
 * above. */
int qrag_last(pbay_str body, pbay_str key, struct text *out);
