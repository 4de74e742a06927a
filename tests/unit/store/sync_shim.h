/* SPDX-License-Identifier: MIT */
/*
 * A machine that loses its power: writes to files below a directory that were not followed by fdatasync or
 * fsync can be taken back after their process was killed.
 *
 * The program that links this has calls of its own in place of pwrite64, ftruncate64, fdatasync and fsync,
 * also for the libraries it uses. Before a write it notes in FILE.undo what was there; a sync empties the
 * note.
 */
#pragma once

/* From now on, in this process and those it forks. NULL: no longer. */
void sync_shim_watch(const char *dir);
/* Takes back what was not synced in all files of dir. Returns how many writes that were; -1: a note is
 * damaged. */
int sync_shim_cut(const char *dir);
/* All files of dir were closed in good order: nothing will be taken back. */
void sync_shim_forget(const char *dir);
