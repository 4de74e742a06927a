/* SPDX-License-Identifier: MIT */
/*
 * What a ModelDB 1.0 server may answer: first byte says which call, the rest is a stream of frames. Each is
 * an answer or a fault with its reason; texts lie inside of the frame; and any value can be skipped.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/modeldb/v1_calls.h"

static void must(int good)
{
    if (!good) abort();
}

static void within(pbay_str s, pbay_str frame)
{
    if (s.n) must(s.p >= frame.p && s.p + s.n <= frame.p + frame.n);
}

static void check(const v1_answer *a, pbay_str frame)
{
    must((a->end == V1_UNREADABLE) == (a->fault != THRIFT_FINE));
    must((a->end == V1_UNREADABLE) == (a->why[0] != 0));
    within(a->message, frame);
    within(a->project_description, frame);
    for (size_t i = 0; i < a->n_runs; i++) within(a->runs[i].description, frame);
    for (size_t i = 0; i < a->n_frames; i++) within(a->frames[i].tag, frame);
    for (size_t i = 0; i < a->n_models; i++) {
        const v1_model *m = &a->models[i];
        within(m->metadata, frame);
        for (size_t j = 0; j < m->n_parameters; j++) within(m->parameters[j].value, frame);
        for (size_t j = 0; j < m->n_metrics; j++) within(m->metrics[j].name, frame);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n) return 0;
    /* Of its own size, so that reading beyond it is seen. */
    char *own = malloc(n > 1 ? n - 1 : 1);
    must(own != NULL);
    if (n > 1) memcpy(own, data + 1, n - 1);
    pbay_str left = {own, n - 1}, frame;
    size_t more;
    enum thrift_fault fault;
    char why[THRIFT_WHY] = "";
    int rc;
    while ((rc = thrift_frame(left, &frame, &more, &fault, why)) == 1) {
        v1_answer a;
        thrift_in in;
        v1_read(frame, (enum v1_method)(data[0] % V1_METHODS), 0, &a);
        check(&a, frame);
        v1_answer_free(&a);
        thrift_in_init(&in, frame);
        thrift_in_skip(&in, (enum thrift_type)(data[0] & 15));
        must(thrift_in_done(&in) == (in.fault == THRIFT_FINE));
        left.p += THRIFT_HEAD + frame.n;
        left.n -= THRIFT_HEAD + frame.n;
    }
    if (rc < 0) must(why[0] != 0);
    if (rc == 0) must(more > 0);
    free(own);
    return 0;
}
