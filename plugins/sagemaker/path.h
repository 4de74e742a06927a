/* SPDX-License-Identifier: MIT */
/*
 * Where in a JSON answer the predictions are: `predictions[].score`, `result.scores`, `[1]`, `[][0]`.
 *
 * Names are separated by dots; `[]` stands for the rows, `[N]` for an element. A leading `$` or `$.` is
 * skipped.
 */
#pragma once

#include <jansson.h>

#include <patchbay/types.h>

enum { PATH_STEPS = 16, PATH_TEXT = 256 };
enum path_step_kind { PATH_NAME, PATH_INDEX, PATH_ROWS };

struct path_step {
    enum path_step_kind kind;
    uint32_t index;   /* PATH_INDEX */
    const char *name; /* PATH_NAME: in `text` */
};

struct path {
    uint32_t n;    /* 0: no path was given */
    uint32_t rows; /* the step that is PATH_ROWS; n: there is none */
    struct path_step steps[PATH_STEPS];
    char text[PATH_TEXT];
};

/* 0, or -1 with a constant text in *why. An empty text is a path without steps. */
int path_parse(pbay_str text, struct path *out, const char **why);
/* Follow steps from .. to - 1. NULL: there is no such place. Borrows from v. */
const json_t *path_follow(const struct path *p, uint32_t from, uint32_t to, const json_t *v);
