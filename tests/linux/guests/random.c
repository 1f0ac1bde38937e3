/* A long random walk over a few names and descriptors; SEED chooses which. */
#include "guest.h"

#ifndef SEED
#define SEED 1
#endif
#define STEPS 1000

static u32 state = SEED * 2654435761u + 12345;

static u32 any(u32 n)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return (state >> 3) % n;
}

static const char *names[] = {
	"a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "e", "e/a", "/a", "/d", "..", ".", "../a",
	"d/", "a/", "d/..", "d/e/..", "s", "s/a", "t", "d/s", "d/e/", "/", "./a", "d//a", "e/../b",
	"d/e/s", "s/", "x/y", "d/./e",
};
static const char *targets[] = {"a", "d", "s", "t", "/d/e", "../a", "..", "e", "d/s", "/"};

static const char *name(void)
{
	return names[any(sizeof names / sizeof *names)];
}

static char buf[128];

static void line(const char *op, const char *one, const char *two, long n, long result)
{
	put(op);
	put(" ");
	put(one);
	put(" ");
	put(two);
	put(" ");
	put_number(n);
	said("", result);
}

static char raw[256];

#ifdef __x86_64__
#define MODE_AT 24
#define SIZE_AT 48
#define LINKS_AT 16
#define LSTAT(path) CALL(lstat, path, raw)
#define FSTAT(fd) CALL(fstat, fd, raw)
#elif defined(__aarch64__) || __riscv_xlen == 64
#define MODE_AT 16
#define SIZE_AT 48
#define LINKS_AT 20
#define LSTAT(path) CALL(lstat, path, raw)
#define FSTAT(fd) CALL(fstat, fd, raw)
#elif defined(__riscv)
#define MODE_AT 28
#define SIZE_AT 40
#define LINKS_AT 16
#define LSTAT(path) CALL(lstat, path, raw)
#define FSTAT(fd) CALL(fstat, fd, raw)
#else
#define MODE_AT 16
#define SIZE_AT 44
#define LINKS_AT 20
#define LSTAT(path) CALL(lstat64, path, raw)
#define FSTAT(fd) CALL(fstat64, fd, raw)
#endif

static void told(long r)
{
	u32 mode = *(u16 *)(raw + MODE_AT);
	if (r) return;
	said("mode", mode);
	if ((mode & 0170000) == 0040000) return;
	said("size", *(u32 *)(raw + SIZE_AT));
	said("links", *(u32 *)(raw + LINKS_AT));
}

static const int flag_bits[] = {O_CREAT, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW, O_DIRECTORY};

static int depth;

static void step(void)
{
	const char *one = name(), *two = name();
	int fd = 3 + any(8), n = any(60), flags = any(3), i;
	long r;
	switch (any(25)) {
	case 0: case 1: case 2:
		for (i = any(3); i; i--) flags |= flag_bits[any(7)];
		/* Linux changed its mind about these two together (6.4). */
		if (flags & O_CREAT) flags &= ~O_DIRECTORY;
		r = CALL(open, one, flags, 0600 + any(64));
		line("open", one, "", flags, r);
		if (r > 10) CALL(close, r);
		break;
	case 3: line("close", "", "", fd, CALL(close, fd)); break;
	case 4: case 5:
		for (i = 0; i < n; i++) buf[i] = 'a' + any(26);
		line("write", "", "", fd, CALL(write, fd, buf, n));
		break;
	case 6:
		r = CALL(read, fd, buf, n);
		line("read", "", "", fd, r);
		for (i = 0; i < r; i++) if (!buf[i]) buf[i] = '.';
		if (r > 0) show("got", buf, r);
		break;
	case 7:
		flags = any(5);
		i = (int)any(120) - 20;
		r = CALL(lseek, fd, i, flags);
		/* What is in a directory, and where holes are, is the file system's own. */
		if (FSTAT(fd) || (*(u16 *)(raw + MODE_AT) & 0170000) != 0100000) break;
		if (flags < 3) line("lseek", "", "", i, r);
		else CALL(lseek, fd, 0, 0);
		break;
	case 8: line("mkdir", one, "", 0, CALL(mkdir, one, 0777)); break;
	case 9: line("rmdir", one, "", 0, CALL(rmdir, one)); break;
	case 10: line("unlink", one, "", 0, CALL(unlink, one)); break;
	case 11: case 12: line("rename", one, two, 0, CALL(rename, one, two)); break;
	case 13: line("link", one, two, 0, CALL(link, one, two)); break;
	case 14:
		one = targets[any(10)];
		line("symlink", one, two, 0, CALL(symlink, one, two));
		break;
	case 15:
		r = CALL(readlink, one, buf, n);
		line("readlink", one, "", n, r);
		if (r > 0) show("got", buf, r);
		break;
	case 16:
		line("chdir", one, "", 0, CALL(chdir, one));
		r = CALL(getcwd, buf, sizeof buf);
		said("getcwd", r);
		if (r > 0) show("it", buf, r - 1);
		if (any(4) == 0) CALL(chdir, "/");
		break;
	case 17: line("truncate", one, "", n, CALL(truncate, one, n)); break;
	case 18:
		r = FSTAT(fd);
		line("fstat", "", "", fd, r);
		told(r);
		break;
	case 19: line("ftruncate", "", "", fd, CALL(ftruncate, fd, n)); break;
	case 20:
		i = 3 + any(8);
		line("dup2", "", "", fd * 100 + i, CALL(dup2, fd, i));
		break;
	case 21:
		r = LSTAT(one);
		line("lstat", one, "", 0, r);
		told(r);
		break;
	case 22: line("chmod", one, "", n, CALL(chmod, one, 0600 + n)); break;
	case 24: {
		/* A child goes on with what is shared and what is its own, and then its parent. */
		int status = 0;
		long pid;
		if (depth == 3 || any(3)) break;
		pid = CALL(fork);
		if (!pid) {
			depth++;
			any(7);
			for (i = any(20); i >= 0; i--) step();
			CALL(exit, depth);
		}
		CALL(wait4, pid, &status, 0, 0);
		said("child", status);
		any(5);
		break;
	}
	case 23: line("access", one, "", n & 7, CALL(access, one, n & 7)); break;
	}
}

static int guest(int argc, char **argv, char **envp)
{
	int i;
	for (i = 0; i < STEPS; i++) step();
	return 0;
}
