/* The stat family and directory listing. */
#include "guest.h"

static char raw[300];

static u64 field(int at, int size)
{
	u64 v = 0;
	while (size--) v = v << 8 | (u8)raw[at + size];
	return v;
}

/* What does not depend on the host: mode, size, blocks, links of files, owner, block size. */
static void fields(int old)
{
	u32 mode;
	u64 size;
#ifdef __x86_64__
	mode = field(24, 4); size = field(48, 8);
	said("uid", field(28, 4));
	said("gid", field(32, 4));
	said("rdev", field(40, 8));
	if ((mode & 0170000) != 0040000) said("nlink", field(16, 8));
	if ((mode & 0170000) == 0100000) said("blksize", field(56, 8));
	if ((mode & 0170000) == 0100000 && size) said("blocks", field(64, 8));
#elif defined(__aarch64__) || __riscv_xlen == 64
	mode = field(16, 4); size = field(48, 8);
	said("uid", field(24, 4));
	said("gid", field(28, 4));
	said("rdev", field(32, 8));
	if ((mode & 0170000) != 0040000) said("nlink", field(20, 4));
	if ((mode & 0170000) == 0100000) said("blksize", field(56, 4));
	if ((mode & 0170000) == 0100000 && size) said("blocks", field(64, 8));
#elif defined(__riscv)
	mode = field(28, 2); size = field(40, 8);
	said("uid", field(20, 4));
	said("gid", field(24, 4));
	said("rdev", field(128, 8));
	if ((mode & 0170000) != 0040000) said("nlink", field(16, 4));
	if ((mode & 0170000) == 0100000) said("blksize", field(4, 4));
	if ((mode & 0170000) == 0100000 && size) said("blocks", field(48, 8));
#else
	if (old) {
		mode = field(8, 2); size = field(20, 4);
		said("uid", field(12, 2));
		said("gid", field(14, 2));
		said("rdev", field(16, 4));
		if ((mode & 0170000) != 0040000) said("nlink", field(10, 2));
		if ((mode & 0170000) == 0100000) said("blksize", field(24, 4));
		if ((mode & 0170000) == 0100000 && size) said("blocks", field(28, 4));
	} else {
		mode = field(16, 4); size = field(44, 8);
		said("uid", field(24, 4));
		said("gid", field(28, 4));
		said("rdev", field(32, 8));
		said("low ino", field(12, 4) == field(88, 4));
		if ((mode & 0170000) != 0040000) said("nlink", field(20, 4));
		if ((mode & 0170000) == 0100000) said("blksize", field(52, 4));
		if ((mode & 0170000) == 0100000 && size) said("blocks", field(56, 8));
	}
#endif
	said("mode", mode);
	if ((mode & 0170000) != 0040000) said("size", size);
}

#define STAT(old, name, ...) do { \
	fill(raw, 0x55, sizeof raw); \
	if (!RUN(name, __VA_ARGS__)) fields(old); \
	} while (0)
/* The bytes after the structure must be as they were. */
#define UNTOUCHED(size) said("untouched", raw[size] == 0x55 && raw[(size) - 1] != 0x55)

#ifdef __x86_64__
#define SIZE 144
#define OLD_SIZE 144
#define FSTATAT(...) STAT(0, newfstatat, __VA_ARGS__)
#elif defined(__aarch64__) || __riscv_xlen == 64
#define SIZE 128
#define OLD_SIZE 128
#define FSTATAT(...) STAT(0, newfstatat, __VA_ARGS__)
#elif defined(__riscv)
#define SIZE 256
#define OLD_SIZE 256
#define FSTATAT(...) STAT(0, newfstatat, __VA_ARGS__)
#else
#define SIZE 96
#define OLD_SIZE 64
#define FSTATAT(...) STAT(0, fstatat64, __VA_ARGS__)
#endif

#define STATX(...) do { \
	fill(raw, 0x55, sizeof raw); \
	if (!RUN(statx, __VA_ARGS__)) extended(); \
	} while (0)

/* Times (and whether they are told unasked), mounts and attributes are the host's; the rest of struct statx is not. */
static void extended(void)
{
	u32 mode = field(28, 2);
	said("mask", field(0, 4) & 0x73f);
	said("mode", mode);
	said("owner", field(20, 8));
	said("spare", field(30, 2));
	said("rdev", field(128, 8));
	said("untouched", raw[256] == 0x55 && raw[255] != 0x55);
	if ((mode & 0170000) == 0040000) return;
	said("nlink", field(16, 4));
	said("size", field(40, 8));
	if ((mode & 0170000) == 0100000) said("blocks", field(48, 8));
}

static void statxs(int fd, int d)
{
	STATX(AT_FDCWD, "f", 0, 0x7ff, raw);
	STATX(AT_FDCWD, "f", 0, 0, raw);
	STATX(AT_FDCWD, "sym", 0, 0xfff, raw);
	STATX(AT_FDCWD, "sym", AT_SYMLINK_NOFOLLOW, 0x7ff, raw);
	STATX(AT_FDCWD, "d", 0x2000, 0x7ff, raw);
	STATX(d, "../f", 0x4800, 0x7ff, raw);
	STATX(fd, "", AT_EMPTY_PATH, 0x7ff, raw);
	STATX(AT_FDCWD, "absent", 0, 0x7ff, raw);
	STATX(AT_FDCWD, "", 0, 0x7ff, raw);
	STATX(AT_FDCWD, "f", 0x6000, 0x7ff, raw);
	STATX(AT_FDCWD, "f", 1, 0x7ff, raw);
	STATX(AT_FDCWD, "f", 0, 0x80000000, raw);
	STATX(AT_FDCWD, BAD, 0, 0x80000000, raw);
	STATX(AT_FDCWD, BAD, 0, 0x7ff, raw);
	STATX(AT_FDCWD, "f", 0, 0x7ff, BAD);
	STATX(99, "f", 0, 0x7ff, raw);
	STATX(fd, "f", 0, 0x7ff, raw);
}

static void stats(void)
{
	int fd, d;
	make("f", "some text");
	CALL(link, "f", "g");
	CALL(chmod, "f", 0751);
	CALL(mkdir, "d", 0711);
	CALL(symlink, "f", "sym");
	CALL(symlink, "loop", "loop");
	make("empty", "");
	fd = CALL(open, "big", O_CREAT | O_RDWR, 0600);
	CALL(write, fd, raw, 200);
	d = CALL(open, "d", 0, 0);
	STAT(1, stat, "f", raw);
	UNTOUCHED(OLD_SIZE);
	STAT(1, stat, "d", raw);
	STAT(1, stat, "sym", raw);
	STAT(1, stat, "empty", raw);
	STAT(1, stat, "absent", raw);
	STAT(1, stat, "loop", raw);
	STAT(1, stat, "f/", raw);
	STAT(1, stat, "", raw);
	STAT(1, stat, BAD, raw);
	STAT(1, stat, "f", BAD);
	STAT(1, stat, "absent", BAD);
	STAT(1, lstat, "sym", raw);
	STAT(1, lstat, "sym/", raw);
	STAT(1, lstat, "loop", raw);
	STAT(1, lstat, "f", raw);
	STAT(1, lstat, "absent", raw);
	STAT(1, fstat, fd, raw);
	STAT(1, fstat, d, raw);
	STAT(1, fstat, 99, raw);
	STAT(1, fstat, 99, BAD);
	STAT(1, fstat, fd, BAD);
#ifdef NR_stat64
	STAT(0, stat64, "f", raw);
	UNTOUCHED(SIZE);
	STAT(0, stat64, "d", raw);
	STAT(0, stat64, "absent", raw);
	STAT(0, stat64, "f", BAD);
	STAT(0, lstat64, "sym", raw);
	STAT(0, lstat64, "absent", raw);
	STAT(0, fstat64, fd, raw);
	STAT(0, fstat64, 99, raw);
#endif
	FSTATAT(AT_FDCWD, "f", raw, 0);
	UNTOUCHED(SIZE);
	FSTATAT(AT_FDCWD, "sym", raw, 0);
	FSTATAT(AT_FDCWD, "sym", raw, AT_SYMLINK_NOFOLLOW);
	FSTATAT(d, "../f", raw, 0x800);
	FSTATAT(d, "absent", raw, 0);
	FSTATAT(d, "", raw, 0);
	FSTATAT(d, "", raw, AT_EMPTY_PATH);
	FSTATAT(fd, "", raw, AT_EMPTY_PATH);
	FSTATAT(AT_FDCWD, "", raw, AT_EMPTY_PATH);
	FSTATAT(99, "", raw, AT_EMPTY_PATH);
	FSTATAT(fd, "x", raw, 0);
	FSTATAT(99, "x", raw, 0);
	FSTATAT(99, "/f", raw, 0);
	FSTATAT(99, BAD, raw, 1);
	FSTATAT(d, BAD, raw, 0);
	statxs(fd, d);
	CALL(unlink, "f");
	STAT(1, stat, "g", raw);
	CALL(unlink, "g");
	CALL(unlink, "big");
	STAT(1, fstat, fd, raw);
	RUN(lseek, fd, 5000, 0);
	RUN(write, fd, "x", 1);
	CALL(close, fd);
	CALL(close, d);
}

static void name(char *at, int n)
{
	at[0] = 'n';
	at[1] = 'a' + n / 26;
	at[2] = 'a' + n % 26;
	at[3] = 0;
}

static int seen[64];

/* Lists a directory of "." ".." n00.. f s, counting what it sees whatever the order. */
static void list(int fd, int wide, long size)
{
	static char entries[4096];
	int calls = 0, total = 0, dots = 0, types = 0, aligned = 1, i;
	long n;
	for (i = 0; i < 64; i++) seen[i] = 0;
	for (;;) {
		#ifdef NR_getdents
		n = wide ? CALL(getdents64, fd, entries, size) : CALL(getdents, fd, entries, size);
#else
		n = CALL(getdents64, fd, entries, size);
#endif
		if (n <= 0) break;
		calls++;
		for (long at = 0; at < n; ) {
			char *e = entries + at;
			int len = wide ? *(u16 *)(e + 16) : *(u16 *)(e + 2 * sizeof(word));
			char *text = wide ? e + 19 : e + 2 * sizeof(word) + 2;
			int type = wide ? e[18] : e[len - 1];
			int align = wide ? 8 : sizeof(word);
			if (len % align || len < align) aligned = 0;
			if (text[0] == '.') dots++;
			if (text[0] == 'n') seen[(text[1] - 'a') * 26 + text[2] - 'a']++;
			types += type;
			total++;
			at += len;
		}
	}
	said("last", n);
	said("several calls", calls > 1);
	said("entries", total);
	said("dots", dots);
	said("sum of types", types);
	said("aligned", aligned);
	for (i = 0; i < 40; i++) if (seen[i] != 1) said("seen", i);
}

static void lists(void)
{
	char text[4], entries[64];
	int fd, f, i;
	CALL(mkdir, "l", 0755);
	CALL(chdir, "l");
	for (i = 0; i < 40; i++) { name(text, i); make(text, text); }
	CALL(mkdir, "s", 0755);
	CALL(symlink, "s", "y");
	fd = CALL(open, ".", 0, 0);
	f = CALL(open, "naa", 0, 0);
	list(fd, 1, 4096);
	RUN(getdents64, fd, entries, 64);
	RUN(lseek, fd, 0, 0);
	list(fd, 1, 100);
#ifdef NR_getdents
	RUN(lseek, fd, 0, 0);
	list(fd, 0, 4096);
	RUN(lseek, fd, 0, 0);
	list(fd, 0, 100);
#endif
	RUN(lseek, fd, 0, 0);
	RUN(getdents64, fd, entries, 10);
	RUN(getdents64, fd, entries, 0);
	RUN(getdents64, fd, BAD, 64);
	RUN(getdents64, f, entries, 64);
	RUN(getdents64, 99, entries, 64);
	RUN(getdents64, 1, BAD, 64);
#ifdef NR_getdents
	RUN(getdents, fd, entries, 4);
	RUN(getdents, fd, BAD, 64);
	RUN(getdents, f, BAD, 64);
	RUN(getdents, 99, entries, 64);
#endif
	CALL(close, fd);
	CALL(mkdir, "gone", 0755);
	fd = CALL(open, "gone", 0, 0);
	list(fd, 1, 4096);
	RUN(lseek, fd, 0, 0);
	CALL(rmdir, "gone");
	RUN(getdents64, fd, entries, 64);
#ifdef NR_getdents
	RUN(getdents, fd, entries, 64);
#endif
}

static int guest(int argc, char **argv, char **envp)
{
	stats();
	lists();
	return 1;
}
