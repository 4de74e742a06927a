/* SPDX-License-Identifier: MIT */
/*
 * The WebSocket messages of the older gateway (https://github.com/Qlik-PE/Rapid-ML-Gateway,
 * sagemaker/__main__.py), and numbers and texts as Python writes them. Sans I/O.
 *
 *   ws_single   {"action":"ROUTE","data":"VALUE"}                       -> {"result": "0.9876"}
 *   ws_batch    {"action": "ROUTE", "data": [{"duals": [{"strData": "VALUE"}]}, ...]}   -> the same, one per
 * row
 *
 * A batch is what json.dumps makes of protobuf's MessageToDict: numData 0 and an empty strData are left out,
 * text is ASCII with escapes, and blanks stand behind commas and colons.
 */
#pragma once

#include <jansson.h>

#include <patchbay/types.h>

#include "text.h"

/* What Python's repr() says of a float: 1.5, 3.0, 1e+22, 1e-07. Returns the length. */
enum { PY_FLOAT_MAX = 32 };
size_t py_float(double v, char out[PY_FLOAT_MAX]);
/* json.dumps of a text, quotes included; UTF-8 in, ASCII out. */
void py_json_text(struct text *out, pbay_str s);

/* Append a value as Python's str() has it. 1: it is null, nothing is appended. */
int py_str(const json_t *v, struct text *out);

void qrag_ws_single(struct text *out, pbay_str route, pbay_str value);
/* begin, (row: open, cell*, close)*, end. Overwrites, then appends. */
void qrag_ws_batch_begin(struct text *out, pbay_str route);
void qrag_ws_batch_open(struct text *out, int first_row);
void qrag_ws_batch_num(struct text *out, int first_cell, double v);
void qrag_ws_batch_str(struct text *out, int first_cell, pbay_str v);
void qrag_ws_batch_dual(struct text *out, int first_cell, double v, pbay_str s);
void qrag_ws_batch_close(struct text *out);
void qrag_ws_batch_end(struct text *out);

/*
 * What came back. 0: *out is the answer's text. 1: it is null. -1: no answer; *out is what the other side
 * said instead (API Gateway's `message`), or why it cannot be read. keys: the members that may hold the
 * answer, comma-separated, the first that is there counts.
 */
int qrag_ws_reply(pbay_str message, pbay_str keys, struct text *out);
