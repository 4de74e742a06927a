/* SPDX-License-Identifier: MIT */
/* What was told of a reload, or of something else, as an event for the store. [loop] */
#pragma once

#include "envelope.h"
#include "qlik.h"

enum { HAPPENING_KEY = ENVELOPE_ID_MAX + 32, HAPPENING_TYPE = 96 };

/* One event and the texts it points to. Must not be moved once made. */
struct happening {
    pbay_event event;
    pbay_str keys[1];
    char key[HAPPENING_KEY], type[HAPPENING_TYPE];
    pbay_text data;
};

/*
 * Make it of an envelope, whose texts are borrowed until it was put. A reload is known by its id and how it
 * ended, so that Qlik's two events of it, and what polls find, are one; everything is also known by the
 * event's id.
 */
void happening_make(const struct envelope *e, struct happening *out);
void happening_free(struct happening *h);

/*
 * Is it for us: of this tenant, of a type that `events` names, no session app and no data preparation unless
 * asked for? NULL: yes; else why not. *foreign: it is of another tenant.
 */
const char *happening_unwanted(const struct qlik *q, const struct envelope *e, int *foreign);
