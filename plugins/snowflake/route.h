/* SPDX-License-Identifier: MIT */
/* Requests of Snowflake's, by way of a proxy (route.c). */
#pragma once

#include "flight.h"

/* A whole request; it is answered now or later. */
void route_handle(struct snowflake *s, pbay_request request, const pbay_request_info *info);
/* A batch that a process left behind: i has all but the work. It ends its job. */
void route_resume(struct snowflake *s, struct flight_info *i);
