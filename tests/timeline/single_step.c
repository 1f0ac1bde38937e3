/* Runs an i386 program on this machine's own CPU, one instruction at a time, and writes down all
 * general registers before each: single_step OUT STACK ESP PIDS PROGRAM ARG ...
 *
 * STACK is a file with what lies on the stack from ESP (hexadecimal) up: it replaces what the kernel
 * put there, which differs from host to host (auxv). PIDS are the numbers, with commas between, that
 * children get one after the other, as in a PID namespace. OUT gets a row of ten little-endian words
 * for each instruction: eip eax ebx ecx edx esi edi ebp esp eflags; the first row of all is what the
 * kernel itself began with. Only the program's own process is followed.
 *
 * An instruction with a REP prefix is one row: a CPU traps after each of its rounds.
 * Ends with the program's exit status, or 100 and more where this does not work on this host.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT = 100, FORK = 2, WAITPID = 7, WAIT4 = 114, CHILDREN = 64 };

static pid_t child;
static FILE *out;
static struct { uint32_t host, guest; } pids[CHILDREN];
static int pid_count;

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    if (child > 0)
        kill(child, SIGKILL);
    exit(CANNOT);
}

static void get(struct user_regs_struct *regs)
{
    if (ptrace(PTRACE_GETREGS, child, NULL, regs))
        fail("PTRACE_GETREGS");
}

static void set(struct user_regs_struct *regs)
{
    if (ptrace(PTRACE_SETREGS, child, NULL, regs))
        fail("PTRACE_SETREGS");
}

static void write_row(const struct user_regs_struct *r)
{
    uint32_t row[10] = {r->rip, r->rax, r->rbx, r->rcx, r->rdx,
                        r->rsi, r->rdi, r->rbp, r->rsp, r->eflags};
    if (fwrite(row, sizeof row, 1, out) != 1)
        fail("write");
}

/* The eight bytes at an address of the program; zeros where there are none. */
static uint64_t code_at(uint64_t addr)
{
    errno = 0;
    uint64_t word = (uint64_t)ptrace(PTRACE_PEEKTEXT, child, (void *)addr, NULL);
    return errno ? 0 : word;
}

/* Whether code begins with a string instruction that has a REP prefix: Intel SDM, REP. */
static int repeats(uint64_t code)
{
    int rep = 0;
    for (int i = 0; i < 8; i++, code >>= 8)
        switch (code & 0xff) {
        case 0xf2: case 0xf3:
            rep = 1;
            break;
        case 0x66: case 0x67: case 0x2e: case 0x36: case 0x3e: case 0x26: case 0x64: case 0x65:
            break;
        default: {
            unsigned op = code & 0xff;
            return rep && ((op >= 0x6c && op <= 0x6f) || (op >= 0xa4 && op <= 0xa7) ||
                           (op >= 0xaa && op <= 0xaf));
        }
        }
    return 0;
}

/* Tracer and program wait for each other: on one CPU that is many times as fast. */
static void use_one_cpu(void)
{
    cpu_set_t cpus;
    int cpu = sched_getcpu();
    if (cpu < 0)
        return;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    sched_setaffinity(0, sizeof cpus, &cpus);
}

static void start_alike(const char *stack, uint64_t sp)
{
    struct user_regs_struct regs;
    FILE *in = fopen(stack, "rb");
    long word = 0;
    if (!in)
        fail(stack);
    for (uint64_t at = sp; fread(&word, 1, sizeof word, in) > 0; at += sizeof word, word = 0)
        if (ptrace(PTRACE_POKEDATA, child, (void *)at, (void *)word))
            fail("the stack is elsewhere");
    fclose(in);
    get(&regs);
    regs.rsp = sp;
    set(&regs);
}

/* The process's next stop, or the end of this program with the process. */
static int stopped(void)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            fail("waitpid");
    if (WIFEXITED(status)) {
        fclose(out);
        exit(WEXITSTATUS(status));
    }
    if (WIFSIGNALED(status)) {
        fclose(out);
        exit(CANNOT + 1);
    }
    return WSTOPSIG(status);
}

static void step(void)
{
    int sig = 0;
    do {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, (void *)(long)sig))
            fail("PTRACE_SINGLESTEP");
        sig = stopped();
        if (sig != SIGTRAP && sig != SIGCHLD) {
            fprintf(stderr, "signal %d\n", sig);
            kill(child, SIGKILL);
            exit(CANNOT + 1);
        }
    } while (sig == SIGCHLD); /* it says that a child has ended, and is ignored */
}

/* A system call in which pids are those that the caller wants. */
static void step_call(struct user_regs_struct *regs, char **names)
{
    uint32_t number = regs->rax, wanted = regs->rbx;
    if (number == WAITPID || number == WAIT4) {
        for (int i = 0; i < pid_count; i++)
            if (pids[i].guest == wanted)
                regs->rbx = pids[i].host;
        set(regs);
    }
    step();
    get(regs);
    if (number == FORK && (int32_t)regs->rax > 0) {
        if (pid_count == CHILDREN || !**names) {
            fprintf(stderr, "more children than were told\n");
            kill(child, SIGKILL);
            exit(CANNOT + 1);
        }
        pids[pid_count].host = regs->rax;
        regs->rax = pids[pid_count++].guest = strtoul(*names, names, 10);
        *names += **names == ',';
        set(regs);
    } else if (number == WAITPID || number == WAIT4) {
        regs->rbx = wanted;
        for (int i = 0; i < pid_count; i++)
            if (pids[i].host == (uint32_t)regs->rax)
                regs->rax = pids[i].guest;
        set(regs);
    }
}

int main(int argc, char **argv, char **envp)
{
    struct user_regs_struct regs;
    if (argc < 6)
        return 2;
    out = fopen(argv[1], "wbe");
    if (!out)
        fail(argv[1]);
    use_one_cpu();
    child = fork();
    if (child < 0)
        fail("fork");
    if (!child) {
        struct rlimit none = {0, 0}, room = {8 << 20, RLIM_INFINITY};
        getrlimit(RLIMIT_STACK, &room);
        room.rlim_cur = 8 << 20;
        setrlimit(RLIMIT_STACK, &room);
        setrlimit(RLIMIT_CORE, &none);
        personality(ADDR_NO_RANDOMIZE);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(CANNOT + 2);
        execve(argv[5], argv + 5, envp);
        _exit(CANNOT + 3);
    }
    if (stopped() != SIGTRAP)
        fail("execve");
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL))
        fail("PTRACE_SETOPTIONS");
    get(&regs);
    if (regs.cs != 0x23) {
        fprintf(stderr, "not a 32-bit program\n");
        kill(child, SIGKILL);
        return CANNOT;
    }
    write_row(&regs);
    start_alike(argv[2], strtoul(argv[3], NULL, 16));
    get(&regs);
    for (int parent = *argv[4] != 0;;) {
        write_row(&regs);
        uint64_t before = regs.rip;
        if (parent && (code_at(before) & 0xffff) == 0x80cd) {
            step_call(&regs, &argv[4]);
            continue;
        }
        step();
        get(&regs);
        while (regs.rip == before && repeats(code_at(before))) {
            step();
            get(&regs);
        }
    }
}
