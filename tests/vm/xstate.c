/*
 * For kernels of User Mode Linux that know no registers wider than AVX-512's (before 6.14): they
 * set the first 2696 bytes of a process's extended state, and a host whose processor has more, as
 * those with AMX do, refuses anything but the whole of it. Preloaded, this adds the rest.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long call(long request, long pid, void *address, void *data)
{
	return syscall(SYS_ptrace, request, pid, address, data);
}

static long set_xstate(long pid, void *which, struct iovec *given)
{
	/* The kernel has one thread, whose stacks are small. */
	static char whole[32768];
	struct iovec all = { whole, sizeof(whole) };

	if (call(PTRACE_GETREGSET, pid, which, &all) < 0 || all.iov_len <= given->iov_len)
		return call(PTRACE_SETREGSET, pid, which, given);
	memcpy(whole, given->iov_base, given->iov_len);
	return call(PTRACE_SETREGSET, pid, which, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list more;
	va_start(more, request);
	long pid = va_arg(more, pid_t);
	void *address = va_arg(more, void *);
	void *data = va_arg(more, void *);
	va_end(more);

	/* The kernel writes where the C library returns. */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		long value;
		if (call(request, pid, address, &value) < 0)
			return -1;
		errno = 0;
		return value;
	}
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
		return set_xstate(pid, address, data);
	return call(request, pid, address, data);
}
