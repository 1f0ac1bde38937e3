/* brk and mappings. Addresses differ between hosts, so only what follows from them is printed. */
#include "guest.h"

#define READ 1
#define WRITE 2
#define EXEC 4
#define PRIVATE 2
#define ANON 0x22
#define FIXED 0x10
#define NOREPLACE 0x100000

#ifdef __i386__
static word old_arguments[6];
#endif
#ifdef NR_mmap2
static long map(long at, word n, int prot, int flags, int fd, long offset)
{
	return CALL(mmap2, at, n, prot, flags, fd, offset / PAGE);
}
#else
static long map(long at, word n, int prot, int flags, int fd, long offset)
{
	return CALL(mmap, at, n, prot, flags, fd, offset);
}
#endif

static int failed(long r)
{
	return r < 0 && r > -4096;
}

/* Whether the kernel can read and write there: a pipe to nowhere is not needed, a file will do. */
static void probe(const char *what, long at, int fd)
{
	show(what, "", 0);
	said(" readable", CALL(write, fd, at, 1));
	CALL(lseek, fd, 0, 0);
	said(" writable", CALL(read, fd, at, 1));
	CALL(lseek, fd, 0, 0);
}

static void heap(int fd)
{
	long start = CALL(brk, 0), now;
	long first = (start + PAGE - 1) / PAGE * PAGE;
	said("stable", CALL(brk, 0) == start);
	said("grow", CALL(brk, first + 100) == first + 100);
	said("zero", *(char *)first == 0 && ((char *)first)[PAGE - 1] == 0);
	fill((char *)first, 'h', PAGE);
	probe("the last page whole", first + PAGE - 1, fd);
	probe("beyond", first + PAGE, fd);
	said("more", CALL(brk, first + 5 * PAGE) == first + 5 * PAGE);
	said("kept", *(char *)first == 'h');
	((char *)first)[3 * PAGE] = 'k';
	said("less", CALL(brk, first + PAGE) == first + PAGE);
	probe("given back", first + 3 * PAGE, fd);
	said("again", CALL(brk, first + 5 * PAGE) == first + 5 * PAGE);
	said("zero again", ((char *)first)[3 * PAGE]);
	now = CALL(brk, 0);
	said("too low", CALL(brk, 4096) == now);
	said("below the start", CALL(brk, start - 1) == now);
	said("too high", CALL(brk, -PAGE) == now);
	said("empty", CALL(brk, start) == start);
	said("one page", CALL(brk, first + PAGE) == first + PAGE);
	said("zero after empty", *(char *)first);
	said("big", CALL(brk, first + 64 * 1024 * 1024) == first + 64 * 1024 * 1024);
	((char *)first)[64 * 1024 * 1024 - 1] = 'z';
	CALL(brk, first + PAGE);
}

static void mappings(int fd)
{
	long p, q, dir = CALL(open, "/", 0, 0), only = CALL(open, "probe", O_WRONLY, 0);
	p = map(0, 3 * PAGE, READ | WRITE, ANON, -1, 0);
	said("mapped", !failed(p) && p % PAGE == 0);
	said("zero", ((char *)p)[3 * PAGE - 1]);
	fill((char *)p, 'm', 3 * PAGE);
	probe("first", p, fd);
	RUN(munmap, p + PAGE, PAGE);
	probe("middle", p + PAGE, fd);
	probe("last", p + 2 * PAGE, fd);
	RUN(munmap, p + PAGE, PAGE);
	said("hint taken", map(p + PAGE, 1, READ, ANON, -1, 0) == p + PAGE);
	probe("read only", p + PAGE, fd);
	said("zero", *(char *)(p + PAGE));
	q = map(p, PAGE, READ | WRITE, ANON, -1, 0);
	said("hint not free", !failed(q) && q != p);
	said("fixed", map(p, PAGE, READ | WRITE, ANON | FIXED, -1, 0) == p);
	said("fixed is zero", *(char *)p);
	said("fixed, not aligned", map(p + 1, PAGE, READ, ANON | FIXED, -1, 0));
	said("no replace", map(p, PAGE, READ, ANON | NOREPLACE, -1, 0));
	RUN(munmap, p, PAGE);
	said("no replace, free", map(p, PAGE, READ, ANON | NOREPLACE, -1, 0) == p);
	said("length 0", map(0, 0, READ, ANON, -1, 0));
	said("no type", map(0, PAGE, READ, 0x20, -1, 0));
	said("bad fd", map(0, PAGE, READ, PRIVATE, 99, 0));
	said("bad fd, length 0", map(0, 0, READ, PRIVATE, 99, 0));
	said("fd ignored", !failed(map(0, PAGE, READ, ANON, 99, 0)));
	said("huge", map(0, (word)-PAGE, READ, ANON, -1, 0));
	said("rounds to nothing", map(0, (word)-1, READ, ANON, -1, 0));
	said("a pipe", map(0, PAGE, READ, PRIVATE, 0, 0));
	said("a directory", map(0, PAGE, READ, PRIVATE, dir, 0));
	said("not readable", map(0, PAGE, READ, PRIVATE, only, 0));
	said("not writable", map(0, PAGE, READ | WRITE, 1, dir, 0));
#ifdef __i386__
	old_arguments[1] = PAGE;
	old_arguments[2] = READ | WRITE;
	old_arguments[3] = ANON;
	q = CALL(mmap, old_arguments);
	said("old mmap", !failed(q) && !*(char *)q);
	old_arguments[5] = 1;
	RUN(mmap, old_arguments);
	RUN(mmap, BAD);
#elif defined(NR_mmap)
	RUN(mmap, 0, PAGE, READ, ANON, -1, 1);
#endif
	p = map(0, 4 * PAGE, READ | WRITE, ANON, -1, 0);
	fill((char *)p, 'p', 4 * PAGE);
	RUN(mprotect, p, PAGE, READ);
	probe("read", p, fd);
	RUN(mprotect, p + PAGE, PAGE, 0);
	probe("none", p + PAGE, fd);
	RUN(mprotect, p + PAGE, PAGE, READ | WRITE);
	said("still there", *(char *)(p + PAGE));
	RUN(mprotect, p, 2 * PAGE + 1, READ | WRITE | EXEC);
	probe("all", p + 2 * PAGE, fd);
	RUN(mprotect, p + 1, PAGE, READ);
	RUN(mprotect, p, 0, READ);
	RUN(mprotect, p + 1, 0, READ);
	RUN(mprotect, p, PAGE, 0x40);
	RUN(mprotect, p, 0, 0x40);
	RUN(mprotect, p, PAGE, 0x03000000);
	RUN(mprotect, 0, PAGE, READ);
	RUN(munmap, p + 3 * PAGE, PAGE);
	RUN(mprotect, p + 2 * PAGE, 2 * PAGE, READ);
	probe("changed up to the gap", p + 2 * PAGE, fd);
	RUN(munmap, p + 1, PAGE);
	RUN(munmap, p, 0);
	RUN(munmap, p, -PAGE);
#if defined(__x86_64__) || defined(__i386__)
	/* qemu-user ends here, and tells of a bug in itself. */
	RUN(munmap, -PAGE, PAGE);
#endif
	RUN(munmap, p, 1);
	RUN(munmap, p, 3 * PAGE);
	probe("all gone", p + PAGE, fd);
	p = map(0, PAGE, WRITE, ANON, -1, 0);
	probe("write only is readable", p, fd);
	{
		long pid;
		int status;
		*(char *)p = 'x';
		pid = CALL(fork);
		if (!pid) {
			said("child sees", *(char *)p);
			*(char *)p = 'c';
			CALL(munmap, p, PAGE);
			CALL(exit, 0);
		}
		CALL(wait4, pid, &status, 0, 0);
		said("parent keeps", *(char *)p);
	}
}

static int guest(int argc, char **argv, char **envp)
{
	int fd;
	make("probe", "P");
	fd = CALL(open, "probe", O_RDWR, 0);
	heap(fd);
	mappings(fd);
	return 0;
}
