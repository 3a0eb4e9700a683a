/* SPDX-License-Identifier: PostgreSQL */
/* State machines: allowed edges pass, others fail an assertion, seen as SIGABRT. */
#include "base/sm.h"

#include <criterion/criterion.h>

#include <signal.h>

enum { OPEN, CLOSING, CLOSED, STATES };

static const char *const names[STATES] = { "open", "closing", "closed" };
static const uint32_t edges[STATES] = {
	[OPEN] = SM_TO(CLOSING) | SM_TO(CLOSED),
	[CLOSING] = SM_TO(CLOSED),
};
static const struct sm_spec spec = { "door", names, STATES, edges };

Test(sm, allowed_edges_pass)
{
	sm_check(&spec, OPEN, CLOSING);
	sm_check(&spec, OPEN, CLOSED);
	sm_check(&spec, CLOSING, CLOSED);
}

Test(sm, no_way_back, .signal = SIGABRT)
{
	sm_check(&spec, CLOSED, OPEN);
}

Test(sm, staying_is_an_edge_too, .signal = SIGABRT)
{
	sm_check(&spec, OPEN, OPEN);
}

Test(sm, a_state_out_of_range, .signal = SIGABRT)
{
	sm_check(&spec, OPEN, STATES);
}
