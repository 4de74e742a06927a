/* SPDX-License-Identifier: MIT */
#include "flow/chain_notify.h"

#include "base/str.h"

static void entities(struct pb_buf *out, pbay_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '&')
            pb_buf_c(out, "&amp;");
        else if (text.p[i] == '<')
            pb_buf_c(out, "&lt;");
        else if (text.p[i] == '>')
            pb_buf_c(out, "&gt;");
        else
            pb_buf_ch(out, text.p[i]);
    }
}

static void slack(struct pb_buf *out, pbay_str text, pbay_str log)
{
    struct pb_buf b = {0};
    entities(&b, text);
    if (log.n) {
        pb_buf_c(&b, "\n```\n");
        entities(&b, log);
        pb_buf_c(&b, "\n```");
    }
    pb_buf_c(out, "{\"text\":");
    pb_buf_json(out, pb_buf_view(&b));
    pb_buf_c(out, "}");
    pb_buf_free(&b);
}

void pb_notify_body(struct pb_buf *out, const struct pb_notify_target *t, pbay_str text, pbay_str log)
{
    switch (t->format) {
    case PB_NOTIFY_SLACK: slack(out, text, log); return;
    case PB_NOTIFY_TEAMS:
        pb_buf_c(out, "{\"type\":\"message\",\"attachments\":[{\"contentType\":\"application/"
                      "vnd.microsoft.card.adaptive\","
                      "\"contentUrl\":null,\"content\":{\"$schema\":\"http://adaptivecards.io/schemas/"
                      "adaptive-card.json\","
                      "\"type\":\"AdaptiveCard\",\"version\":\"1.2\",\"body\":[{\"type\":\"TextBlock\","
                      "\"wrap\":true,\"text\":");
        pb_buf_json(out, text);
        if (log.n) {
            pb_buf_c(out, "},{\"type\":\"TextBlock\",\"wrap\":true,\"fontType\":\"Monospace\",\"text\":");
            pb_buf_json(out, log);
        }
        pb_buf_c(out, "}]}}]}");
        return;
    case PB_NOTIFY_JSON: break;
    }
    pb_buf_c(out, "{\"text\":");
    pb_buf_json(out, text);
    if (log.n) {
        pb_buf_c(out, ",\"log\":");
        pb_buf_json(out, log);
    }
    pb_buf_c(out, ",\"source\":\"patchbay\",\"target\":");
    pb_buf_json(out, t->name);
    pb_buf_c(out, "}");
}

int pb_notify_answer(int32_t status, const pbay_result *how, pbay_str retry_after, struct pb_err *err)
{
    int64_t seconds;
    if (how->code != PBAY_OK) {
        pb_err_from_result(err, how);
        err->advice = PBAY_ADVICE_RETRY;
        return -1;
    }
    if (status >= 200 && status < 300) return 0;
    bool again = status == 429 || status == 408 || status >= 500;
    pb_fail(err, again ? PBAY_UNAVAILABLE : PBAY_FAILED_PRECONDITION, "the target answered %d", (int)status);
    err->vendor_status = status;
    err->advice = again ? PBAY_ADVICE_RETRY : 0;
    if (again && pb_parse_i64(retry_after, &seconds) && seconds > 0 && seconds < 86400)
        err->retry_after_ms = seconds * 1000;
    return -1;
}
