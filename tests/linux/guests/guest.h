/* A guest program without a library: system calls, and lines that say what each one answered.
 *
 * NR_<name> come from a header the test suite generates from the numbers of the ABI being built, so
 * #ifdef NR_<name> asks whether the ABI has the call. RUN(name, ...) makes the call and prints it.
 */
#include "numbers.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

#define NULL ((void *)0)
#define PAGE 4096
#define BAD ((char *)16)
#define KERNEL_BAD ((char *)-4096)

#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#ifdef __aarch64__
#define O_LARGEFILE 0400000
#define O_DIRECTORY 040000
#define O_NOFOLLOW 0100000
#else
#define O_LARGEFILE 0100000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#endif
#define O_CLOEXEC 02000000
#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_FOLLOW 0x400
#define AT_EMPTY_PATH 0x1000

#ifdef __x86_64__
static long sc(long n, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(ret)
		: "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		: "rcx", "r11", "memory");
	return ret;
}
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#elif defined(__aarch64__)
static long kernel(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc #0" : "+r"(x0)
		: "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl begin\n");
#elif defined(__riscv)
static long kernel(long n, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("a7") = n;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;
	__asm__ volatile("ecall" : "+r"(a0)
		: "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
	return a0;
}
__asm__(".globl _start\n_start:\n\tmv a0, sp\n\tandi sp, sp, -16\n\tcall begin\n");
#else
static long sc(long n, long a, long b, long c, long d, long e, long f)
{
	long args[6] = {a, b, c, d, e, f};
	long ret;
	__asm__ volatile("push %%ebp\n\tpush %%ebx\n\tmov (%%esi), %%ebx\n\tmov 4(%%esi), %%ecx\n\t"
		"mov 8(%%esi), %%edx\n\tmov 16(%%esi), %%edi\n\tmov 20(%%esi), %%ebp\n\t"
		"mov 12(%%esi), %%esi\n\tint $0x80\n\tpop %%ebx\n\tpop %%ebp"
		: "=a"(ret), "+S"((long *){args}) : "a"(n) : "ecx", "edx", "edi", "memory");
	return ret;
}
__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\t"
	"push %eax\n\tcall begin\n");
#endif

#if defined(__aarch64__) || defined(__riscv)
#include "generic.h"
#endif

#define CALL6(n, a, b, c, d, e, f, ...) \
	sc(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL(name, ...) CALL6(NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define RUN(name, ...) said(#name "(" #__VA_ARGS__ ")", CALL(name, ##__VA_ARGS__))

static unsigned long length(const char *s)
{
	unsigned long n = 0;
	while (s[n]) n++;
	return n;
}

static void put(const char *s)
{
	CALL(write, 1, s, length(s));
}

static void put_number(long n)
{
	char text[24];
	int at = 23;
	unsigned long v = n < 0 ? -(unsigned long)n : (unsigned long)n;
	text[at] = 0;
	do text[--at] = '0' + v % 10; while (v /= 10);
	if (n < 0) text[--at] = '-';
	put(text + at);
}

/* One line: what was done and what came of it. */
static long said(const char *what, long result)
{
	put(what);
	put(" = ");
	put_number(result);
	put("\n");
	return result;
}

static void show(const char *what, const char *bytes, long n)
{
	put(what);
	put(": ");
	if (n > 0) CALL(write, 1, bytes, n);
	put("\n");
}

static void fill(char *at, char c, long n)
{
	while (n-- > 0) *(volatile char *)at++ = c;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b) { a++; b++; }
	return *a == *b;
}

static __attribute__((unused)) int open_(const char *path, int flags, int mode)
{
	return CALL(open, path, flags, mode);
}

static __attribute__((unused)) void shut(int fd)
{
	CALL(close, fd);
}

static __attribute__((unused)) void make(const char *path, const char *text)
{
	int fd = open_(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	CALL(write, fd, text, length(text));
	CALL(close, fd);
}

/* Two pages of which only the first is there; returns where the second would begin. */
static __attribute__((unused)) char *edge(void)
{
	long start = (CALL(brk, 0) + PAGE - 1) / PAGE * PAGE;
	CALL(brk, start + PAGE);
	fill((char *)start, 'e', PAGE);
	return (char *)start + PAGE;
}

static int guest(int argc, char **argv, char **envp);

__attribute__((used, noreturn)) void begin(long *stack)
{
	int argc = stack[0];
	char **argv = (char **)(stack + 1);
	CALL(exit, guest(argc, argv, argv + argc + 1));
	for (;;) ;
}
