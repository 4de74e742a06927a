/* SPDX-License-Identifier: MIT */
/* Texts around AWS credentials: shared files, answers of STS and metadata, times. The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/sagemaker/aws_chain.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct aws_profile profile;
    struct aws_keys keys;
    const char *why = NULL;
    if (n < 1) return 0;
    char *copy = malloc(n);
    if (n > 1) memcpy(copy, data + 1, n - 1);
    pbay_str s = {copy, n - 1};
    switch (data[0] % 5) {
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
