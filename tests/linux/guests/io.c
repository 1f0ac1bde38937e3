/* read, write and their kin: counts, ends of files, bad descriptors, bad pointers, offsets. */
#include "guest.h"

struct vec { void *base; word len; };

#if __SIZEOF_POINTER__ == 4
#define OFFSET(nr, fd, buf, n, at) sc(nr, fd, (long)(buf), n, at, (at) < 0 ? -1 : 0, 0)
#else
#define OFFSET(nr, fd, buf, n, at) sc(nr, fd, (long)(buf), n, at, 0, 0)
#endif
#define AT(name, fd, buf, n, at) \
	said(#name "(" #fd ", " #buf ", " #n ", " #at ")", OFFSET(NR_##name, fd, buf, n, at))
#define PREAD(fd, buf, n, at) AT(pread64, fd, buf, n, at)
#define PWRITE(fd, buf, n, at) AT(pwrite64, fd, buf, n, at)

static char low[64];

static void reads(char *end)
{
	char buf[64];
	int fd, out, dir;
	make("in", "hello, world\n");
	fd = RUN(open, "in", 0, 0);
	out = RUN(open, "out", O_CREAT | O_WRONLY, 0600);
	dir = RUN(open, ".", O_DIRECTORY, 0);
	show("5 bytes", buf, RUN(read, fd, buf, 5));
	show("the rest", buf, RUN(read, fd, buf, 64));
	RUN(read, fd, buf, 64);
	RUN(read, fd, BAD, 64);
	RUN(lseek, fd, 0, 0);
	RUN(read, fd, BAD, 0);
	RUN(read, fd, KERNEL_BAD, 0);
	RUN(read, fd, BAD, 4);
	RUN(lseek, fd, 0, 1);
	show("up to the edge", end - 4, RUN(read, fd, end - 4, 10));
	RUN(lseek, fd, 0, 1);
	RUN(lseek, fd, 0, 0);
	RUN(read, fd, low, 0x7fffffff);
	RUN(lseek, fd, 0, 0);
#ifdef __x86_64__
	RUN(read, fd, low, 0x8000000000000000);
	RUN(read, fd, 16, 0x7fffffffe000);
	RUN(read, fd, BAD, 0x7fffffffffff);
#elif __SIZEOF_POINTER__ == 8
	RUN(read, fd, low, 0x8000000000000000);
#elif defined(__i386__)
	RUN(read, fd, low, 0x80000000);
	RUN(lseek, fd, 0, 0);
	RUN(read, fd, low, 0xffffffff);
#endif
	RUN(read, -1, BAD, 4);
	RUN(read, 99, buf, 4);
	RUN(read, 0x7fffffff, buf, 4);
	RUN(read, out, BAD, 4);
	RUN(read, dir, buf, 4);
	RUN(read, dir, buf, 0);
	RUN(read, dir, BAD, 4);
	RUN(write, dir, buf, 4);
	show("standard input", buf, RUN(read, 0, buf, 6));
	RUN(read, 0, BAD, 1);
	show("more of it", buf, RUN(read, 0, buf, 3));
	RUN(close, fd);
	RUN(close, fd);
	RUN(close, -1);
	RUN(close, out);
	RUN(close, dir);
}

static void writes(char *end)
{
	char buf[64];
	int fd = RUN(open, "w", O_CREAT | O_RDWR | O_TRUNC, 0644);
	int only = RUN(open, "w", 0, 0);
	RUN(write, fd, "abcdef", 6);
	RUN(write, fd, BAD, 0);
	RUN(write, fd, KERNEL_BAD, 0);
	RUN(write, fd, BAD, 3);
	RUN(write, fd, end - 3, 9);
	RUN(lseek, fd, 0, 1);
	RUN(write, only, "x", 1);
	RUN(write, -5, "x", 1);
	RUN(write, 77, BAD, 1);
	RUN(lseek, fd, 2, 0);
	RUN(write, fd, "ZZ", 2);
	RUN(lseek, fd, 20, 0);
	RUN(write, fd, "!", 1);
	RUN(lseek, fd, 0, 0);
	{
		long n = RUN(read, fd, buf, 64);
		for (long i = 0; i < n; i++) if (!buf[i]) buf[i] = '.';
		show("with a hole", buf, n);
	}
	RUN(close, fd);
	fd = RUN(open, "w", O_WRONLY | O_APPEND, 0);
	RUN(lseek, fd, 0, 0);
	RUN(write, fd, "end", 3);
	RUN(lseek, fd, 0, 1);
	RUN(close, fd);
	RUN(close, only);
}

static void seeks(void)
{
	int fd = RUN(open, "in", 0, 0);
	RUN(lseek, fd, 3, 0);
	RUN(lseek, fd, 4, 1);
	RUN(lseek, fd, -2, 2);
	RUN(lseek, fd, -100, 1);
	RUN(lseek, fd, -1, 0);
	RUN(lseek, fd, 100, 0);
	RUN(lseek, fd, 0, 1);
	RUN(lseek, fd, 0, 9);
	RUN(lseek, fd, 0, -1);
	RUN(lseek, -1, 0, 9);
	RUN(lseek, 1, 0, 0);
	RUN(lseek, 1, 0, 9);
	RUN(lseek, fd, 2, 3);
	RUN(lseek, fd, 2, 4);
	RUN(lseek, fd, 13, 3);
	RUN(lseek, fd, 13, 4);
	RUN(lseek, fd, -1, 3);
#ifdef NR__llseek
	{
		u64 where = 0;
		RUN(_llseek, fd, 0, 5, &where, 0);
		said("where", (long)where);
		RUN(_llseek, fd, 1, 7, &where, 0);
		said("high", (long)(where >> 32));
		said("low", (long)where);
		RUN(lseek, fd, 0, 1);
		RUN(_llseek, fd, 0xffffffff, -4, &where, 2);
		said("where", (long)where);
		RUN(_llseek, fd, 0xffffffff, -4, &where, 0);
		RUN(_llseek, fd, 0, 6, BAD, 0);
		RUN(lseek, fd, 0, 1);
		RUN(_llseek, fd, 0, 0, &where, 7);
		RUN(_llseek, 70, 0, 0, &where, 7);
		RUN(_llseek, 1, 0, 0, &where, 0);
		RUN(lseek, fd, 0x7fffffff, 0);
		RUN(lseek, fd, 1, 1);
		RUN(lseek, fd, 0, 1);
	}
#else
	RUN(lseek, fd, 0x100000000, 0);
	RUN(lseek, fd, 0, 1);
	RUN(lseek, fd, 0x7fffffffffffffff, 0);
#endif
	RUN(close, fd);
}

static void positions(char *end)
{
	char buf[64];
	int fd, only, dir, append;
	make("p", "0123456789");
	fd = RUN(open, "p", O_RDWR, 0);
	only = RUN(open, "p", O_WRONLY, 0);
	dir = RUN(open, ".", 0, 0);
	append = RUN(open, "p", O_WRONLY | O_APPEND, 0);
	show("from 4", buf, PREAD(fd, buf, 3, 4));
	show("from 8", buf, PREAD(fd, buf, 30, 8));
	PREAD(fd, buf, 3, 10);
	PREAD(fd, buf, 3, 1000);
	PREAD(fd, BAD, 3, 1000);
	PREAD(fd, BAD, 3, 1);
	PREAD(fd, end - 2, 9, 1);
	PREAD(fd, buf, 3, -1);
	PREAD(-1, buf, 3, -1);
	PREAD(-1, buf, 3, 0);
	PREAD(0, buf, 3, 0);
	PREAD(only, buf, 3, 0);
	PREAD(dir, buf, 3, 0);
	RUN(lseek, fd, 0, 1);
	PWRITE(fd, "AB", 2, 3);
	PWRITE(fd, "Z", 1, 14);
	PWRITE(fd, "Q", 0, 40);
	PWRITE(fd, BAD, 0, 40);
	PWRITE(fd, BAD, 2, 3);
	PWRITE(fd, end - 1, 2, 11);
	PWRITE(fd, "x", 1, -1);
	PWRITE(-1, "x", 1, 0);
	PWRITE(1, "x", 1, 0);
	PWRITE(dir, "x", 1, 0);
	PWRITE(append, "tail", 4, 0);
	RUN(lseek, append, 0, 1);
	RUN(lseek, fd, 0, 1);
	RUN(close, fd);
	RUN(close, only);
	RUN(close, dir);
	RUN(close, append);
}

static void vectors(char *end)
{
	char a[4], b[8], c[16];
	struct vec three[] = {{a, 4}, {b, 0}, {c, 5}};
	struct vec text[] = {{"one ", 4}, {BAD, 0}, {"two", 3}};
	struct vec broken[] = {{a, 2}, {BAD, 3}, {c, 4}};
	struct vec all_bad[] = {{BAD, 3}};
	struct vec cut[] = {{end - 2, 6}, {a, 2}};
	struct vec negative[] = {{a, 1}, {b, (word)-1}};
	struct vec empty[] = {{a, 0}};
	int fd, out, dir;
	make("v", "abcdefghijkl");
	fd = RUN(open, "v", 0, 0);
	out = RUN(open, "vout", O_CREAT | O_RDWR, 0644);
	dir = RUN(open, ".", 0, 0);
	RUN(readv, fd, three, 3);
	show("a", a, 4);
	show("c", c, 5);
	RUN(readv, fd, three, 3);
	RUN(readv, fd, three, 3);
	RUN(lseek, fd, 0, 0);
	RUN(readv, fd, broken, 3);
	RUN(lseek, fd, 0, 1);
	RUN(readv, fd, all_bad, 1);
	RUN(readv, fd, cut, 2);
	RUN(lseek, fd, 0, 1);
	RUN(readv, fd, negative, 2);
	RUN(readv, fd, three, 0);
	RUN(readv, fd, three, -1);
	RUN(readv, fd, three, 1025);
	RUN(readv, fd, BAD, 1);
	RUN(readv, fd, BAD, 0);
	RUN(readv, -1, BAD, 9999);
	RUN(readv, out, three, 3);
	RUN(readv, dir, three, 3);
	RUN(readv, dir, empty, 1);
	{
		struct vec *late = (struct vec *)end - 1;
		late->base = a;
		late->len = 1;
		RUN(readv, fd, late, 1);
		RUN(readv, fd, late, 2);
	}
	RUN(writev, out, text, 3);
	RUN(writev, out, broken + 1, 1);
	RUN(writev, out, cut, 2);
	RUN(writev, out, negative, 2);
	RUN(writev, out, empty, 1);
	RUN(writev, out, text, 0);
	RUN(writev, out, text, 1025);
	RUN(writev, out, BAD, 2);
	RUN(writev, fd, text, 3);
	RUN(writev, dir, text, 3);
	RUN(writev, -1, BAD, 3);
	RUN(writev, 1, text, 3);
	RUN(lseek, out, 0, 1);
	RUN(close, fd);
	RUN(close, out);
	RUN(close, dir);
}

static int guest(int argc, char **argv, char **envp)
{
	char *end = edge();
	reads(end);
	writes(end);
	seeks();
	positions(end);
	vectors(end);
	return 7;
}
