/* SPDX-License-Identifier: MIT */
/*
 * The body of a webhook, whatever it is: refused with a sentence, or taken apart into an event whose JSON can
 * be read and says what the envelope says; by the short way the same as by the thorough one. First byte:
 * flags.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/qlik_saas/envelope.h"

static void must(int good)
{
    if (!good) abort();
}

/* Read without the short way: as good, or as bad, and the same event. */
static void same_thoroughly(pbay_str body, unsigned flags, int rc, const struct envelope *e)
{
    struct envelope other;
    char why[ENVELOPE_WHY];
    pbay_text a = {NULL, 0, 0}, b = {NULL, 0, 0};
    must(envelope_read(body, flags | ENVELOPE_THOROUGH, &other, why) == rc);
    if (!rc) {
        must(e->types_differ == other.types_differ && e->kind == other.kind);
        envelope_json(e, &a);
        envelope_json(&other, &b);
        must(a.n == b.n && !memcmp(a.p, b.p, a.n));
    }
    pbay_text_free(&a);
    pbay_text_free(&b);
    envelope_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct envelope e;
    char why[ENVELOPE_WHY];
    if (!n) return 0;
    /* Of its own size, so that reading beyond it is seen. */
    char *body = malloc(n > 1 ? n - 1 : 1);
    if (n > 1) memcpy(body, data + 1, n - 1);
    int rc = envelope_read((pbay_str){body, n - 1}, data[0] & ENVELOPE_PAPER, &e, why);
    same_thoroughly((pbay_str){body, n - 1}, data[0] & ENVELOPE_PAPER, rc, &e);
    if (rc) {
        must(why[0] && strlen(why) < ENVELOPE_WHY);
    } else {
        pbay_text out = {NULL, 0, 0};
        char name[24];
        envelope_json(&e, &out);
        json_t *root = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
        must(json_is_object(root));
        const json_t *app = json_object_get(root, "app_id"), *status = json_object_get(root, "status");
        must(!strcmp(json_string_value(status), status_name(e.status)));
        must(e.kind == EVENT_OTHER || e.app.n);
        must(!e.app.n ||
             (json_string_length(app) == e.app.n && !memcmp(json_string_value(app), e.app.p, e.app.n)));
        type_short(e.type, name, sizeof name);
        must(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name));
        json_decref(root);
        pbay_text_free(&out);
    }
    envelope_free(&e);
    free(body);
    return 0;
}
