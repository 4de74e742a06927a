/* SPDX-License-Identifier: MIT */
/* One HTTP exchange at a time, waited for: what a batch program wants of the HTTP client. Threads: one. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "net/http_client.h"

struct rec_fetcher;

struct rec_reply {
    int32_t status;
    struct pb_buf body;    /* owned */
    int64_t retry_after_s; /* 0: the header was not there */
};

/* NULL with err. */
struct rec_fetcher *rec_fetcher_new(struct pb_err *err);
void rec_fetcher_free(struct rec_fetcher *f); /* NULL is fine */
/* 0 whenever a whole reply came, whatever its status; *reply is filled and to be freed by rec_reply_free. */
int rec_fetch(struct rec_fetcher *f, const struct pb_fetch_request *request, struct rec_reply *reply,
              struct pb_err *err);
void rec_reply_free(struct rec_reply *reply);
/* Sleep; the loop's timers are not needed by anybody else here. */
void rec_sleep_ms(int64_t ms);
