/* SPDX-License-Identifier: MIT */
/* What a ModelDB 1.0 server holds beside what it is to hold. Threads: one at a time per value. */
#pragma once

#include "v1_sync.h"

bool v1_same(pbay_str a, pbay_str b);
/* The metric of that name, on whichever frame; one with the right value before others. NULL: none. */
const v1_stored_metric *v1_stored(const v1_model *m, const v1_number *n);
/* Type, hyperparameters, metrics that are not wanted, and the training channel. */
void v1_compare_model(const v1_wanted *w, const v1_model *m, size_t train, v1_differs differs, void *user);

/* A model's metadata: a JSON object. What is not one is empty. */
typedef struct v1_document v1_document;

v1_document *v1_document_read(pbay_str json);
/* The member when it is a text; borrowed from the document. */
bool v1_document_text(const v1_document *d, pbay_str key, pbay_str *text);
void v1_document_free(v1_document *d);
