/* Processes: fork, exec, wait, exit, identity. */
#include "guest.h"

static int status;

static long wait_(long pid)
{
	status = 0x5555;
	return CALL(wait4, pid, &status, 0, 0);
}

static void ended(const char *what, long pid, long waited)
{
	said(what, pid > 0 && pid == waited);
	said("status", status);
}

static void identity(void)
{
	char uts[400];
	RUN(getuid);
	RUN(geteuid);
	RUN(getgid);
	RUN(getegid);
	RUN(setuid, 0);
	RUN(setgid, 0);
	RUN(setuid, -1);
	RUN(setgid, -1);
#ifdef NR_getuid32
	RUN(getuid32);
	RUN(geteuid32);
	RUN(getgid32);
	RUN(getegid32);
	RUN(setuid32, 0);
	RUN(setgid32, 0);
	RUN(setuid32, -1);
	RUN(setgid32, -1);
	RUN(setuid, 0x10000);
	RUN(olduname, uts);
	show("old sysname", uts, 6);
	RUN(olduname, BAD);
#endif
	said("one thread", CALL(getpid) == CALL(gettid));
	said("tid address", CALL(set_tid_address, &status) == CALL(getpid));
	said("bad tid address", CALL(set_tid_address, BAD) == CALL(getpid));
	fill(uts, 1, sizeof uts);
	RUN(uname, uts);
	show("sysname", uts, 6);
	said("fields", uts[5] == 0 && uts[64] == 0 && uts[65 * 6 - 1] == 0 && uts[65 * 6] == 1);
	RUN(uname, BAD);
	RUN(umask, 0);
	RUN(umask, 0177777);
	RUN(umask, 022);
}

static void forks(void)
{
	static int shared = 1;
	char buf[8];
	long pid, parent = CALL(getpid);
	int fd;
	make("f", "0123456789");
	fd = CALL(open, "f", O_RDWR, 0);
	pid = CALL(fork);
	if (!pid) {
		shared = 2;
		said("my parent", CALL(getppid) == parent);
		said("another pid", CALL(getpid) != parent);
		show("child reads", buf, CALL(read, fd, buf, 3));
		CALL(close, fd);
		CALL(chdir, "/");
		CALL(umask, 0);
		CALL(exit, 0x1234);
	}
	ended("child", pid, wait_(-1));
	said("memory is mine", shared);
	show("parent reads", buf, RUN(read, fd, buf, 3));
	RUN(umask, 022);
	RUN(wait4, -1, &status, 0, 0);
	RUN(wait4, -1, BAD, 0, 0);
	RUN(wait4, pid, &status, 0, 0);
	RUN(wait4, -1, &status, 4, 0);
	RUN(wait4, 0x80000000, &status, 0, 0);
	RUN(wait4, -1, &status, 1, 0);
	RUN(wait4, 0, &status, 0, 0);
	RUN(wait4, 12345, &status, 0, 0);
	RUN(wait4, -1, &status, 0x80000000, 0);
	pid = CALL(fork);
	if (!pid) CALL(exit_group, 3);
	RUN(wait4, 54321, &status, 0, 0);
	ended("by pid", pid, wait_(pid));
	pid = CALL(fork);
	if (!pid) CALL(exit, -1);
	ended("group", pid, wait_(0));
	pid = CALL(fork);
	if (!pid) CALL(exit, 7);
	RUN(wait4, -1, BAD, 0, 0);
	RUN(wait4, -1, &status, 0, 0);
	pid = CALL(fork);
	if (!pid) CALL(exit, 7);
	said("no status", CALL(wait4, -1, 0, 0, 0) == pid);
	pid = CALL(fork);
	if (!pid) CALL(exit, 8);
	status = 0;
	ended("all kinds", pid, CALL(wait4, -1, &status, 0x40000000 | 2 | 8, 0));
#if __riscv_xlen != 32
	pid = CALL(fork);
	if (!pid) CALL(exit, 12);
	status = 0;
	RUN(wait4, -1, &status, 0, -1);
	said("status", status);
	RUN(wait4, -1, &status, 0, -1);
	pid = CALL(fork);
	if (!pid) CALL(exit, 13);
	RUN(wait4, -1, &status, 0, BAD);
	said("status", status);
#endif
#ifdef NR_waitpid
	pid = CALL(fork);
	if (!pid) CALL(exit, 9);
	status = 0;
	ended("waitpid", pid, CALL(waitpid, pid, &status, 0));
	RUN(waitpid, -1, &status, 0);
	RUN(waitpid, -1, &status, 64);
#endif
	pid = CALL(clone, 17, 0, 0, 0, 0);
	if (!pid) CALL(exit, 10);
	ended("clone", pid, wait_(-1));
#ifdef NR_vfork
	/* The child shares the stack where vfork is real: it must not return to C. */
#ifdef __x86_64__
	__asm__ volatile("syscall\n\ttest %%eax, %%eax\n\tjnz 1f\n\tmov %2, %%eax\n\tmov $11, %%edi\n\t"
		"syscall\n1:" : "=a"(pid) : "a"((long)NR_vfork), "i"(NR_exit)
		: "rdi", "rcx", "r11", "memory");
#else
	__asm__ volatile("int $0x80\n\ttest %%eax, %%eax\n\tjnz 1f\n\tmov %2, %%eax\n\tmov $11, %%ebx\n\t"
		"int $0x80\n1:" : "=a"(pid) : "a"(NR_vfork), "i"(NR_exit) : "ebx", "memory");
#endif
	ended("vfork", pid, wait_(-1));
#endif
	{
		long first = CALL(fork), second;
		if (!first) {
			second = CALL(fork);
			if (!second) CALL(exit, 1);
			said("grandchild", wait_(-1) == second);
			said("status", status);
			CALL(exit, 2);
		}
		ended("a chain", first, wait_(-1));
	}
	CALL(close, fd);
}

/* siginfo_t: where si_pid, si_uid and si_status are follows from the size of a pointer. */
#define INFO_PID (sizeof(word) == 8 ? 4 : 3)

static void told(long pid, long result, int *info)
{
	int at = INFO_PID;
	said("waitid", result);
	said("si_signo", info[0]);
	said("si_errno", info[1]);
	said("si_code", info[2]);
	said("si_pid", info[at] == pid);
	said("si_uid", info[at + 1]);
	said("si_status", info[at + 2]);
	said("untouched", info[at + 3] == 0x55555555 && (at == 3 || info[3] == 0x55555555));
}

static void waitids(void)
{
	int info[40];
	long pid = CALL(fork);
	if (!pid) CALL(exit, 0x1234);
	RUN(waitid, 1, -1, info, 4, 0);
	RUN(waitid, 1, 0, info, 4, 0);
	RUN(waitid, 2, -1, info, 4, 0);
	RUN(waitid, 9, pid, info, 4, 0);
	RUN(waitid, 0, 0, info, 0, 0);
	RUN(waitid, 0, 0, info, 0x10, 0);
	RUN(waitid, 1, 54321, info, 4, 0);
	RUN(waitid, 3, -1, info, 4, 0);
	RUN(waitid, 3, 99, info, 4, 0);
	RUN(waitid, 3, 0, info, 4, 0);
	RUN(waitid, 0, 0, info, 0x80000004, 0);
	fill((char *)info, 0x55, sizeof info);
	told(pid, CALL(waitid, 1, pid, info, 0x01000004, 0), info);
	RUN(waitid, 0, 0, info, 3, 0);
	RUN(waitid, 0, 0, info, 9, 0);
	fill((char *)info, 0x55, sizeof info);
	told(pid, CALL(waitid, 1, pid, info, 4, 0), info);
	RUN(waitid, 1, pid, info, 4, 0);
	RUN(waitid, 0, 0, 0, 4, 0);
	RUN(waitid, 2, 0, 0, 4, 0);
	pid = CALL(fork);
	if (!pid) *(volatile char *)BAD;
	fill((char *)info, 0x55, sizeof info);
	told(pid, CALL(waitid, 0, 0, info, 4 | 0x40000000, 0), info);
	pid = CALL(fork);
	if (!pid) CALL(exit, 3);
	said("nowhere to tell it", CALL(waitid, 2, 0, 0, 4, 0));
	pid = CALL(fork);
	if (!pid) CALL(exit, 3);
	said("nowhere good", CALL(waitid, 0, 0, BAD, 4, 0));
	pid = CALL(fork);
	if (!pid) CALL(exit, 3);
	fill((char *)info, 0x55, sizeof info);
	said("no place for the usage", CALL(waitid, 0, 0, info, 4, -1));
	said("nothing told", info[0]);
	RUN(waitid, 0, 0, 0, 4, 0);
}

static char *arguments[] = {"me", "exec", "an argument", "", NULL};
static char *environment[] = {"A=1", "EMPTY=", NULL};

static void execs(void)
{
	char *bad[] = {"me", BAD, NULL};
	long pid;
	int keep, shut_;
	static char huge[140000];
	char *too_big[] = {"me", huge, NULL};
	make("text", "not a program\n");
	make("empty", "");
	CALL(chmod, "empty", 0755);
	RUN(execve, "absent", arguments, environment);
	RUN(execve, "text", arguments, environment);
	CALL(chmod, "text", 0111);
	RUN(execve, "text", arguments, environment);
	RUN(execve, "empty", arguments, environment);
	RUN(execve, "/", arguments, environment);
	RUN(execve, ".", arguments, environment);
	RUN(execve, "text/x", arguments, environment);
	RUN(execve, "guest/", arguments, environment);
	RUN(execve, "", arguments, environment);
	RUN(execve, BAD, arguments, environment);
	RUN(execve, "guest", BAD, environment);
	RUN(execve, "guest", bad, environment);
	RUN(execve, "guest", arguments, BAD);
	RUN(execve, "guest", arguments, bad);
	CALL(symlink, "loop", "loop");
	RUN(execve, "loop", arguments, environment);
	fill(huge, 'h', sizeof huge - 1);
	RUN(execve, "guest", too_big, environment);
	make("cut", "\177ELF\1\1\1");
	CALL(chmod, "cut", 0755);
	RUN(execve, "cut", arguments, environment);
	keep = CALL(open, "text", 0, 0);
	shut_ = CALL(open, "text", O_CLOEXEC, 0);
	said("kept fd", keep);
	said("closed fd", shut_);
	pid = CALL(fork);
	if (!pid) CALL(exit, 100 - CALL6(NR_execve, "guest", arguments, environment, 0, 0, 0));
	ended("exec", pid, wait_(-1));
	CALL(symlink, "guest", "link");
	pid = CALL(fork);
	if (!pid) CALL(exit, 100 - CALL6(NR_execve, "./link", arguments, NULL, 0, 0, 0));
	ended("exec by a link, no environment", pid, wait_(-1));
	pid = CALL(fork);
	if (!pid) CALL(exit, 100 - CALL6(NR_execve, "guest", NULL, environment, 0, 0, 0));
	ended("exec without argv", pid, wait_(-1));
	CALL(close, keep);
	CALL(close, shut_);
}

static word auxiliary(word *aux, word key)
{
	for (; *aux; aux += 2) if (*aux == key) return aux[1];
	return -1;
}

static int executed(int argc, char **argv, char **envp)
{
	char b[4];
	word *aux;
	int i;
	said("argc", argc);
	for (i = 0; argv[i]; i++) show("argv", argv[i], length(argv[i]));
	/* qemu-user turns the order of the environment round. */
	i = envp[0] && envp[1] && *envp[0] > *envp[1];
	if (envp[0]) show("envp", envp[i], length(envp[i]));
	if (envp[0] && envp[1]) show("envp", envp[!i], length(envp[!i]));
	for (i = 0; envp[i]; i++) ;
	said("envc", i);
	said("kept", CALL(lseek, 3, 0, 1));
	said("closed", CALL(lseek, 4, 0, 1));
	said("cwd", CALL(access, "text", 0));
	/* The auxiliary vector: only what does not depend on the host. */
	aux = (word *)(envp + i + 1);
	said("program header size", auxiliary(aux, 4));
	said("page size", auxiliary(aux, 6));
	said("entry", auxiliary(aux, 9) > 0);
	for (i = 11; i <= 14; i++) said("an id", auxiliary(aux, i));
	said("secure", auxiliary(aux, 23));
	said("random", auxiliary(aux, 25) != 0);
	show("executed", (char *)auxiliary(aux, 31), length((char *)auxiliary(aux, 31)));
	said("stack is aligned", ((word)(argv - 1) & 15) == 0);
	CALL(read, 3, b, 1);
	return 40 + argc;
}

static int guest(int argc, char **argv, char **envp)
{
	if (argc < 2 || same(argv[1], "exec")) return executed(argc, argv, envp);
	said("argc", argc);
	identity();
	forks();
	waitids();
	execs();
	return 0x1ff;
}
