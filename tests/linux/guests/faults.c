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
#if defined(__x86_64__) || defined(__i386__)
	DIES("ud2", __asm__ volatile("ud2"));
	DIES("divide by zero", __asm__ volatile("xor %%ecx, %%ecx\n\tdiv %%ecx" ::: "eax", "ecx", "edx"));
	DIES("hlt", __asm__ volatile("hlt"));
	DIES("int3", __asm__ volatile("int3"));
#elif defined(__aarch64__)
	DIES("undefined", __asm__ volatile(".inst 0"));
	DIES("breakpoint", __asm__ volatile("brk #0"));
	DIES("divide by zero", __asm__ volatile("udiv x9, x9, xzr" ::: "x9"));
	DIES("read a control register", __asm__ volatile("mrs x9, sctlr_el1" ::: "x9"));
	DIES("write one", __asm__ volatile("msr vbar_el1, xzr"));
	DIES("return from an exception", __asm__ volatile("eret"));
	DIES("call a hypervisor", __asm__ volatile(".inst 0xd4000002"));
	DIES("call a monitor", __asm__ volatile(".inst 0xd4000003"));
	DIES("mask interrupts", __asm__ volatile("msr daifset, #2"));
	DIES("flush the TLB", __asm__ volatile(".inst 0xd508871f"));
#else
	DIES("undefined", __asm__ volatile(".word 0"));
	DIES("breakpoint", __asm__ volatile("ebreak"));
	DIES("divide by zero", __asm__ volatile("div t0, t0, zero" ::: "t0"));
	DIES("read a control register", __asm__ volatile("csrr t0, sstatus" ::: "t0"));
	DIES("read the machine's", __asm__ volatile("csrr t0, mhartid" ::: "t0"));
	DIES("write one", __asm__ volatile("csrw satp, zero"));
	DIES("return from an exception", __asm__ volatile("sret"));
	DIES("return from the machine's", __asm__ volatile("mret"));
	DIES("flush the TLB", __asm__ volatile(".word 0x12000073"));
#endif
	CALL(brk, end - PAGE);
	DIES("read what was given back", *(volatile char *)(end - PAGE));
	data[0] = 1;
	return 0;
}
