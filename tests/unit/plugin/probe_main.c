/* SPDX-License-Identifier: MIT */
/* `patchbay plugin-probe FILE` and `patchbay plugin-host CONNECTOR FILE PARENT`, without the rest of
 * patchbay. */
#include <stdlib.h>
#include <string.h>

#include "plugin/inside.h"
#include "plugin/probe.h"

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "plugin-host")) return pb_inside_main(argv[2], argv[3], atoi(argv[4]));
    return argc == 3 && !strcmp(argv[1], "plugin-probe") ? pb_probe_child(argv[2]) : 2;
}
