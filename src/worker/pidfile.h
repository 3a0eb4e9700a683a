/* SPDX-License-Identifier: PostgreSQL */
/*
 * The file that says which process runs. It is locked as long as the process
 * lives, so a file that a crash left behind is no obstacle and a second process
 * with the same file is one. Main thread only.
 */
#ifndef WEIR_WORKER_PIDFILE_H
#define WEIR_WORKER_PIDFILE_H

#include <stdbool.h>

bool pidfile_write(const char *path); /* empty: none; false: the log says why */
/* Only the file that pidfile_write made; a successor's stays. */
void pidfile_remove(void);

#endif
