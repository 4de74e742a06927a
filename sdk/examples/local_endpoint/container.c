/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <stdlib.h>
#include <string.h>

struct question {
    container_answered answered;
    void *user;
    char *url, *body; /* one block with the question */
};

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct question *q = user;
    pbay_str type = {"text/csv", 8};
    (void)exchange;
    for (uint32_t i = 0; i < reply->n_headers; i++)
        if (reply->headers[i].name.n == 12 && memcmp(reply->headers[i].name.p, "content-type", 12) == 0)
            type = reply->headers[i].value;
    q->answered(q->user, reply->result.code == PBAY_OK ? reply->status : 0, type, reply->body);
    free(q);
}

int container_ask(const pbay_host *host, const pbay_http_1 *http, pbay_str url, pbay_str type, pbay_str body,
                  container_answered answered, void *user, pbay_result *why)
{
    static const char path[] = "/invocations";
    struct question *q = malloc(sizeof *q + url.n + sizeof path + body.n);
    if (!q) return 0;
    *q = (struct question){answered, user, (char *)(q + 1), (char *)(q + 1) + url.n + sizeof path};
    memcpy(q->url, url.p, url.n);
    memcpy(q->url + url.n, path, sizeof path);
    if (body.n) memcpy(q->body, body.p, body.n);
    const pbay_header headers[] = {{{"content-type", 12}, type}};
    const pbay_http_request request = {.struct_size = sizeof request,
                                       .flags = PBAY_HTTP_CONFIGURED,
                                       .method = {"POST", 4},
                                       .url = {q->url, url.n + sizeof path - 1},
                                       .headers = headers,
                                       .n_headers = 1,
                                       .body = {q->body, body.n}};
    const pbay_http_events events = {.struct_size = sizeof events, .on_done = on_done};
    if (http->send(host, &request, &events, q, why)) return 1;
    free(q);
    return 0;
}
