/* SPDX-License-Identifier: MIT */
/*
 * One run of a plugin's command (pbay.commands/1), seen from who shows it.
 *
 * Owner: app. Threads: [loop].
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <patchbay/commands.h>

#include "base/err.h"
#include "data/config.h"

struct pb_connector;
struct pb_plugin;
struct pb_command_run;

struct pb_command_sink {
    void (*print)(void *user, pbay_str text); /* borrowed until return, as is `what` below */
    void (*progress)(void *user, uint64_t done, uint64_t total, pbay_str what);
    /* The end, once, on a later turn; the run is dead then. err->code is PBAY_OK when it went well. */
    void (*done)(void *user, const struct pb_err *err);
};

/*
 * Index of the command whose verb is made of the first words, and how many words that are; of several the
 * longest. -1 when there is none.
 */
int pb_command_find(const struct pb_plugin *p, const char *const *words, size_t n, size_t *taken);

/*
 * Begin. `command` is an index into the plugin's commands; a command with PBAY_COMMAND_STARTED needs a
 * connector that is started. arguments: checked against its table; taken. sink is borrowed until done. Holds
 * the connector until then.
 */
struct pb_command_run *pb_command_start(struct pb_connector *c, uint32_t command,
                                        struct pbay_config *arguments, const struct pb_command_sink *sink,
                                        void *user);
/* Tell the plugin that nobody wants it any more; done is still called when the plugin says so. */
void pb_command_cancel(struct pb_command_run *r);
