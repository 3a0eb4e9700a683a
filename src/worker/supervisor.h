/* SPDX-License-Identifier: PostgreSQL */
/*
 * Tells a supervisor that waits for it (systemd's Type=notify: sd_notify(3))
 * that the process serves. Main thread, no state.
 */
#ifndef WEIR_WORKER_SUPERVISOR_H
#define WEIR_WORKER_SUPERVISOR_H

void supervisor_ready(void); /* nothing where $NOTIFY_SOCKET isn't set; a failure is logged */

#endif
