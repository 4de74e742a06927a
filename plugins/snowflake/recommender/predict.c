/* SPDX-License-Identifier: MIT */
#include "predict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "fetch.h"

static int slurp(const char *path, struct pb_buf *out, struct pb_err *err)
{
    bool in = !strcmp(path, "-");
    FILE *f = in ? stdin : fopen(path, "re");
    if (!f) return pb_fail(err, PBAY_NOT_FOUND, "%s cannot be read: %s", path, strerror(errno));
    size_t n;
    while ((n = fread(pb_buf_room(out, 65536), 1, 65536, f)) > 0) out->n += n;
    bool bad = ferror(f);
    if (!in) fclose(f);
    return bad ? pb_fail(err, PBAY_NOT_FOUND, "%s cannot be read: %s", path, strerror(errno)) : 0;
}

static int post(const char *url, const char *content_type, pbay_str body, struct pb_err *err)
{
    struct rec_fetcher *f = rec_fetcher_new(err);
    if (!f) return -1;
    char *full = pb_sprintf("%s/invocations", url);
    const pbay_header headers[] = {{PB_STR("content-type"), pb_str_c(content_type)}};
    const struct pb_fetch_request q = {.flags =
                                           PB_FETCH_CONFIGURED, /* the person who types it names the host */
                                       .method = PB_STR("POST"),
                                       .url = pb_str_c(full),
                                       .headers = headers,
                                       .n_headers = 1,
                                       .body = body};
    struct rec_reply reply;
    int rc = rec_fetch(f, &q, &reply, err);
    if (!rc && reply.status != 200)
        rc = pb_fail(err, PBAY_UNKNOWN, "%s answered %d: %.*s", full, reply.status,
                     (int)(reply.body.n < 500 ? reply.body.n : 500), reply.body.p ? reply.body.p : "");
    else if (!rc)
        fwrite(reply.body.p, 1, reply.body.n, stdout);
    rec_reply_free(&reply);
    rec_fetcher_free(f);
    pb_free(full);
    return rc;
}

int rec_predict(const char *url, const char *path, const char *content_type, struct pb_err *err)
{
    struct pb_buf body = {0};
    int rc = slurp(path, &body, err);
    if (!rc) rc = post(url, content_type, pb_buf_view(&body), err);
    pb_buf_free(&body);
    return rc;
}
