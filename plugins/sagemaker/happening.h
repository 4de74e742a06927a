/* SPDX-License-Identifier: MIT */
/*
 * What happened in SageMaker, from what tells of it: EventBridge's events, and summaries of ListTrainingJobs.
 * Sans I/O.
 *
 * https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
 * Both ways make the same key for the same change, so a site may use both and is told once.
 */
#pragma once

#include <jansson.h>

#include <patchbay/host_event.h>

enum { HAPPENING_KEY = 512, HAPPENING_WHY = 256 };

struct happening {
    const char *type; /* "training_job"; constant */
    char key[HAPPENING_KEY];
    char id[128];      /* the other side's; may be empty */
    char subject[256]; /* the job's name */
    int64_t time_ms;   /* 0: now */
    char *data;        /* JSON; freed by happening_free */
};

/* One event of EventBridge. 0; 1: it is about something else; -1: it is none, with a sentence in why. */
int happening_from_bridge(const json_t *event, struct happening *out, char why[HAPPENING_WHY]);
/* One item of TrainingJobSummaries. 0, or -1. */
int happening_from_summary(const json_t *summary, struct happening *out);
/* A message of a queue that is neither: type "message", told apart by its id. */
void happening_from_message(const char *id, pbay_str body, struct happening *out);
/* Borrows from h; key is where its one key goes. */
pbay_event happening_event(const struct happening *h, pbay_str *key);
void happening_free(struct happening *h);
