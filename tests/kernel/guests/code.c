/* What the CPU and the kernel do together: modified code, registers across calls, page rights. */
#include "guest.h"

#ifdef NR_mmap2
#define MAP(n, prot) CALL(mmap2, 0, n, prot, 0x22, -1, 0)
#else
#define MAP(n, prot) CALL(mmap, 0, n, prot, 0x22, -1, 0)
#endif

typedef int function(void);

struct vec { void *base; word len; };

/* mov $n, %eax; ret */
static void emit(volatile u8 *at, int n)
{
	at[0] = 0xb8;
	at[1] = n;
	at[2] = n >> 8;
	at[3] = at[4] = 0;
	at[5] = 0xc3;
}

static int run(void *code)
{
	__asm__ volatile("" ::: "memory");
	return ((function *)code)();
}

static void modified(void)
{
	u8 *page = (u8 *)MAP(2 * PAGE, 7), other[8];
	struct vec v = {page, 6};
	long pid;
	int i, sum = 0, status, fd;
	emit(page, 1);
	said("written", run(page));
	emit(page, 2);
	said("written again", run(page));
	for (i = 0; i < 300; i++) {
		emit(page, i);
		sum += run(page);
	}
	said("three hundred times", sum);
	emit(page + PAGE - 3, 77);
	said("over two pages", run(page + PAGE - 3));
	page[PAGE - 2] = 78;
	said("its first page", run(page + PAGE - 3));
	fd = CALL(open, "code", O_CREAT | O_RDWR, 0644);
	emit(other, 33);
	CALL(write, fd, other, 6);
	emit(other, 44);
	CALL(write, fd, other, 6);
	emit(other, 55);
	CALL(write, fd, other, 6);
	CALL(lseek, fd, 0, 0);
	RUN(read, fd, page, 6);
	said("read from a file", run(page));
	RUN(readv, fd, &v, 1);
	said("by readv", run(page));
	for (i = 0; i < 6; i++) CALL(read, fd, page + i, 1);
	said("byte by byte", run(page));
	pid = CALL(fork);
	if (!pid) {
		said("in the child", run(page));
		emit(page, 66);
		CALL(exit, run(page));
	}
	CALL(wait4, pid, &status, 0, 0);
	said("modified by the child", status);
	said("not in the parent", run(page));
	RUN(mprotect, page, 2 * PAGE, 3);
	emit(page, 88);
	RUN(mprotect, page, 2 * PAGE, 5);
	said("made executable again", run(page));
	CALL(lseek, fd, 0, 0);
	RUN(read, fd, page, 6);
	RUN(mprotect, page, 2 * PAGE, 3);
	RUN(read, fd, page, 6);
	RUN(mprotect, page, 2 * PAGE, 7);
	said("read while not executable", run(page));
	RUN(munmap, page, 2 * PAGE);
	said("another at its place", MAP(2 * PAGE, 7) == (long)page);
	emit(page, 99);
	said("new code", run(page));
}

#define DIES(what, code) do { \
	int status = 0; \
	long pid = CALL(fork); \
	if (!pid) { code; CALL(exit, 0); } \
	CALL(wait4, pid, &status, 0, 0); \
	said(what, status); \
	} while (0)

static u8 data[16];

static void rights(void)
{
	u8 stack[16], *p = (u8 *)MAP(PAGE, 3);
	emit(data, 1);
	emit(stack, 1);
	emit(p, 1);
	DIES("run data", run(data));
	DIES("run the stack", run(stack));
	DIES("run a page without the right", run(p));
	CALL(mprotect, p, PAGE, 5);
	DIES("run a page with it", run(p));
	DIES("write to it", p[0] = 1);
	CALL(mprotect, p, PAGE, 1);
	DIES("run it no more", run(p));
	DIES("read it", *(volatile u8 *)p);
	CALL(mprotect, p, PAGE, 0);
	DIES("read nothing", *(volatile u8 *)p);
	CALL(mprotect, p, PAGE, 3);
	DIES("write again", p[0] = 1);
	CALL(munmap, p, PAGE);
	DIES("read what is gone", *(volatile u8 *)p);
}

static void registers(void)
{
#ifdef __x86_64__
	/* The call keeps all registers but rax, rcx (the next address) and r11 (the flags). */
	long wrong = 0, result;
	__asm__ volatile(
		"mov $0x1111, %%rbx\n\tmov $0x2222, %%r12\n\tmov $0x3333, %%r13\n\tmov $0x4444, %%r14\n\t"
		"mov $0x5555, %%r15\n\tmov $0x6666, %%rdi\n\tmov $0x7777, %%rsi\n\tmov $0x8888, %%rdx\n\t"
		"mov $0x9999, %%r8\n\tmov $0xaaaa, %%r9\n\tmov $0xbbbb, %%r10\n\t"
		"mov $0x100000068, %%rax\n\tstc\n\tsyscall\n\t"
		"jc 1f\n\tincq %1\n1:\tlea 1b(%%rip), %%r11\n\tsub $5, %%r11\n\tsub %%rcx, %%r11\n\t"
		"cmp $8, %%r11\n\tjb 2f\n\tincq %1\n2:\t"
		"sub $0x1111, %%rbx\n\tsub $0x2222, %%r12\n\tsub $0x3333, %%r13\n\tsub $0x4444, %%r14\n\t"
		"sub $0x5555, %%r15\n\tsub $0x6666, %%rdi\n\tsub $0x7777, %%rsi\n\tsub $0x8888, %%rdx\n\t"
		"sub $0x9999, %%r8\n\tsub $0xaaaa, %%r9\n\tsub $0xbbbb, %%r10\n\t"
		"or %%r12, %%rbx\n\tor %%r13, %%rbx\n\tor %%r14, %%rbx\n\tor %%r15, %%rbx\n\t"
		"or %%rdi, %%rbx\n\tor %%rsi, %%rbx\n\tor %%rdx, %%rbx\n\tor %%r8, %%rbx\n\t"
		"or %%r9, %%rbx\n\tor %%r10, %%rbx\n\taddq %%rbx, %1"
		: "=&a"(result), "+m"(wrong) :
		: "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		  "cc", "memory");
	said("getgid by its low 32 bits", result);
#else
	/* The call keeps all registers but eax. */
	long wrong = 0, result;
	__asm__ volatile(
		"push %%ebp\n\tpush %%ebx\n\t"
		"mov $0x1111, %%ebx\n\tmov $0x2222, %%ecx\n\tmov $0x3333, %%edx\n\tmov $0x4444, %%esi\n\t"
		"mov $0x5555, %%edi\n\tmov $0x6666, %%ebp\n\tmov $47, %%eax\n\tstc\n\tint $0x80\n\t"
		"jc 1f\n\tinc %%edi\n1:\t"
		"sub $0x1111, %%ebx\n\tsub $0x2222, %%ecx\n\tsub $0x3333, %%edx\n\tsub $0x4444, %%esi\n\t"
		"sub $0x5555, %%edi\n\tsub $0x6666, %%ebp\n\t"
		"or %%ebx, %%ecx\n\tor %%edx, %%ecx\n\tor %%esi, %%ecx\n\tor %%edi, %%ecx\n\tor %%ebp, %%ecx\n\t"
		"pop %%ebx\n\tpop %%ebp"
		: "=&a"(result), "=&c"(wrong) : : "edx", "esi", "edi", "cc", "memory");
	said("getgid", result);
#endif
	said("registers changed", wrong);
}

static int guest(int argc, char **argv, char **envp)
{
	modified();
	rights();
	registers();
	return 0;
}
