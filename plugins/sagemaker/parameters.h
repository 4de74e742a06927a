/* SPDX-License-Identifier: MIT */
/* Secrets of Systems Manager and Secrets Manager, for whoever names them in the configuration. */
#pragma once

#include <patchbay/secrets.h>

#include "sagemaker.h"

extern const pbay_secrets_1 sagemaker_secrets;
/* Nothing is asked any more; the answers still come. */
void parameters_stop(struct sagemaker *sm);
