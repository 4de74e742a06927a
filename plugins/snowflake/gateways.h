/* SPDX-License-Identifier: MIT */
/* Templates of what stands before a snowflake connector; @name@ is filled in (commands.c). */
#pragma once

extern const char gateway_aws[], gateway_azure[], gateway_spcs[];
