/* SPDX-License-Identifier: MIT */
/*
 * The body of a Qlik Cloud webhook, taken apart: sans I/O, any thread.
 *
 * Three envelopes have been sent: CloudEvents 1.0, an older one of Qlik's own (`eventType`, `extensions`),
 * and since November 2025 both at once; the older members go on or after 2026-10-06
 * (https://qlik.dev/apis/event). CloudEvents counts where both say something.
 *
 * Two events say that a reload ended, with different words (https://qlik.dev/apis/event/reloads, .../apps):
 *
 *   com.qlik.v1.reload.finished      the final result, once per reload. data.id is the reload, data.appId the
 * app; data.status SUCCEEDED, FAILED, CANCELED, EXCEEDED_LIMIT, and data.succeeded
 *   com.qlik.v1.app.reload.finished  one attempt of the engine. data.reloadId is the reload,
 * toplevelresourceid the app; data.status ok, error
 *
 * Both become one form with status ok, error, canceled or unknown.
 */
#pragma once

#include <jansson.h>

#include <patchbay/types.h>

#include "kit/text.h"

enum event_kind {
    EVENT_RELOAD,     /* com.qlik.v1.reload.finished */
    EVENT_APP_RELOAD, /* com.qlik.v1.app.reload.finished and its older names */
    EVENT_OTHER,      /* whatever else Qlik Cloud tells */
};

enum event_status { STATUS_UNKNOWN, STATUS_OK, STATUS_ERROR, STATUS_CANCELED };

/* Texts are borrowed from `root` and `body`; empty when absent. */
struct envelope {
    json_t *root; /* NULL: the body was plain */
    enum event_kind kind;
    enum event_status status;
    pbay_str id, type, tenant, user, space, app, app_name, reload, raw_status, origin, usage;
    pbay_str error_code, error_message;
    pbay_str data;       /* the member `data` as it stands in the body */
    int64_t time_ms;     /* UTC; 0: not said */
    int64_t duration_ms; /* -1: not said */
    int partial, session, types_differ;
};

enum { ENVELOPE_DEPTH = 32, ENVELOPE_ID_MAX = 200, ENVELOPE_WHY = 160 };

/* The app's id where it was in 2020: data.id, and no type is needed. */
#define ENVELOPE_PAPER 1u
/* Without the short way for plain bodies (members.h); the outcome is the same, but that all texts except
 * `data` are borrowed from `root`. */
#define ENVELOPE_THOROUGH 2u

/*
 * 0, or -1 with a sentence in why. Freed with envelope_free in both cases. body is borrowed until then.
 * Refused: what is no JSON object (RFC 8259) or has duplicate names, NUL in a string, more than
 * ENVELOPE_DEPTH levels, no type; ids that are longer than ENVELOPE_ID_MAX or not printable; a reload without
 * an app.
 */
int envelope_read(pbay_str body, unsigned flags, struct envelope *out, char why[ENVELOPE_WHY]);
void envelope_free(struct envelope *e);

/* "ok", "error", "canceled", "unknown" */
const char *status_name(enum event_status s);
/* A word of either event, or of a reload's record. */
enum event_status status_of(pbay_str word);

/* Is it told of by the name `wanted`? Names that were changed match: with and without `v1`. */
int type_matches(pbay_str type, pbay_str wanted);
/* "com.qlik.v1.app.data.updated" as "app_data_updated": the event's name in a chain. NUL-terminated, cut. */
void type_short(pbay_str type, char *out, size_t size);

/* What chains see as `ev`: one JSON object, appended. */
void envelope_json(const struct envelope *e, pbay_text *out);
