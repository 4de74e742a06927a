/* SPDX-License-Identifier: MIT */
/* What admin.c (requests) and admin_page.c (the page) share; nobody else includes it. */
#pragma once

#include "endpoints/admin.h"
#include "store/control.h"
#include "store/jobs.h"

/* How many jobs of a queue are in each state. */
struct pb_admin_queue {
    char *name;
    uint64_t n[8]; /* by enum pb_job_state */
};

/* What the store says, read on its thread. */
struct pb_admin_store {
    struct pb_admin_queue *queues;
    size_t n, cap;
    struct pb_pauses pauses;
};

struct pb_admin_view {
    const struct pb_admin_options *o;
    const struct pb_admin_store *store; /* NULL: there is none, or it cannot be read */
    bool ready, degraded;
    pbay_str notes; /* of ready() */
    pbay_str csrf;  /* empty: not signed in */
};

/* The whole page. */
void pb_admin_page(const struct pb_admin_view *v, struct pb_buf *out);
/* Only the way in. wrong: what was given was not right. */
void pb_admin_login_page(bool wrong, struct pb_buf *out);
extern const unsigned char pb_admin_css[];
extern const size_t pb_admin_css_size;

/* admin.c */
void pb_admin_respond(struct pb_http_request *req, int status, const char *type, pbay_str body);
void pb_admin_see_other(struct pb_http_request *req, const char *to);
/* admin_page.c: escaped and cut; how every page begins. */
void pb_admin_text(struct pb_buf *out, pbay_str s);
void pb_admin_head(struct pb_buf *out);

/* admin_chains.c: is the path one of chains? Answers it; csrf empty: not signed in. */
bool pb_admin_chains_path(pbay_str path);
void pb_admin_chains_get(const struct pb_admin_options *o, struct pb_http_request *req, pbay_str path,
                         pbay_str csrf);
/* Is it a deed of chains? Then it is done, and the request answered; browser: by the page. */
bool pb_admin_chains_deed(const struct pb_admin_options *o, struct pb_http_request *req, pbay_str deed,
                          pbay_str who, bool browser);
