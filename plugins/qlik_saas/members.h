/* SPDX-License-Identifier: MIT */
/*
 * The members of a webhook's body that an event is made of: those of the outermost object, of `extensions`
 * and of `data`.
 *
 * Nearly all bodies are plain: one pass over the bytes finds their members, and nothing is allocated. What is
 * not sure to be JSON (RFC 8259) with the same members as jansson would find (an escape in a text, a number
 * with an exponent, too many members to compare, anything wrong) is read by jansson, whose word counts. Sans
 * I/O; threads: any.
 */
#pragma once

#include <jansson.h>

#include <patchbay/types.h>

enum member_of { OF_EVENT, OF_EXTENSIONS, OF_DATA };
enum member_kind {
    MEMBER_NONE,
    MEMBER_TEXT,
    MEMBER_NUMBER,
    MEMBER_TRUE,
    MEMBER_FALSE,
    MEMBER_OBJECT,
    MEMBER_OTHER
};

enum { MEMBERS_MAX = 96, MEMBERS_DEPTH = 32 };

typedef struct member {
    pbay_str name;
    enum member_of of;
    enum member_kind kind;
    pbay_str text;
    double number;
} member;

/* Texts are borrowed from the body, or from `root`. */
typedef struct members {
    member list[MEMBERS_MAX];
    uint32_t n;
    pbay_str data;        /* the member `data` as it stands in the body */
    pbay_str first_error; /* of data.errors: a text, or the `message` of an object */
    json_t *root;         /* NULL: the body was plain */
} members;

/* One pass. 0: it is not sure, and nothing is said of the body. */
int members_plain(pbay_str body, members *out);
/* With jansson; -1 with *err (no JSON, or two members of one name), or -2: deeper than MEMBERS_DEPTH, or -3:
 * no object. */
int members_thorough(pbay_str body, members *out, json_error_t *err);
void members_free(members *m);

/* NULL: there is none. */
const member *members_get(const members *m, enum member_of of, const char *name);
pbay_str members_text(const members *m, enum member_of of, const char *name); /* empty: none, or no text */
