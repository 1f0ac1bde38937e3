/* Interrupts of a PC in protected mode through the guest's own gates, 35 million times in a bootstrap;
 * and pages that the TLB asks for, some ten million times.
 *
 * It does what Pc._through_gate and _fill do in Python, which is the specification, and leaves to
 * that whatever is not plain: real mode, exceptions, other kinds of gates, another code segment, a
 * limit; addresses beyond the memory. Where system calls are watched, it goes on by itself at those
 * that are only counted, and at writes of few bytes, which are noted with their results; the rest
 * are slow. Plain C99, no Python.h: loaded with ctypes, which passes in libunicorn's functions.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

typedef struct { /* uc_x86_mmr of unicorn/x86.h */
    uint16_t selector;
    uint64_t base;
    uint32_t limit, flags;
} mmr;

typedef struct {
    uint32_t fd, count, result;
    uint8_t data[8];
} noted; /* a write */

typedef struct { /* uc_tlb_entry of unicorn.h */
    uint64_t paddr;
    int perms;
} tlb_entry;

enum { READ = 1, WRITE = 2, EXEC = 4, FETCH = 18 };
enum { NOT_WATCHED, COUNTED, WRITTEN, MOST_NOTED = 4096, MOST_SITES = 256 };

typedef struct {
    int (*reg_read)(void *uc, int reg, void *value);
    int (*reg_read_batch)(void *uc, const int *regs, void **values, int count);
    int (*reg_write_batch)(void *uc, const int *regs, void *const *values, int count);
    int (*ctl)(void *uc, int control, ...);
    void (*slow)(void *uc, uint32_t vector, void *self);
    bool (*fill)(void *uc, uint64_t addr, int kind, tlb_entry *out, void *self);
    int64_t remove_cache; /* the control that drops translations of [start, end) */
    uint8_t *ram;
    uint8_t *fetched; /* of each page, whether code was fetched from it */
    uint64_t ram_size;
    uint64_t taken, most; /* interrupts; 0 is no limit */
    int32_t regs[9];      /* CR0, IDTR; then EFLAGS, ESP, EIP, CS, EAX, ECX, EDX */
    uint64_t counts[65536]; /* by vector and AL */
    /* The rest is for a machine whose system calls are watched. */
    int32_t ebx;
    uint32_t watched, user;     /* vector; the lowest address of programs: nobody hears of the rest */
    uint32_t begun;             /* whether a program runs */
    uint8_t kinds[256];         /* by AL */
    uint64_t since[256];        /* of those that are counted, by AL */
    uint32_t sites[MOST_SITES]; /* addresses that writes return to, where pc_returned is called */
    uint32_t sites_known, open, back, esp; /* a write that has begun */
    uint32_t notes_made;
    noted notes[MOST_NOTED];
} pc;

EXPORT uint64_t pc_size(void) { return sizeof(pc); }

/* Whether this call need not be slow; a write is noted. v: as read by pc_interrupt. */
static int goes_on(void *uc, pc *p, const uint64_t *v)
{
    uint64_t fd = 0;
    uint32_t back = (uint32_t)v[2], data = (uint32_t)v[5], count = (uint32_t)v[6], i;
    int kind = p->kinds[v[4] & 0xff];
    if (back < p->user)
        return 1;
    if (!p->begun || kind == NOT_WATCHED)
        return 0;
    if (kind == COUNTED) {
        p->since[v[4] & 0xff]++;
        return 1;
    }
    for (i = 0; i < p->sites_known && p->sites[i] != back; i++)
        ;
    noted *n = &p->notes[p->notes_made];
    if (i == p->sites_known || p->open || p->notes_made == MOST_NOTED || count > sizeof n->data ||
        (uint64_t)data + count > p->ram_size)
        return 0;
    p->reg_read(uc, p->ebx, &fd);
    n->fd = (uint32_t)fd;
    n->count = count;
    memcpy(n->data, p->ram + data, count);
    p->open = 1;
    p->back = back;
    p->esp = (uint32_t)v[1];
    return 1;
}

EXPORT void pc_returned(void *uc, uint64_t address, uint32_t size, void *self)
{
    pc *p = self;
    uint64_t esp = 0, eax = 0;
    (void)size;
    if (!p->open || address != p->back)
        return;
    p->reg_read(uc, p->regs[3], &esp);
    if ((uint32_t)esp != p->esp)
        return;
    p->reg_read(uc, p->regs[6], &eax);
    p->notes[p->notes_made++].result = (uint32_t)eax;
    p->open = 0;
}

EXPORT void pc_interrupt(void *uc, uint32_t vector, void *self)
{
    pc *p = self;
    uint64_t cr0 = 0, v[7] = {0};
    void *values[7] = {&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]};
    mmr idt;
    memset(&idt, 0, sizeof idt);
    p->reg_read(uc, p->regs[0], &cr0);
    if (!(cr0 & 1) || vector < 32 || vector > 255 || (p->most && p->taken >= p->most)) {
        p->slow(uc, vector, p);
        return;
    }
    p->reg_read(uc, p->regs[1], &idt);
    uint64_t at = idt.base + vector * 8;
    if (vector * 8 + 7 > idt.limit || at + 8 > p->ram_size) {
        p->slow(uc, vector, p);
        return;
    }
    const uint8_t *gate = p->ram + at;
    p->reg_read_batch(uc, p->regs + 2, values, p->watched ? 7 : 5);
    if (gate[5] != 0x8e || (gate[2] | gate[3] << 8) != (int)v[3]) {
        p->slow(uc, vector, p);
        return;
    }
    uint32_t esp = (uint32_t)v[1] - 12;
    if ((uint64_t)esp + 12 > p->ram_size) {
        p->slow(uc, vector, p);
        return;
    }
    if (p->watched && (vector != p->watched || !goes_on(uc, p, v))) {
        p->slow(uc, vector, p);
        return;
    }
    uint32_t frame[3] = {(uint32_t)v[2], (uint32_t)v[3], (uint32_t)v[0]};
    memcpy(p->ram + esp, frame, sizeof frame);
    if (p->fetched[esp >> 12] || p->fetched[(esp + 11) >> 12])
        p->ctl(uc, (int)p->remove_cache, (uint64_t)esp, (uint64_t)esp + sizeof frame);
    p->counts[vector << 8 | (v[4] & 0xff)]++;
    p->taken++;
    v[0] &= ~(uint64_t)0x300;
    v[1] = esp;
    v[2] = (uint64_t)(gate[0] | gate[1] << 8 | (uint32_t)gate[6] << 16 | (uint32_t)gate[7] << 24);
    p->reg_write_batch(uc, p->regs + 2, values, 3);
}

EXPORT bool pc_fill(void *uc, uint64_t addr, int kind, tlb_entry *out, void *self)
{
    pc *p = self;
    if (addr >= p->ram_size)
        return p->fill(uc, addr, kind, out, p);
    if (kind == FETCH)
        p->fetched[addr >> 12] = 1;
    out->paddr = addr >> 12 << 12;
    out->perms = READ | WRITE | (p->fetched[addr >> 12] ? EXEC : 0);
    return true;
}

/* For a debugger: which instructions it is asked before. */

typedef struct {
    void (*ask)(void *uc, uint64_t address);
    uint64_t passed, look; /* after so many it is asked too */
    uint32_t each, number;
    uint32_t at[64];
} steps;

EXPORT uint64_t pc_steps_size(void) { return sizeof(steps); }

EXPORT void pc_step(void *uc, uint64_t address, uint32_t size, void *self)
{
    steps *p = self;
    uint32_t i;
    (void)size;
    if (!p->each && ++p->passed % p->look) {
        for (i = 0; i < p->number && p->at[i] != address; i++)
            ;
        if (i == p->number)
            return;
    }
    p->ask(uc, address);
}
