/* SPDX-License-Identifier: PostgreSQL */
/*
 * Whether this system's io_uring does what ring.h builds on. Each of its three
 * calls may be forbidden by itself (seccomp profiles of containers, the sysctl
 * kernel.io_uring_disabled), flags may be unknown, and what a send tells that
 * took a part only has changed between kernels: so it is tried, on a pair of
 * sockets, and the operator hears in words what stood in the way.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/ring_priv.h"

enum { PROBE_ENTRIES = 8, PROBE_BUFFER = 4096, PROBE_SEND = 4 * 1024 * 1024, PROBE_TRIES = 1000 };

struct probe {
	struct io_uring uring;
	const char *failed; /* the call of io_uring that failed */
	int err;            /* with this errno */
	int fds[2];
	struct io_uring_buf_ring *buf_ring;
	char *bytes; /* what is sent; its start is the buffer for receiving */
};

const char *ring_refusal(int err)
{
	switch (err) {
	case ENOSYS:
		return "this kernel has no io_uring, or a seccomp profile hides it";
	case EPERM:
	case EACCES:
		return "forbidden here (by a seccomp profile, or the sysctl kernel.io_uring_disabled)";
	case EINVAL:
		return "this kernel is older than 6.1";
	case ENOMEM:
		return "no memory, or more than may be locked (RLIMIT_MEMLOCK)";
	default:
		return strerrordesc_np(err) ? strerrordesc_np(err) : "unknown error";
	}
}

/* False: *p says which call failed. */
static bool probe_call(struct probe *p, const char *call, int rc)
{
	if (rc >= 0)
		return true;
	p->failed = call;
	p->err = -rc;
	return false;
}

/* The result of one operation; -ETIME: it doesn't complete. */
static int probe_result(struct probe *p, uint64_t data, uint32_t *flags)
{
	struct io_uring_cqe *cqe;

	for (int i = 0; i < PROBE_TRIES && !p->failed; i++) {
		probe_call(p, "io_uring_enter", io_uring_submit_and_get_events(&p->uring));
		while (io_uring_peek_cqe(&p->uring, &cqe) == 0) {
			int result = cqe->res;
			bool is_it = cqe->user_data == data;

			*flags = cqe->flags;
			io_uring_cqe_seen(&p->uring, cqe);
			if (is_it)
				return result;
		}
	}
	return -ETIME;
}

static const char *probe_send(struct probe *p)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&p->uring);
	uint32_t flags;
	size_t there = 0;
	ssize_t got;
	int sent;

	io_uring_prep_send(sqe, p->fds[0], p->bytes, PROBE_SEND,
	                   MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = 1;
	sent = probe_result(p, 1, &flags);
	while ((got = recv(p->fds[1], p->bytes, PROBE_SEND, MSG_DONTWAIT)) > 0)
		there += (size_t)got;
	return sent > 0 && (size_t)sent == there ? NULL : "a send doesn't tell how much it took";
}

static struct io_uring_sqe *probe_receive(struct probe *p)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&p->uring);

	io_uring_prep_recv(sqe, p->fds[1], NULL, PROBE_BUFFER, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	sqe->buf_group = RING_BUFFER_GROUP;
	sqe->user_data = 2;
	return sqe;
}

static const char *probe_receives(struct probe *p)
{
	struct io_uring_sqe *sqe;
	uint32_t flags;

	probe_receive(p);
	if (send(p->fds[0], "x", 1, MSG_NOSIGNAL) != 1 || probe_result(p, 2, &flags) != 1 ||
	    !(flags & IORING_CQE_F_BUFFER))
		return "a receive doesn't take a buffer";
	io_uring_buf_ring_add(p->buf_ring, p->bytes, PROBE_BUFFER, 0, io_uring_buf_ring_mask(1), 0);
	io_uring_buf_ring_advance(p->buf_ring, 1);
	probe_receive(p);
	io_uring_submit(&p->uring);
	sqe = io_uring_get_sqe(&p->uring);
	io_uring_prep_cancel64(sqe, 2, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = 3;
	return probe_result(p, 2, &flags) == -ECANCELED ? NULL : "a receive can't be cancelled";
}

static const char *probe_buffers(struct probe *p)
{
	struct io_uring_buf_reg reg = { .ring_addr = (uintptr_t)p->buf_ring,
		                            .ring_entries = 1,
		                            .bgid = RING_BUFFER_GROUP };

	if (!probe_call(p, "io_uring_register", ring_enable(&p->uring)) ||
	    !probe_call(p, "io_uring_register", io_uring_register_buf_ring(&p->uring, &reg, 0)))
		return "";
	io_uring_buf_ring_init(p->buf_ring);
	io_uring_buf_ring_add(p->buf_ring, p->bytes, PROBE_BUFFER, 0, io_uring_buf_ring_mask(1), 0);
	io_uring_buf_ring_advance(p->buf_ring, 1);
	return NULL;
}

static const char *probe_all(struct probe *p)
{
	const char *why = probe_buffers(p);

	if (!why && !(p->uring.features & IORING_FEAT_EXT_ARG))
		why = "waits have no time limit";
	if (!why)
		why = probe_send(p);
	return why ? why : probe_receives(p);
}

static const char *probe_sockets(struct probe *p)
{
	const char *why = "no memory";

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds) < 0)
		return "no sockets";
	p->buf_ring =
		mmap(NULL, PROBE_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->buf_ring != MAP_FAILED) {
		p->bytes = mem_zalloc(PROBE_SEND);
		why = probe_all(p);
	}
	return why;
}

bool ring_probe(char *why, size_t why_size)
{
	struct io_uring_params params = { .flags = RING_SETUP_FLAGS, .cq_entries = 2 * PROBE_ENTRIES };
	struct probe p = { .fds = { -1, -1 }, .buf_ring = MAP_FAILED };
	int rc = io_uring_queue_init_params(PROBE_ENTRIES, &p.uring, &params);
	const char *missing = "";

	if (probe_call(&p, "io_uring_setup", rc)) {
		missing = probe_sockets(&p);
		io_uring_queue_exit(&p.uring);
	}
	for (int i = 0; i < 2; i++) {
		if (p.fds[i] >= 0)
			close(p.fds[i]);
	}
	if (p.buf_ring != MAP_FAILED)
		munmap(p.buf_ring, PROBE_BUFFER);
	mem_free(p.bytes);
	if (p.failed)
		snprintf(why, why_size, "%s: %s", p.failed, ring_refusal(p.err));
	else
		snprintf(why, why_size, "%s", missing ? missing : "");
	return !missing && !p.failed;
}
