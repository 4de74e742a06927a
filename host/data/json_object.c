/* SPDX-License-Identifier: MIT */
#include "data/json_object.h"

#include "base/mem.h"
#include "data/json_scan.h"

enum { MEMBERS_MAX = 4096 };

struct reader {
    struct pb_scan_in in;
    pbay_str text;
    uint32_t depth;
    struct pb_err *err;
};

static int fail(struct reader *r, const char *what)
{
    const char *at = r->in.why ? r->in.at : r->in.p;
    return pb_fail(r->err, PBAY_INVALID_ARGUMENT, "byte %zu: %s", (size_t)(at - r->text.p) + 1,
                   r->in.why ? r->in.why : what);
}

static int open_at(struct reader *r, pbay_str text, char c, uint32_t depth, struct pb_err *err)
{
    if (!text.n) return pb_fail(err, PBAY_INVALID_ARGUMENT, "the text is empty");
    *r = (struct reader){
        .in = {.p = text.p, .end = text.p + text.n, .whole = true}, .text = text, .depth = depth, .err = err};
    pb_scan_space(&r->in);
    if (r->in.p == r->in.end || *r->in.p != c || depth < 2)
        return fail(r, c == '{' ? "a JSON object is expected" : "a JSON array is expected");
    r->in.p++;
    pb_scan_space(&r->in);
    return 0;
}

static bool at(const struct reader *r, char c)
{
    return r->in.p < r->in.end && *r->in.p == c;
}

/* After a value: 1 there is another, 0 that was the last and nothing follows, -1 neither. */
static int next(struct reader *r, char close)
{
    pb_scan_space(&r->in);
    if (at(r, ',')) {
        r->in.p++;
        pb_scan_space(&r->in);
        return 1;
    }
    if (!at(r, close)) return fail(r, "a comma or the end is expected");
    r->in.p++;
    pb_scan_space(&r->in);
    return r->in.p == r->in.end ? 0 : fail(r, "something follows the end");
}

static int value(struct reader *r, pbay_str *out)
{
    return pb_scan_value(&r->in, r->depth - 1, out) == PB_SCAN_OK ? 0 : fail(r, "a JSON value is expected");
}

static pbay_str decoded(pbay_str raw, bool escaped, struct pb_arena *a)
{
    if (!escaped) return raw;
    char *p = pb_arena_alloc(a, raw.n ? raw.n : 1);
    return pb_str(p, pb_json_unescape(raw, p));
}

int pb_json_object(pbay_str text, size_t max, uint32_t depth, struct pb_arena *a, struct pb_json_object *out,
                   struct pb_err *err)
{
    *out = (struct pb_json_object){NULL, 0};
    struct reader r;
    if (open_at(&r, text, '{', depth, err)) return -1;
    if (max > MEMBERS_MAX) max = MEMBERS_MAX;
    struct pb_json_member *m = NULL;
    size_t n = 0, cap = 0;
    int more = 1, rc = -1;
    if (at(&r, '}')) more = next(&r, '}');
    while (more > 0) {
        pbay_str raw;
        bool escaped = false;
        if (n == max) {
            pb_fail(err, PBAY_INVALID_ARGUMENT, "an object has more than %zu members", max);
            goto out;
        }
        PB_GROW(m, cap, n + 1);
        if (!at(&r, '"') || pb_scan_string(&r.in, &raw, &escaped) != PB_SCAN_OK) {
            fail(&r, "a name in double quotes is expected");
            goto out;
        }
        m[n].name = decoded(raw, escaped, a);
        for (size_t i = 0; i < n; i++) {
            if (!pb_str_eq(m[i].name, m[n].name)) continue;
            fail(&r, "a name stands twice in one object");
            goto out;
        }
        pb_scan_space(&r.in);
        if (!at(&r, ':')) {
            fail(&r, "a colon is expected");
            goto out;
        }
        r.in.p++;
        if (value(&r, &m[n++].value)) goto out;
        more = next(&r, '}');
    }
    if (more < 0) goto out;
    out->n = n;
    if (n) {
        out->members = pb_arena_alloc(a, n * sizeof *m);
        memcpy(out->members, m, n * sizeof *m);
    }
    rc = 0;
out:
    pb_free(m);
    return rc;
}

int pb_json_array(pbay_str text, size_t max, uint32_t depth, struct pb_arena *a, pbay_str **items, size_t *n,
                  struct pb_err *err)
{
    *items = NULL;
    *n = 0;
    struct reader r;
    if (open_at(&r, text, '[', depth, err)) return -1;
    pbay_str *got = NULL;
    size_t cap = 0, used = 0;
    int more = at(&r, ']') ? next(&r, ']') : 1;
    while (more > 0) {
        if (used == max) {
            more = pb_fail(err, PBAY_INVALID_ARGUMENT, "an array has more than %zu items", max);
            break;
        }
        PB_GROW(got, cap, used + 1);
        more = value(&r, &got[used++]) ? -1 : next(&r, ']');
    }
    if (more == 0 && used) {
        *items = pb_arena_alloc(a, used * sizeof *got);
        memcpy(*items, got, used * sizeof *got);
        *n = used;
    }
    pb_free(got);
    return more;
}

pbay_str pb_json_get(const struct pb_json_object *o, const char *name)
{
    for (size_t i = 0; i < o->n; i++)
        if (pb_str_is(o->members[i].name, name)) return o->members[i].value;
    return pb_str(NULL, 0);
}

bool pb_json_string(pbay_str value, struct pb_arena *a, pbay_str *out)
{
    if (!value.n || *value.p != '"') return false;
    struct pb_scan_in in = {.p = value.p, .end = value.p + value.n, .whole = true};
    bool escaped = false;
    if (pb_scan_string(&in, out, &escaped) != PB_SCAN_OK || in.p != in.end) return false;
    *out = decoded(*out, escaped, a);
    return true;
}
