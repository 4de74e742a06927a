/* SPDX-License-Identifier: MIT */
/* What an older gateway's backends answer, and lines of CSV for a data frame. The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>

#include "../../plugins/sagemaker/qrag_body.h"
#include "../../plugins/sagemaker/qrag_frame.h"
#include "../../plugins/sagemaker/qrag_message.h"

static void put(void *user, uint32_t i, pbay_str text, int null)
{
    (void)user, (void)i, (void)text, (void)null;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct text t = {NULL, 0, 0};
    char why[FRAME_WHY];
    pbay_str rest = {(const char *)data + 1, size - 1};
    switch (data[0] % 5) {
    case 0: qrag_answer(rest, &t); break;
    case 1: qrag_last(rest, (pbay_str){"ratings", 7}, &t); break;
    case 2: qrag_ws_reply(rest, (pbay_str){"result, re", 10}, &t); break;
    case 3: frame_answers(rest, 3, put, NULL, why); break;
    default: {
        size_t head = rest.n < 16 ? rest.n : 16;
        struct frame *f = frame_new((pbay_str){rest.p, head});
        if (!f) break;
        for (size_t i = head; i < rest.n; i += 8)
            frame_line(f, (pbay_str){rest.p + i, rest.n - i < 8 ? rest.n - i : 8}, why);
        frame_json(f, 1, &t);
        frame_free(f);
    }
    }
    free(t.p);
    return 0;
}
