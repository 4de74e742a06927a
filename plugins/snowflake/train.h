/* SPDX-License-Identifier: MIT */
/* Training, deploying and asking how they are, from SQL (train.c). */
#pragma once

#include "flight.h"

extern const struct work train_work, deploy_work, training_status_work, endpoint_status_work;
