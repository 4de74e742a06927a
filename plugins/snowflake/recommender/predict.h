/* SPDX-License-Identifier: MIT */
/* A file of pairs to a server, its answer to standard output. */
#pragma once

#include "base/err.h"

/* path "-": standard input. url: "http://localhost:8080". 0, or -1 with err: what the server said, too. */
int rec_predict(const char *url, const char *path, const char *content_type, struct pb_err *err);
