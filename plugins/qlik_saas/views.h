/* SPDX-License-Identifier: MIT */
/* GET /CONNECTOR/apps: the chains, for the Qlik REST connector, Graphviz, Mermaid and people. [loop] */
#pragma once

#include "qlik.h"

void views_handle(struct qlik *q, pbay_request request, const pbay_request_info *info);
