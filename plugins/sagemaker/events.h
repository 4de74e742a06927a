/* SPDX-License-Identifier: MIT */
/* What happened: a route for EventBridge, polls of ListTrainingJobs and of a queue. */
#pragma once

#include <patchbay/events.h>
#include <patchbay/routes.h>

#include "sagemaker.h"

extern const pbay_routes_1 sagemaker_routes;
extern const pbay_events_1 sagemaker_events;
