/* Thread-local storage of x86: arch_prctl; descriptors, and segment registers that are loaded. */
#include "guest.h"

#define LOAD(reg, selector) __asm__ volatile("mov %0, %%" #reg : : "r"(selector))

static word here[4] = {11, 22, 33, 44};
static word there[4] = {55, 66, 77, 88};

#define SELECTOR(reg) ({ word s_; __asm__ volatile("mov %%" #reg ", %0" : "=r"(s_)); s_ & 0xffff; })
#define AT(reg, offset) ({ word v_; __asm__ volatile("mov %%" #reg ":%c1, %0" : "=r"(v_) : "i"(offset)); v_; })

static int status;

static void options(void)
{
	RUN(arch_prctl, 0, here);
	RUN(arch_prctl, 0x1000, here);
	RUN(arch_prctl, 0x1005, here);
	RUN(arch_prctl, 0x3001, here);
	RUN(arch_prctl, -1, BAD);
	RUN(arch_prctl, 0x1011, 0);
}

#ifdef __x86_64__
static void bases(void)
{
	word found = 5;
	RUN(arch_prctl, 0x1003, &found);
	said("fs at the start", found);
	RUN(arch_prctl, 0x1004, &found);
	said("gs at the start", found);
	RUN(arch_prctl, 0x1002, here);
	said("fs:8", AT(fs, 8));
	RUN(arch_prctl, 0x1001, there);
	said("gs:8", AT(gs, 8));
	said("fs:16", AT(fs, 16));
	RUN(arch_prctl, 0x1003, &found);
	said("fs", found == (word)here);
	RUN(arch_prctl, 0x1004, &found);
	said("gs", found == (word)there);
	RUN(arch_prctl, 0x1003, BAD);
	RUN(arch_prctl, 0x1004, KERNEL_BAD);
	RUN(arch_prctl, 0x1002, 0x7ffffffff000);
	RUN(arch_prctl, 0x1001, -1);
	RUN(arch_prctl, 0x1002, 0x8000000000000000);
	RUN(arch_prctl, 0xffffffff00001003, &found);
	said("fs still", AT(fs, 8));
	said("selectors", SELECTOR(fs) + SELECTOR(gs));
	RUN(arch_prctl, 0x1001, 0x7fffffffefff);
	RUN(arch_prctl, 0x1004, &found);
	said("gs at the end", found == 0x7fffffffefff);
}

static void in_a_child(void)
{
	if (!CALL(fork)) {
		said("fs:8 in the child", AT(fs, 8));
		CALL(arch_prctl, 0x1002, there);
		CALL(exit, AT(fs, 8));
	}
	CALL(wait4, -1, &status, 0, 0);
	said("the child's", status >> 8);
	said("fs:8 in the parent", AT(fs, 8));
}
#else
static struct desc { u32 entry, base, limit, flags; } area;

static long set(u32 entry, void *base, u32 limit, u32 flags)
{
	area = (struct desc){entry, (u32)base, limit, flags};
	return CALL(set_thread_area, &area);
}

static void entries(void)
{
	static const u32 bounds[][2] = {{0, 0}, {0, 5}, {0x12345678, 0}, {5, 0xfffff}};
	char line[257];
	int i;
	u32 flags;
	RUN(set_thread_area, BAD);
	RUN(set_thread_area, KERNEL_BAD);
	for (i = 0; i < 4; i++) {
		for (flags = 0; flags < 256; flags++) {
			long answer = set(12, (void *)bounds[i][0], bounds[i][1], flags);
			line[flags] = answer == 0 ? '0' : answer == -22 ? 'E' : '?';
		}
		show("flags", line, 256);
	}
	said("free it", set(12, 0, 0, 0x28));
	for (i = 0; i < 4; i++) {
		said("any", set(-1, here, 0xfffff, 0x51));
		said("entry", area.entry);
	}
	said("free 13", set(13, 0, 0, 0));
	said("any but wrong", set(-1, here, 1, 0));
	said("any", set(-1, there, 0xfffff, 0x51));
	said("entry", area.entry);
	said("11", set(11, here, 0xfffff, 0x51));
	said("15", set(15, here, 0xfffff, 0x51));
	said("6", set(6, here, 0xfffff, 0x51));
	said("-2", set(-2, here, 0xfffff, 0x51));
	said("free 14", set(14, 0, 0, 0x28));
	char *page = edge() - PAGE;
	*(struct desc *)page = (struct desc){-1, (u32)there, 0xfffff, 0x51};
	CALL(mprotect, page, PAGE, 1);
	said("number cannot be stored", CALL(set_thread_area, page));
	said("still free", set(-1, here, 0xfffff, 0x51));
	said("entry", area.entry);
	RUN(set_thread_area, page + PAGE - 8);
}

static void bases(void)
{
	said("gs at the start", SELECTOR(gs));
	said("fs at the start", SELECTOR(fs));
	entries();
	LOAD(gs, 0x63);
	LOAD(fs, 0x6b);
	said("gs:4", AT(gs, 4));
	said("fs:4", AT(fs, 4));
	said("gs", SELECTOR(gs));
	said("fs", SELECTOR(fs));
	said("another place", set(12, here + 1, 0xfffff, 0x51));
	said("gs:4", AT(gs, 4));
	said("gone", set(13, 0, 0, 0x28));
	said("fs", SELECTOR(fs));
	/* Through memory, and by the stack. */
	u32 selector = 0x73;
	__asm__ volatile("mov %0, %%fs" : : "m"(selector));
	said("fs:8", AT(fs, 8));
	__asm__ volatile("push %%gs\n\tpop %%fs" : : : "memory");
	said("fs:8", AT(fs, 8));
	__asm__ volatile("push %%ds\n\tpop %%es" : : : "memory");
	said("es", SELECTOR(es));
	said("ds", SELECTOR(ds));
	said("ss", SELECTOR(ss));
	LOAD(es, 0x63);
	said("es:4", AT(es, 4));
	LOAD(es, 0x2b);
	LOAD(fs, 3);
	said("fs", SELECTOR(fs));
	__asm__ volatile("ljmp $0x23, $1f\n1:");
	said("after a far jump", 1);
}

static void in_a_child(void)
{
	if (!CALL(fork)) {
		said("gs:4 in the child", AT(gs, 4));
		said("set", set(12, there, 0xfffff, 0x51));
		CALL(exit, AT(gs, 4));
	}
	CALL(wait4, -1, &status, 0, 0);
	said("the child's", status >> 8);
	said("gs:4 in the parent", AT(gs, 4));
}
#endif

static int guest(int argc, char **argv, char **envp)
{
	char *again[] = {argv[0], NULL};
	options();
	bases();
	in_a_child();
#ifdef __x86_64__
	CALL(arch_prctl, 0x1002, here);
	said("fs before exec", AT(fs, 0));
#endif
	if (argc > 1) return CALL(execve, argv[0], again, envp);
	return 9;
}
