/* SPDX-License-Identifier: MIT */
/*
 * Tables in Snowflake, read and written through its SQL API
 * (https://docs.snowflake.com/en/developer-guide/sql-api/index). What is said on the wire is the kit's
 * (kit/snowflake_sql.h); this file sends it and waits. Threads: one; it blocks.
 */
#pragma once

#include "base/err.h"
#include "hyper.h"
#include "model.h"
#include "ratings.h"

struct rec_warehouse;

/*
 * With the account, the user and the secret that the hyperparameters name; a secret of the SSM parameter
 * store is fetched with the job's own credentials. NULL with err.
 */
struct rec_warehouse *rec_warehouse_open(const struct rec_hyper *h, struct pb_err *err);
void rec_warehouse_close(struct rec_warehouse *w); /* NULL is fine */
/* The columns USERID, MOVIEID (or ITEMID) and RATING of h->input_table. */
int rec_warehouse_read(struct rec_warehouse *w, const struct rec_hyper *h, struct rec_ratings *r,
                       struct pb_err *err);
/*
 * A row for each user into h->output_table: (user, JSON array of items, best first). All or nothing: rows go
 * to a table beside it, and from there in one transaction.
 */
int rec_warehouse_write(struct rec_warehouse *w, const struct rec_hyper *h, const struct rec_model *m,
                        const struct rec_ratings *r, struct pb_err *err);
