/* A random walk over the pages of a region and of the heap; SEED chooses which. */
#include "guest.h"

#ifndef SEED
#define SEED 1
#endif
#define STEPS 600
#define PAGES 12

static u32 state = SEED * 2654435761u + 12345;

static u32 any(u32 n)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return (state >> 3) % n;
}

#ifdef NR_mmap2
#define MAP(at, n, prot, flags) CALL(mmap2, at, n, prot, flags, -1, 0)
#else
#define MAP(at, n, prot, flags) CALL(mmap, at, n, prot, flags, -1, 0)
#endif

static long region, heap;
static int scratch;

static void step(const char *op, long page, long pages, long more, long result)
{
	put(op);
	put(" ");
	put_number(page);
	put(" ");
	put_number(pages);
	put(" ");
	put_number(more);
	said("", result);
}

/* What a page is: the kernel's view of its rights and its first byte; then the CPU's view. */
static void probe(long at, long page)
{
	int status = 0;
	long pid;
	u8 byte = 0;
	CALL(lseek, scratch, 0, 0);
	step("readable", page, 0, 0, CALL(write, scratch, at, PAGE));
	if (CALL(pread64, scratch, &byte, 1, 0, 0) == 1) step("first byte", page, 0, 0, byte);
	CALL(lseek, scratch, 4, 0);
	step("writable", page, 0, 0, CALL(read, scratch, at + PAGE - 2, 2));
	if (any(3)) return;
	pid = CALL(fork);
	if (!pid) {
		int kind = any(3);
		if (kind == 0) CALL(exit, *(volatile u8 *)at);
		if (kind == 1) *(volatile u8 *)at = 1;
		else ((void (*)(void))at)();
		CALL(exit, 7);
	}
	any(3);
	CALL(wait4, pid, &status, 0, 0);
	step("touched", page, 0, 0, status);
}

static int guest(int argc, char **argv, char **envp)
{
	int i;
	long top;
	scratch = CALL(open, "scratch", O_CREAT | O_RDWR, 0600);
	CALL(write, scratch, "0123456789", 10);
	region = MAP(0, (PAGES + 2) * PAGE, 0, 0x22);
	CALL(munmap, region, (PAGES + 2) * PAGE);
	region += PAGE;
	heap = (CALL(brk, 0) + PAGE - 1) / PAGE * PAGE;
	CALL(brk, heap);
	top = heap;
	for (i = 0; i < STEPS; i++) {
		long page = any(PAGES), pages = 1 + any(PAGES - page), at = region + page * PAGE, r;
		int prot = any(8);
		switch (any(8)) {
		case 0: case 1:
			r = MAP(at, pages * PAGE - any(100), prot, 0x32);
			step("map", page, pages, prot, r == at);
			break;
		case 2:
			r = MAP(at, pages * PAGE, prot, 0x100022);
			step("map if free", page, pages, prot, r == at ? 1 : r);
			break;
		case 3:
			step("unmap", page, pages, 0, CALL(munmap, at, pages * PAGE - any(100)));
			break;
		case 4:
			step("protect", page, pages, prot, CALL(mprotect, at, pages * PAGE, prot));
			break;
		case 5:
			top = heap + any(6 * PAGE);
			step("brk", top - heap, 0, 0, CALL(brk, top) - heap);
			break;
		case 6:
			page = any(6);
			probe(heap + page * PAGE, 100 + page);
			break;
		default:
			probe(at, page);
			if (CALL(pread64, scratch, at, 1, 4, 0) == 1) {
				/* It is writable: leave something that a child can run. */
#if defined(__x86_64__) || defined(__i386__)
				*(volatile u8 *)at = 0xc3;
#elif defined(__aarch64__)
				*(volatile u32 *)at = 0xd65f03c0;
#else
				*(volatile u32 *)at = 0x00008067;
#endif
			}
		}
	}
	CALL(ftruncate, scratch, 0);
	return 0;
}
