/* SPDX-License-Identifier: MIT */
/* A loop, an environment and the plugin `good`, for tests of what stands on connectors. */
#pragma once

#include "loop/loop.h"
#include "plugin/registry.h"

extern struct pb_loop *loop;
extern struct pb_plugin_env env; /* may be changed before a connector is made */
extern struct pb_registry *registry;

void harness_open(void);
void harness_close(void);
/* What is due now may be all there is to wait for, so a turn does not block. */
void turn(void);
/* [connector "NAME"] with lines of configuration, NULL at the end. NULL with err. */
struct pb_connector *try_connector(const char *name, const char *const *lines, struct pb_err *err);
/* The same, started; the test fails when it cannot be made. */
struct pb_connector *make_connector(const char *name, const char *const *lines);
/* Close and wait. Was it clean? */
bool close_connector(struct pb_connector *c, int64_t grace_ms);
