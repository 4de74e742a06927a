/* SPDX-License-Identifier: MIT */
/* `patchbay plugin-probe FILE`, without the rest of patchbay. */
#include <string.h>

#include "plugin/probe.h"

int main(int argc, char **argv)
{
    return argc == 3 && !strcmp(argv[1], "plugin-probe") ? pb_probe_child(argv[2]) : 2;
}
