/* SPDX-License-Identifier: PostgreSQL */
/*
 * The console's own state, for admin/'s files only. Control thread.
 */
#ifndef WEIR_ADMIN_PRIVATE_H
#define WEIR_ADMIN_PRIVATE_H

#include "admin/admin.h"
#include "admin/command.h"
#include "admin/readiness.h"
#include "admin/window.h"
#include "wire/build.h"

struct admin {
	struct admin_source source;
	struct window window;
	struct readiness readiness;
	uint64_t now_us; /* of the last tick */
};

/* Ends a request: ReadyForQuery behind what is there, then on_done. */
void request_finish(struct admin_request *request);

#endif
