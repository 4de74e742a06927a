/* SPDX-License-Identifier: MIT */
/*
 * Data written as JavaScript: the list in a file such as
 *
 *     module.exports = [ { name: 'app 1', appId: 'b4a3…', chain: ['app 2'], condition: 'ok' }, ];
 *
 * read without running anything. Comments, three kinds of quotes, names without quotes, commas at the end.
 * What copying out of a document does to it is mended and told: a line broken inside of a text, `}` where `]`
 * is due. What is code (a name, a call, ${…}) is an error. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum pb_js_kind { PB_JS_NULL, PB_JS_BOOL, PB_JS_NUMBER, PB_JS_TEXT, PB_JS_LIST, PB_JS_OBJECT };

struct pb_js {
    enum pb_js_kind kind;
    uint32_t line;
    pbay_str text;              /* TEXT: decoded; NUMBER, BOOL: as written */
    pbay_str name;              /* of a member */
    struct pb_js *first, *next; /* members, items */
};

/* Something that was mended. */
typedef void (*pb_js_mended_fn)(void *user, uint32_t line, const char *what);

/*
 * The first list (or object) of the text. *out lives in mem. Errors: INVALID_ARGUMENT "line 7: …". At most
 * 1 MiB, 16 levels, 100,000 values.
 */
int pb_js_read(pbay_str text, struct pb_arena *mem, pb_js_mended_fn mended, void *user, struct pb_js **out,
               struct pb_err *err);
/* A member by name, or NULL. */
const struct pb_js *pb_js_get(const struct pb_js *object, const char *name);
