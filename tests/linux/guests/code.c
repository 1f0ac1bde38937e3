/* What the CPU and the kernel do together: modified code, registers across calls, page rights. */
#include "guest.h"

#ifdef NR_mmap2
#define MAP(n, prot) CALL(mmap2, 0, n, prot, 0x22, -1, 0)
#else
#define MAP(n, prot) CALL(mmap, 0, n, prot, 0x22, -1, 0)
#endif

typedef int function(void);

struct vec { void *base; word len; };

#if defined(__x86_64__) || defined(__i386__)
/* mov $n, %eax; ret */
#define SIZE 6
static void emit(volatile u8 *at, int n)
{
	at[0] = 0xb8;
	at[1] = n;
	at[2] = n >> 8;
	at[3] = at[4] = 0;
	at[5] = 0xc3;
}
#define STRADDLE 3
#else
#define SIZE 8
static void emit(volatile u8 *at, int n)
{
#ifdef __aarch64__
	/* mov w0, #n; ret */
	u32 code[] = {0x52800000 | n << 5, 0xd65f03c0};
#else
	/* li a0, n; ret */
	u32 code[] = {0x00000513 | n << 20, 0x00008067};
#endif
	for (int i = 0; i < SIZE; i++) at[i] = ((u8 *)code)[i];
}
#define STRADDLE 4
#endif

static int run(void *code)
{
#ifdef __aarch64__
	for (u8 *at = code; at < (u8 *)code + SIZE; at += 4)
		__asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic ivau, %0" :: "r"(at) : "memory");
	__asm__ volatile("dsb ish\n\tisb" ::: "memory");
#elif defined(__riscv)
	__asm__ volatile("fence.i" ::: "memory");
#endif
	__asm__ volatile("" ::: "memory");
	return ((function *)code)();
}

static void modified(void)
{
	u8 *page = (u8 *)MAP(2 * PAGE, 7), *other_page, other[SIZE];
	struct vec v = {page, SIZE};
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
	emit(page + PAGE - STRADDLE, 77);
	said("over two pages", run(page + PAGE - STRADDLE));
#if defined(__x86_64__) || defined(__i386__)
	page[PAGE - 2] = 78;
#elif defined(__aarch64__)
	*(u32 *)(page + PAGE - 4) = 0x52800000 | 78 << 5;
#else
	*(u32 *)(page + PAGE - 4) = 0x00000513 | 78 << 20;
#endif
	said("its first page", run(page + PAGE - STRADDLE));
	fd = CALL(open, "code", O_CREAT | O_RDWR, 0644);
	emit(other, 33);
	CALL(write, fd, other, SIZE);
	emit(other, 44);
	CALL(write, fd, other, SIZE);
	emit(other, 55);
	CALL(write, fd, other, SIZE);
	CALL(lseek, fd, 0, 0);
	RUN(read, fd, page, SIZE);
	said("read from a file", run(page));
	RUN(readv, fd, &v, 1);
	said("by readv", run(page));
	for (i = 0; i < SIZE; i++) CALL(read, fd, page + i, 1);
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
	RUN(read, fd, page, SIZE);
	RUN(mprotect, page, 2 * PAGE, 3);
	RUN(read, fd, page, SIZE);
	RUN(mprotect, page, 2 * PAGE, 7);
	said("read while not executable", run(page));
	RUN(munmap, page, 2 * PAGE);
	other_page = (u8 *)MAP(2 * PAGE, 7);
#if defined(__x86_64__) || defined(__i386__)
	/* Not so under qemu-user. */
	said("another at its place", other_page == page);
#endif
	page = other_page;
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

static u8 data[16] __attribute__((aligned(8)));

static void rights(void)
{
	u8 stack[16] __attribute__((aligned(8))), *p = (u8 *)MAP(PAGE, 3);
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
#elif defined(__aarch64__)
	/* The call keeps all registers but x0, and the flags. */
	long wrong = 0, result;
	__asm__ volatile(
		"mov x1, #1\n\tmov x2, #2\n\tmov x3, #3\n\tmov x4, #4\n\tmov x5, #5\n\tmov x6, #6\n\t"
		"mov x7, #7\n\tmov x9, #9\n\tmov x10, #10\n\tmov x11, #11\n\tmov x12, #12\n\t"
		"mov x13, #13\n\tmov x14, #14\n\tmov x15, #15\n\tmov x16, #16\n\tmov x17, #17\n\t"
		"mov x18, #18\n\tmov x30, #30\n\tmov x8, #176\n\tcmp x30, #30\n\tsvc #0\n\t"
		"cset x19, ne\n\tsub x1, x1, #1\n\tsub x2, x2, #2\n\tsub x3, x3, #3\n\tsub x4, x4, #4\n\t"
		"sub x5, x5, #5\n\tsub x6, x6, #6\n\tsub x7, x7, #7\n\tsub x8, x8, #176\n\t"
		"sub x9, x9, #9\n\tsub x10, x10, #10\n\tsub x11, x11, #11\n\tsub x12, x12, #12\n\t"
		"sub x13, x13, #13\n\tsub x14, x14, #14\n\tsub x15, x15, #15\n\tsub x16, x16, #16\n\t"
		"sub x17, x17, #17\n\tsub x18, x18, #18\n\tsub x30, x30, #30\n\t"
		"orr x19, x19, x1\n\torr x19, x19, x2\n\torr x19, x19, x3\n\torr x19, x19, x4\n\t"
		"orr x19, x19, x5\n\torr x19, x19, x6\n\torr x19, x19, x7\n\torr x19, x19, x8\n\t"
		"orr x19, x19, x9\n\torr x19, x19, x10\n\torr x19, x19, x11\n\torr x19, x19, x12\n\t"
		"orr x19, x19, x13\n\torr x19, x19, x14\n\torr x19, x19, x15\n\torr x19, x19, x16\n\t"
		"orr x19, x19, x17\n\torr x19, x19, x18\n\torr x19, x19, x30\n\t"
		"mov %1, x19\n\tmov %0, x0"
		: "=&r"(result), "=&r"(wrong) :
		: "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
		  "x14", "x15", "x16", "x17", "x18", "x19", "x30", "cc", "memory");
	said("getgid", result);
#elif defined(__riscv)
	/* The call keeps all registers but a0. */
	long wrong = 0, result;
	__asm__ volatile(
		"li ra, 1\n\tli t0, 5\n\tli t1, 6\n\tli t2, 7\n\tli a1, 11\n\tli a2, 12\n\tli a3, 13\n\t"
		"li a4, 14\n\tli a5, 15\n\tli a6, 16\n\tli t3, 28\n\tli t4, 29\n\tli t5, 30\n\tli t6, 31\n\t"
		"li a7, 176\n\tecall\n\t"
		"addi ra, ra, -1\n\taddi t0, t0, -5\n\taddi t1, t1, -6\n\taddi t2, t2, -7\n\t"
		"addi a1, a1, -11\n\taddi a2, a2, -12\n\taddi a3, a3, -13\n\taddi a4, a4, -14\n\t"
		"addi a5, a5, -15\n\taddi a6, a6, -16\n\taddi a7, a7, -176\n\taddi t3, t3, -28\n\t"
		"addi t4, t4, -29\n\taddi t5, t5, -30\n\taddi t6, t6, -31\n\t"
		"or ra, ra, t0\n\tor ra, ra, t1\n\tor ra, ra, t2\n\tor ra, ra, a1\n\tor ra, ra, a2\n\t"
		"or ra, ra, a3\n\tor ra, ra, a4\n\tor ra, ra, a5\n\tor ra, ra, a6\n\tor ra, ra, a7\n\t"
		"or ra, ra, t3\n\tor ra, ra, t4\n\tor ra, ra, t5\n\tor ra, ra, t6\n\t"
		"mv %1, ra\n\tmv %0, a0"
		: "=&r"(result), "=&r"(wrong) :
		: "ra", "t0", "t1", "t2", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t3", "t4", "t5",
		  "t6", "memory");
	said("getgid", result);
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
