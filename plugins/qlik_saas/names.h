/* SPDX-License-Identifier: MIT */
/*
 * Apps and spaces by name: exact, upper and lower case alike, and one alone. The API's `name` is a search
 * (https://qlik.dev/apis/rest/items), so what it finds is compared here. Answers are kept for `name_cache`.
 * [loop]
 */
#pragma once

#include "api.h"

/*
 * result OK: id is the app's, json {"appId","name","spaceId","itemId"}; both borrowed until return. NOT_FOUND
 * and FAILED_PRECONDITION (there are several) list what there is. done comes once, never from inside.
 */
typedef void (*names_done)(void *user, const pbay_result *result, pbay_str id, pbay_str json);

struct name_lookup;
/* space: its name, "personal", or empty: anywhere. All texts are copied. */
struct name_lookup *names_app(struct qlik *q, pbay_str name, pbay_str space, int64_t deadline,
                              names_done done, void *user);
/* json: {"id","name","type"} */
struct name_lookup *names_space(struct qlik *q, pbay_str name, int64_t deadline, names_done done, void *user);
void names_cancel(struct name_lookup *l); /* done comes with PBAY_CANCELLED; NULL is fine */

/* Something about this app (empty: any) has changed. */
void names_forget(struct qlik *q, pbay_str app);
void names_free(struct qlik *q);
