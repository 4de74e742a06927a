/* SPDX-License-Identifier: MIT */
/* Texts around AWS: shared files, answers of STS and metadata, times, events, arguments of actions, base64.
 * The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/sagemaker/aws_chain.h"
#include "../../plugins/sagemaker/aws_shape.h"
#include "../../plugins/sagemaker/base64.h"
#include "../../plugins/sagemaker/happening.h"
#include "kit/time.h"
#include "kit/xml.h"

static void value(void *user, pbay_str key, pbay_str sub, pbay_str v)
{
    size_t *n = user;
    *n += key.n + sub.n + v.n;
    volatile char last = v.n ? v.p[v.n - 1] : 0;
    (void)last;
}

static void keys_hold(const struct aws_keys *k)
{
    if (!memchr(k->id, 0, sizeof k->id) || !memchr(k->secret, 0, sizeof k->secret) ||
        !memchr(k->token, 0, sizeof k->token) || strpbrk(k->token, "\r\n"))
        abort();
}

static void events(pbay_str s)
{
    char why[HAPPENING_WHY];
    struct happening h;
    pbay_str key;
    json_t *v = json_loadb(s.n ? s.p : "", s.n, 0, NULL);
    int rc = happening_from_bridge(v, &h, why);
    if (rc == 0) {
        pbay_event e = happening_event(&h, &key);
        if (!key.n || key.n >= HAPPENING_KEY || !e.type.n || !e.data.n || e.data.p[0] != '{') abort();
    } else if (rc < 0 && !why[0])
        abort();
    happening_free(&h);
    if (happening_from_summary(v, &h) == 0 && !h.key[0]) abort();
    happening_free(&h);
    happening_from_message("id", s, &h);
    happening_free(&h);
    json_decref(v);
}

static void arguments(pbay_str s)
{
    static const char *const SHAPES[] = {aws_create_training_job, aws_create_endpoint_config,
                                         aws_create_auto_ml_job_v2, aws_list_training_jobs};
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        char why[SHAPE_WHY];
        json_t *v = json_loadb(s.n ? s.p : "", s.n, 0, NULL);
        if (v && (aws_shape_check(SHAPES[i], v, why) != 0) != (why[0] != 0)) abort();
        json_decref(v);
    }
}

static void base64(pbay_str s)
{
    char *coded = malloc(BASE64_ROOM(s.n) + 1), *back = malloc(BASE64_ROOM(s.n) + 1);
    size_t n = base64_encode(s, coded);
    ptrdiff_t k = base64_decode((pbay_str){coded, n}, back);
    if (k != (ptrdiff_t)s.n || (s.n && memcmp(back, s.p, s.n) != 0)) abort();
    if (base64_decode(s, back) > (ptrdiff_t)s.n) abort();
    free(coded);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct aws_profile profile;
    struct aws_keys keys;
    const char *why = NULL;
    if (n < 1) return 0;
    char *copy = malloc(n);
    if (n > 1) memcpy(copy, data + 1, n - 1);
    pbay_str s = {copy, n - 1};
    switch (data[0] % 8) {
    case 0: {
        size_t bytes = 0;
        memset(&profile, 0, sizeof profile);
        aws_profile_read(s, (pbay_str){"dev", 3}, 1, &profile);
        aws_profile_read(s, (pbay_str){"dev", 3}, 0, &profile);
        aws_file_section(s, "services", (pbay_str){"x", 1}, value, &bytes);
        if (bytes > s.n * s.n + s.n) abort();
        break;
    }
    case 1:
        if (aws_keys_from_sts(s, &keys) == 0) keys_hold(&keys);
        break;
    case 2:
        if (aws_keys_from_json(s, 1, 1700000000000, &keys, &why) == 0)
            keys_hold(&keys);
        else if (!why)
            abort();
        break;
    case 3: {
        size_t at = 0;
        char *out = malloc(n);
        pbay_str e;
        while ((e = pbay_xml_next(s, &at, "Code")).p) {
            if (at > s.n || e.p + e.n > s.p + s.n) abort();
            ptrdiff_t k = pbay_xml_text(e, out);
            if (k > (ptrdiff_t)e.n) abort();
        }
        free(out);
        break;
    }
    case 5: events(s); break;
    case 6: arguments(s); break;
    case 7: base64(s); break;
    default: {
        char text[PBAY_TIME_TEXT];
        int64_t ms = pbay_time_rfc3339(s);
        if (ms >= 0) {
            pbay_str again = {text, pbay_time_format(ms, text)};
            if (pbay_time_rfc3339(again) != ms && ms < INT64_C(253402300800000)) abort();
        }
        pbay_time_http(s);
    }
    }
    free(copy);
    return 0;
}
