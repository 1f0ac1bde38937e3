/* Names and directories: mkdir, link, rename, remove, change directory, chroot, modes. */
#include "guest.h"

static char buf[4200];

static void cwd(const char *what)
{
	long n = CALL(getcwd, buf, sizeof buf);
	said(what, n);
	if (n > 0) show("getcwd", buf, n - 1);
}

static void directories(void)
{
	int d, f;
	RUN(mkdir, "a", 0755);
	RUN(mkdir, "a", 0755);
	RUN(mkdir, "a/", 0755);
	RUN(mkdir, "a/b/", 0700);
	RUN(mkdir, "a/c", 07777);
	RUN(mkdir, "absent/b", 0755);
	RUN(mkdir, "", 0755);
	RUN(mkdir, BAD, 0755);
	RUN(mkdir, ".", 0755);
	RUN(mkdir, "..", 0755);
	RUN(mkdir, "/", 0755);
	RUN(mkdir, "a/.", 0755);
	RUN(mkdir, "a/new/.", 0755);
	make("f", "text");
	CALL(symlink, "a", "toa");
	CALL(symlink, "nowhere", "dangling");
	CALL(symlink, "loop", "loop");
	RUN(mkdir, "f", 0755);
	RUN(mkdir, "f/x", 0755);
	RUN(mkdir, "dangling", 0755);
	RUN(mkdir, "toa/viatoa", 0755);
	d = CALL(open, "a", 0, 0);
	f = CALL(open, "f", 0, 0);
	RUN(mkdirat, d, "atd", 0755);
	RUN(mkdirat, d, "atd", 0755);
	RUN(mkdirat, f, "x", 0755);
	RUN(mkdirat, 99, "x", 0755);
	RUN(mkdirat, 99, "/atroot", 0755);
	RUN(mkdirat, 99, "", 0755);
	RUN(umask, 077);
	RUN(mkdir, "masked", 0777);
	shut(open_("maskedfile", O_CREAT | O_WRONLY, 0666));
	RUN(umask, 07022);
	RUN(umask, 022);
	RUN(mknod, "node", 0100640, 0);
	RUN(mknod, "node0", 0666, 0);
	RUN(mknod, "node", 0100640, 0);
	RUN(mknod, "absent/node", 0100640, 0);
	RUN(mknod, "node1/", 0100640, 0);
	RUN(mknod, BAD, 0100640, 0);
	RUN(mknod, "", 0100640, 0);
	RUN(mknod, "f/x", 0100640, 0);
	d = CALL(open, "a", 0, 0);
	RUN(mknodat, d, "node", 0100604, 0);
	RUN(mknodat, d, "node", 0100604, 0);
	RUN(mknodat, 99, "node", 0100604, 0);
	RUN(mknodat, f, "node", 0100604, 0);
	CALL(close, d);
	d = CALL(open, "a", 0, 0);
	cwd("start");
	RUN(chdir, "a/b");
	cwd("in a/b");
	RUN(getcwd, buf, 4);
	RUN(getcwd, buf, 5);
	RUN(getcwd, buf, 0);
	RUN(getcwd, BAD, 5);
	RUN(getcwd, BAD, 100);
	RUN(getcwd, BAD, 1);
	RUN(chdir, "..");
	cwd("in a");
	RUN(chdir, "../../../..");
	cwd("above the root");
	RUN(chdir, "toa/c");
	cwd("by a link");
	RUN(chdir, "/");
	RUN(chdir, "f");
	RUN(chdir, "absent");
	RUN(chdir, "");
	RUN(chdir, BAD);
	RUN(chdir, "dangling");
	RUN(chdir, "loop");
	RUN(chdir, "f/..");
	RUN(fchdir, d);
	cwd("fchdir");
	RUN(fchdir, f);
	RUN(fchdir, 99);
	RUN(fchdir, 1);
	RUN(chdir, "/");
	CALL(mkdir, "gone", 0755);
	RUN(chdir, "gone");
	RUN(rmdir, "../gone");
	cwd("removed");
	RUN(open, ".", 0, 0);
	RUN(open, "x", O_CREAT | O_WRONLY, 0644);
	RUN(mkdir, "x", 0755);
	RUN(access, "..", 0);
	RUN(chdir, ".");
	RUN(chdir, "..");
	cwd("back");
	RUN(close, 5);
	CALL(close, d);
	CALL(close, f);
}

static void removes(void)
{
	int d, f;
	make("a/file", "1");
	RUN(rmdir, "a");
	RUN(rmdir, "f");
	RUN(rmdir, "absent");
	RUN(rmdir, "toa");
	RUN(rmdir, "toa/");
	RUN(rmdir, "a/b/.");
	RUN(rmdir, "a/b/..");
	RUN(rmdir, "/");
	RUN(rmdir, "");
	RUN(rmdir, BAD);
	RUN(rmdir, "f/x");
	RUN(rmdir, "a/b/");
	RUN(rmdir, "a/b");
	RUN(unlink, "a");
	RUN(unlink, "a/file/");
	RUN(unlink, "absent");
	RUN(unlink, "a/");
	RUN(unlink, "absent/");
	RUN(unlink, "dangling");
	RUN(unlink, "dangling");
	RUN(unlink, "f/x");
	RUN(unlink, "");
	RUN(unlink, BAD);
	RUN(unlink, ".");
	RUN(unlink, "..");
	RUN(unlink, "/");
	RUN(unlink, "toa/file");
	d = CALL(open, "a", 0, 0);
	f = CALL(open, "f", O_RDWR, 0);
	CALL(mkdir, "a/sub", 0755);
	make("a/file", "2");
	RUN(unlinkat, d, "file", 0);
	RUN(unlinkat, d, "sub", 0);
	RUN(unlinkat, d, "sub", AT_REMOVEDIR);
	RUN(unlinkat, d, "absent", AT_REMOVEDIR);
	RUN(unlinkat, d, "atd", 4);
	RUN(unlinkat, 99, BAD, 4);
	RUN(unlinkat, 99, "x", 0);
	RUN(unlinkat, f, "x", 0);
	RUN(unlinkat, AT_FDCWD, "masked", AT_REMOVEDIR);
	make("open", "still here");
	CALL(close, f);
	f = CALL(open, "open", O_RDWR, 0);
	RUN(unlink, "open");
	RUN(write, f, "STILL", 5);
	RUN(lseek, f, 0, 0);
	show("unlinked", buf, CALL(read, f, buf, 64));
	RUN(ftruncate, f, 2);
	RUN(lseek, f, 0, 2);
	RUN(close, f);
	RUN(close, d);
}

static void links(void)
{
	int d, fd;
	long n;
	make("one", "1");
	RUN(link, "one", "two");
	RUN(link, "one", "two");
	RUN(link, "absent", "three");
	RUN(link, "one", "absent/three");
	RUN(link, "a", "dirlink");
	RUN(link, "", "x");
	RUN(link, "one", "");
	RUN(link, BAD, "x");
	RUN(link, "one", BAD);
	RUN(link, "one", "new/");
	RUN(link, "one/", "new");
	RUN(symlink, "one", "sym");
	RUN(link, "sym", "symtwo");
	n = RUN(readlink, "symtwo", buf, 100);
	show("symtwo", buf, n);
	fd = CALL(open, "two", O_WRONLY | O_APPEND, 0);
	CALL(write, fd, "22", 2);
	CALL(close, fd);
	fd = CALL(open, "one", 0, 0);
	show("one", buf, CALL(read, fd, buf, 10));
	CALL(close, fd);
	d = CALL(open, "a", 0, 0);
	RUN(linkat, AT_FDCWD, "one", d, "fromat", 0);
	RUN(linkat, AT_FDCWD, "sym", d, "followed", AT_SYMLINK_FOLLOW);
	RUN(linkat, AT_FDCWD, "sym", d, "kept", 0);
	RUN(linkat, d, "fromat", AT_FDCWD, "back", 0);
	RUN(linkat, d, "fromat", AT_FDCWD, "bad", 1);
	RUN(linkat, 99, BAD, AT_FDCWD, "bad", 1);
	RUN(linkat, 99, "x", AT_FDCWD, "bad", 0);
	RUN(linkat, AT_FDCWD, "one", 99, "bad", 0);
	RUN(symlink, "", "emptylink");
	RUN(symlink, "x", "");
	RUN(symlink, "x", "one");
	RUN(symlink, "x", "absent/y");
	RUN(symlink, "x", "slash/");
	RUN(symlink, BAD, "y");
	RUN(symlink, "x", BAD);
	RUN(symlink, "x", "one/y");
	RUN(symlinkat, "target", d, "atlink");
	RUN(symlinkat, "target", 99, "atlink");
	RUN(symlinkat, "", 99, "atlink");
	n = RUN(readlinkat, d, "atlink", buf, 100);
	show("atlink", buf, n);
	n = RUN(readlink, "a/atlink", buf, 3);
	show("cut", buf, n);
	RUN(readlink, "sym", buf, 0);
	RUN(readlink, "sym", buf, -1);
	RUN(readlink, BAD, buf, 0);
	RUN(readlink, "sym", BAD, 9);
	RUN(readlink, "one", buf, 9);
	RUN(readlink, "a", buf, 9);
	RUN(readlink, "absent", buf, 9);
	RUN(readlink, "", buf, 9);
	RUN(readlink, BAD, buf, 9);
	RUN(readlink, "sym/", buf, 9);
	RUN(readlink, "toa/", buf, 9);
	RUN(readlink, "loop", buf, 9);
	RUN(readlinkat, 99, "x", buf, 9);
	RUN(readlinkat, d, "absent", buf, 9);
	RUN(readlinkat, d, "fromat", buf, 9);
	RUN(readlinkat, d, "x", buf, 0);
	CALL(close, d);
}

static void renames(void)
{
	int d, fd;
	make("r1", "r1");
	make("r2", "r2");
	CALL(mkdir, "rd", 0755);
	CALL(mkdir, "rd/in", 0755);
	CALL(mkdir, "re", 0755);
	RUN(rename, "r1", "r3");
	RUN(rename, "r1", "r4");
	RUN(rename, "r3", "r2");
	fd = CALL(open, "r2", 0, 0);
	show("r2", buf, CALL(read, fd, buf, 9));
	CALL(close, fd);
	RUN(rename, "r2", "r2");
	RUN(rename, "r2", "rd");
	RUN(rename, "rd", "r2");
	RUN(rename, "rd", "rd/in/deeper");
	RUN(rename, "rd", "rd/in");
	RUN(rename, "rd/in", "rd");
	RUN(rename, "re", "rd");
	RUN(rename, "re", "rd/in");
	RUN(rename, "rd", "rx/");
	RUN(rename, "r2", "r9/");
	RUN(rename, "r2/", "r9");
	RUN(rename, "rx", "absent/x");
	RUN(rename, "absent/x", "rx");
	RUN(rename, "", "rx");
	RUN(rename, "r2", "");
	RUN(rename, BAD, "rx");
	RUN(rename, "r2", BAD);
	RUN(rename, ".", "rx");
	RUN(rename, "rx", ".");
	RUN(rename, "rx/.", "ry");
	RUN(rename, "rx", "..");
	RUN(rename, "/", "ry");
	RUN(rename, "r2", "/");
	RUN(rename, "r2/x", "ry");
	RUN(rename, "r2", "one/x");
	RUN(rename, "one", "two");
	RUN(access, "one", 0);
	RUN(rename, "sym", "symmoved");
	show("symmoved", buf, RUN(readlink, "symmoved", buf, 99));
	RUN(rename, "r2", "symmoved");
	RUN(readlink, "symmoved", buf, 99);
	d = CALL(open, "rx", 0, 0);
	RUN(renameat, AT_FDCWD, "symmoved", d, "moved");
	RUN(renameat, d, "moved", d, "moved2");
	RUN(renameat, d, "absent", d, "x");
	RUN(renameat, 99, "x", d, "x");
	RUN(renameat, d, "moved2", 99, "x");
	RUN(renameat, 99, "/two", 99, "/three");
	RUN(renameat2, AT_FDCWD, "three", d, "four", 0);
	RUN(renameat2, d, "four", AT_FDCWD, "three", 0);
	RUN(renameat2, d, "four", AT_FDCWD, "three", 0);
	RUN(renameat2, 99, BAD, 99, BAD, 8);
	RUN(renameat2, 99, BAD, 99, BAD, 3);
	RUN(renameat2, 99, BAD, 99, BAD, 6);
	CALL(close, d);
	RUN(chdir, "rx/in");
	RUN(rename, "/rx", "/ry");
	cwd("renamed above");
	RUN(chdir, "/");
}

static void modes(void)
{
	int fd, fd2, d;
	make("m", "m");
	RUN(chmod, "m", 0755);
	RUN(chmod, "m", 0177777);
	RUN(chmod, "absent", 0);
	RUN(chmod, "", 0);
	RUN(chmod, BAD, 0);
	RUN(chmod, "m/", 0);
	RUN(chmod, "loop", 0);
	CALL(symlink, "m", "tom");
	RUN(chmod, "tom", 0604);
	RUN(chmod, "a", 0700);
	fd = CALL(open, "m", 0, 0);
	make("m2", "m");
	d = CALL(open, "a", 0, 0);
	CALL(unlink, "a/fromat");
	CALL(close, fd);
	fd = CALL(open, "m2", 0, 0);
	RUN(fchmod, fd, 04711);
	RUN(fchmod, 99, 0);
	RUN(fchmod, d, 01777);
	fd2 = CALL(openat, d, "q", O_CREAT | O_WRONLY, 0644);
	CALL(close, fd2);
	RUN(fchmodat, d, "q", 0400);
	RUN(fchmodat, d, "absent", 0400);
	RUN(fchmodat, fd, "q", 0400);
	RUN(fchmodat, 99, "q", 0400);
	RUN(fchmodat, 99, "", 0400);
	RUN(fchmodat, AT_FDCWD, "m", 0444);
	fd = RUN(open, "m", O_RDWR, 0);
}

static void roots(void)
{
	RUN(chroot, "absent");
	RUN(chroot, "m");
	RUN(chroot, "");
	RUN(chroot, BAD);
	RUN(chroot, "loop");
	CALL(mkdir, "jail", 0755);
	CALL(mkdir, "jail/inner", 0755);
	make("jail/inner/here", "x");
	CALL(symlink, "/inner/here", "jail/link");
	RUN(chdir, "jail/inner");
	RUN(chroot, "/jail");
	cwd("in the jail");
	RUN(access, "/inner/here", 0);
	RUN(access, "/m", 0);
	RUN(access, "/../m", 0);
	RUN(access, "/link", 0);
	RUN(chdir, "../../../..");
	cwd("its root");
	RUN(chroot, "inner");
	/* The rest of the path is the host's where the suite itself runs in a changed root. */
	show("outside", buf, CALL(getcwd, buf, sizeof buf) > 13 ? 13 : 0);
	RUN(access, "here", 0);
	RUN(access, "inner", 0);
	RUN(access, "/here", 0);
	RUN(access, "../m", 0);
	RUN(chdir, "/");
	cwd("inside");
}

#ifdef __aarch64__
/* Numbers that other architectures have for unlink, mknod and mkdir, and arm64 for nothing. */
#define NR_syscall_0x402 1026
#define NR_syscall_0x403 1027
#define NR_syscall_0x406 1030

static void numbers_without_a_call(void)
{
	make("kept", "text");
	RUN(syscall_0x402, "kept");
	RUN(syscall_0x403, "node", 0100640, 0);
	RUN(syscall_0x406, "folder", 0755);
	RUN(access, "kept", 0);
	RUN(access, "folder", 0);
}
#else
static void numbers_without_a_call(void)
{
}
#endif

static int guest(int argc, char **argv, char **envp)
{
	directories();
	removes();
	links();
	renames();
	modes();
	numbers_without_a_call();
	roots();
	return 255;
}
