/* Faults end a process by the signal that Linux sends; the parent sees it in the wait status. */
#include "guest.h"

static const char constant[] = "constant";
static char data[16];

#define DIES(what, code) do { \
	int status = 0; \
	long pid = CALL(fork); \
	if (!pid) { code; CALL(exit, 0); } \
	CALL(wait4, pid, &status, 0, 0); \
	said(what, status); \
	} while (0)

static int guest(int argc, char **argv, char **envp)
{
	char *end = edge();
	DIES("nothing", );
	DIES("read at 16", *(volatile char *)BAD);
	DIES("write at 16", *(volatile char *)BAD = 1);
	DIES("write to a constant", *(volatile char *)constant = 1);
	DIES("read beyond the heap", *(volatile char *)end);
	DIES("jump to 16", ((void (*)(void))BAD)());
	DIES("ud2", __asm__ volatile("ud2"));
	DIES("divide by zero", __asm__ volatile("xor %%ecx, %%ecx\n\tdiv %%ecx" ::: "eax", "ecx", "edx"));
	DIES("hlt", __asm__ volatile("hlt"));
	DIES("int3", __asm__ volatile("int3"));
	CALL(brk, end - PAGE);
	DIES("read what was given back", *(volatile char *)(end - PAGE));
	data[0] = 1;
	return 0;
}
