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
    bool ready;
    pbay_str notes; /* of ready() */
    pbay_str csrf;  /* empty: not signed in */
};

/* The whole page. */
void pb_admin_page(const struct pb_admin_view *v, struct pb_buf *out);
/* Only the way in. wrong: what was given was not right. */
void pb_admin_login_page(bool wrong, struct pb_buf *out);
extern const unsigned char pb_admin_css[];
extern const size_t pb_admin_css_size;
