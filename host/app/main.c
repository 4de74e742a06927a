/* SPDX-License-Identifier: MIT */
#include "app/verbs.h"

int main(int argc, char **argv)
{
    return pb_verbs_main(argc, argv);
}
