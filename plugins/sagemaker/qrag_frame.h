/* SPDX-License-Identifier: MIT */
/*
 * A pandas data frame in JSON, as the older gateway sends it to Databricks and MLflow (`rest_dataframe`).
 * Sans I/O.
 *
 *   lines of CSV below the header `schema_metadata`
 *   -> {"index": [0, 1], "columns": ["a", "b"], "data": [[17.99, 1], [20.57, 0]]}
 *
 * That is DataFrame.to_dict("split") of what pandas.read_csv makes of the lines: a column is of integers when
 * all its values are, of floats when all are numbers, of booleans when all are True or False, else of texts;
 * a missing value is null and makes integers floats. MLflow from 2.0 on wants the same below
 * "dataframe_split" (https://mlflow.org/docs/latest/deployment/deploy-model-locally/), and answers
 * {"predictions": [...]}.
 */
#pragma once

#include <patchbay/types.h>

#include "text.h"

struct frame;

/* header: "a,b,c". NULL: it has no column. Returns owned. */
struct frame *frame_new(pbay_str header);
void frame_free(struct frame *f);
uint32_t frame_columns(const struct frame *f);
/* One line of CSV. 0, or -1 with a sentence in why. */
enum { FRAME_WHY = 256 };
int frame_line(struct frame *f, pbay_str line, char why[FRAME_WHY]);
/* Append {"index": ...}; wrapped: as "dataframe_split". */
void frame_json(const struct frame *f, int wrapped, struct text *out);

/*
 * What came back: a JSON list, or an object whose `predictions` is one, of n answers: put(user, i, text,
 * null) for each, in order, texts as Python's str() has them. 0, or -1 with a sentence in why.
 */
int frame_answers(pbay_str body, uint32_t n, void (*put)(void *user, uint32_t i, pbay_str text, int null),
                  void *user, char why[FRAME_WHY]);
