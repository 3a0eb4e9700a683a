/* SPDX-License-Identifier: PostgreSQL */
/*
 * From a request to what answers it: finds the operation, checks what came,
 * answers at once what needs no database, and starts a call for the rest.
 * Loop's thread.
 */
#ifndef FINAI_API_H
#define FINAI_API_H

struct http_conn;

/* For struct http_settings; arg is the struct app. */
void api_on_request(void *arg, struct http_conn *conn);
void api_on_refused(void *arg, struct http_conn *conn, int status);

#endif
