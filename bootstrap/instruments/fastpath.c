/* The fast path: the TLB hook and the four system calls that make up nearly all of a
 * bootstrap (read, write, brk, lseek), on files held in memory.
 *
 * It only ever does what the core does in Python, and declines everything that is not
 * plain: then trap calls `slow`, which is that Python code, the specification. Nothing here
 * allocates, frees, resizes or names a file; every pointer is lent by Python, and taken back
 * (fastpath.py: sync_out, sync_in) before Python looks at the same things.
 *
 * Plain C99, no Python.h: loaded with ctypes. Function pointers of libunicorn are passed in, so
 * nothing is linked.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum { PAGE_SHIFT = 12, PAGE_SIZE = 1 << PAGE_SHIFT };
/* Page flags, as in bootstrap/core/memory.py. */
enum { P_READ = 1, P_WRITE = 2, P_EXEC = 4, P_DIRTY = 8, P_FETCHED = 16, P_BEYOND = 128 };
/* File flags, as in bootstrap/instruments/fastpath.py. */
enum { F_READ = 1, F_WRITE = 2, F_APPEND = 4 };
/* uc_mem_type and uc_prot of unicorn.h. */
enum { MEM_READ = 16, MEM_WRITE = 17, MEM_FETCH = 18 };
enum { PROT_R = 1, PROT_W = 2, PROT_X = 4 };
enum { MAX_RW = 0x7ffff000 };

typedef struct { uint64_t paddr; int perms; } tlb_entry;

typedef struct {
    uint64_t start, end;
    uint8_t *host;  /* the bytes */
    uint8_t *pages; /* one byte of flags a page */
} hot_extent;

typedef struct {
    uint8_t *data;
    uint64_t size, capacity;
    uint64_t written; /* calls that changed the content */
} hot_inode;

typedef struct {
    hot_inode *inode;
    uint64_t offset;
    uint64_t flags;
} hot_file;

typedef struct {
    /* libunicorn */
    int (*reg_read_batch)(void *uc, const int *regs, void **values, int count);
    int (*reg_write_batch)(void *uc, const int *regs, void *const *values, int count);
    int (*ctl)(void *uc, int control, ...);
    int64_t remove_cache; /* the control that drops translations of [start, end) */
    /* Python: handles the present trap or exception */
    void (*slow)(void);
    /* registers: number, then six arguments; and the ones to write back */
    const int *arg_regs;
    const int *result_regs;
    void **arg_values; /* the addresses of `args` and `results`, one by one */
    void **result_values;
    uint64_t *args;
    uint64_t *results;
    int64_t arg_count, result_count;
    uint64_t trap_size; /* bytes of the trap instruction */
    uint64_t word_mask;
    int64_t trap_number; /* the interrupt that is a system call; -1: the instruction hook is used */
    int64_t interrupt;   /* the last interrupt's number, for `slow` */
    /* system call numbers */
    uint64_t nr_read, nr_write, nr_brk, nr_lseek;
    /* memory */
    const hot_extent *extents;
    int64_t extent_count, last_extent;
    uint64_t brk_start, brk_now, brk_limit, heap_flags;
    uint64_t access_end; /* the first address that calls refuse unseen */
    /* descriptors: null where only Python may serve */
    hot_file *const *files;
    int64_t file_count;
    /* what happened */
    uint64_t served;
    uint64_t fault_addr;
    int64_t fault_type;
    /* the log of served calls, callbuffer.py: null when nobody records */
    uint64_t *log_count; /* and, after it, at how many calls Python takes the next one */
    uint32_t *log_numbers;
    void *log_columns[4]; /* three arguments and the result, in words of the guest */
    uint64_t nowhere; /* where bad pages are led, if it is set: see instrumented.py, _exact */
    int64_t nowhere_is_set;
    /* set by another thread: leave the next system call to Python, which ends the time slice */
    volatile int64_t pause;
} hot_state;

static const hot_extent *find(hot_state *s, uint64_t addr)
{
    const hot_extent *e = s->extents + s->last_extent;
    if (s->last_extent < s->extent_count && e->start <= addr && addr < e->end)
        return e;
    int64_t low = 0, high = s->extent_count; /* they are in order: how many begin at addr or below */
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (s->extents[middle].start <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || addr >= s->extents[low - 1].end)
        return NULL;
    s->last_extent = low - 1;
    return s->extents + low - 1;
}

/* unicorn.h: uc_cb_tlbevent_t. Guest-physical is guest-virtual; see core/memory.py for the flags.
 * A page is writable in the TLB only once it is dirty, and executable only once it was fetched from:
 * Unicorn then keeps its slow store path, which finds modified code, to pages with code. */
EXPORT bool hot_tlb_fill(void *uc, uint64_t addr, int type, tlb_entry *out, hot_state *s)
{
    (void)uc;
    const hot_extent *e = find(s, addr);
    if (e) {
        uint8_t *flags = e->pages + ((addr - e->start) >> PAGE_SHIFT);
        int need = type == MEM_WRITE ? P_WRITE : type == MEM_FETCH ? P_EXEC : P_READ;
        if ((*flags & (need | P_BEYOND)) == need) {
            if (type == MEM_WRITE)
                *flags |= P_DIRTY;
            else if (type == MEM_FETCH)
                *flags |= P_FETCHED;
            out->paddr = addr; /* the start of a page */
            out->perms = ((*flags & P_READ) ? PROT_R : 0) |
                         ((*flags & P_WRITE) && (*flags & P_DIRTY) ? PROT_W : 0) |
                         ((*flags & P_EXEC) && (*flags & P_FETCHED) ? PROT_X : 0);
            return true;
        }
    }
    s->fault_addr = addr;
    s->fault_type = type;
    if (s->nowhere_is_set) {
        out->paddr = s->nowhere;
        out->perms = PROT_R | PROT_W | PROT_X;
    }
    return s->nowhere_is_set;
}

/* Host memory behind [addr, addr+size) if it lies in one extent and every page has `need`; else
 * null. `fetched` says whether code was fetched from one of the pages. */
static uint8_t *span(hot_state *s, uint64_t addr, uint64_t size, int need, int *fetched)
{
    const hot_extent *e = find(s, addr);
    if (!e || size > e->end - addr)
        return NULL;
    uint64_t first = (addr - e->start) >> PAGE_SHIFT;
    uint64_t last = (addr + size - 1 - e->start) >> PAGE_SHIFT;
    for (uint64_t i = first; i <= last; i++) {
        if ((e->pages[i] & (need | P_BEYOND)) != need)
            return NULL;
        *fetched |= e->pages[i] & P_FETCHED;
    }
    /* Dropping translations makes Unicorn fetch from the first page, and a page that may not be
     * executed would look like a fault of the guest: Python knows how (core/cpu.py, code_written). */
    if ((need & P_WRITE) && *fetched && (first != last || !(e->pages[first] & P_EXEC)))
        return NULL;
    if (need & P_WRITE)
        for (uint64_t i = first; i <= last; i++)
            e->pages[i] |= P_DIRTY;
    return e->host + (addr - e->start);
}

static hot_file *file_of(hot_state *s, uint64_t fd, uint64_t need)
{
    fd &= 0xffffffffu;
    if (fd >= (uint64_t)s->file_count)
        return NULL;
    hot_file *f = s->files[fd];
    return f && (f->flags & need) ? f : NULL;
}

/* The lent file behind `fd`, if `need` of it and all of [buf, buf+count) may be asked for at all: what
 * vfs_read and vfs_write of fs/read_write.c refuse before they look at the file is left to Python. */
static hot_file *file_for(hot_state *s, uint64_t fd, uint64_t need, uint64_t buf, uint64_t count)
{
    hot_file *f = file_of(s, fd, need);
    if (!f || count == 0 || count > MAX_RW || buf > s->access_end - count ||
        f->offset > (uint64_t)INT64_MAX - count)
        return NULL;
    return f;
}

static bool do_read(void *uc, hot_state *s, uint64_t fd, uint64_t buf, uint64_t count, uint64_t *result)
{
    hot_file *f = file_for(s, fd, F_READ, buf, count);
    if (!f)
        return false;
    hot_inode *n = f->inode;
    uint64_t left = f->offset < n->size ? n->size - f->offset : 0;
    if (count > left)
        count = left;
    if (count) {
        int fetched = 0;
        uint8_t *to = span(s, buf, count, P_WRITE, &fetched);
        if (!to)
            return false;
        memcpy(to, n->data + f->offset, count);
        if (fetched)
            s->ctl(uc, (int)s->remove_cache, buf, buf + count);
        f->offset += count;
    }
    *result = count;
    return true;
}

static bool do_write(hot_state *s, uint64_t fd, uint64_t buf, uint64_t count, uint64_t *result)
{
    hot_file *f = file_for(s, fd, F_WRITE, buf, count);
    if (!f)
        return false;
    hot_inode *n = f->inode;
    uint64_t at = (f->flags & F_APPEND) ? n->size : f->offset;
    if (at > n->size || count > n->capacity - at)
        return false;
    int fetched = 0;
    const uint8_t *from = span(s, buf, count, P_READ, &fetched);
    if (!from)
        return false;
    memcpy(n->data + at, from, count);
    f->offset = at + count;
    if (f->offset > n->size)
        n->size = f->offset;
    n->written++;
    *result = count;
    return true;
}

static uint8_t *page_flags(hot_state *s, uint64_t page)
{
    const hot_extent *e = find(s, page << PAGE_SHIFT);
    return e ? e->pages + (page - (e->start >> PAGE_SHIFT)) : NULL;
}

static bool do_brk(hot_state *s, uint64_t wanted, uint64_t *result)
{
    if (wanted >= s->brk_start) {
        uint64_t old_page = (s->brk_now + PAGE_SIZE - 1) >> PAGE_SHIFT;
        uint64_t new_page = (wanted + PAGE_SIZE - 1) >> PAGE_SHIFT;
        if (wanted > s->brk_limit || new_page < old_page)
            return false;
        /* All of them, and the one that stays free after them, before the first is changed. */
        for (uint64_t page = old_page; new_page > old_page && page <= new_page; page++) {
            const uint8_t *flags = page_flags(s, page);
            if (!flags || *flags)
                return false;
        }
        for (uint64_t page = old_page; page < new_page; page++)
            *page_flags(s, page) = (uint8_t)s->heap_flags;
        s->brk_now = wanted;
    }
    *result = s->brk_now;
    return true;
}

static bool do_lseek(hot_state *s, uint64_t fd, uint64_t offset, uint64_t whence, uint64_t *result)
{
    hot_file *f = file_of(s, fd, F_READ | F_WRITE);
    int64_t base, to;
    if (!f)
        return false;
    to = s->word_mask == 0xffffffffu ? (int64_t)(int32_t)offset : (int64_t)offset;
    switch (whence & 0xffffffffu) {
    case 0: base = 0; break;
    case 1: base = (int64_t)f->offset; break;
    case 2: base = (int64_t)f->inode->size; break;
    default: return false;
    }
    if (to > INT32_MAX || to < INT32_MIN || base > INT32_MAX || base + to < 0 ||
        base + to > INT32_MAX)
        return false;
    f->offset = (uint64_t)(base + to);
    *result = f->offset;
    return true;
}

/* As CallBuffer.append in callbuffer.py. There is room: trap has seen to that. */
static void log_call(hot_state *s, uint64_t nr, uint64_t result)
{
    uint64_t i = (*s->log_count)++;
    bool one = nr == s->nr_brk; /* the one call served here that has a single argument */
    uint64_t values[4] = {s->args[1], one ? 0 : s->args[2], one ? 0 : s->args[3], result};
    s->log_numbers[i] = (uint32_t)nr;
    for (int c = 0; c < 4; c++) {
        if (s->word_mask == 0xffffffffu)
            ((uint32_t *)s->log_columns[c])[i] = (uint32_t)values[c];
        else
            ((uint64_t *)s->log_columns[c])[i] = values[c];
    }
}

static void trap(void *uc, hot_state *s)
{
    bool done = false;
    /* What is served here has three arguments at most. The registers that some traps save come after
     * all six. */
    int count = s->result_count > 1 ? (int)s->arg_count : 4;
    s->reg_read_batch(uc, s->arg_regs, s->arg_values, count);
    uint64_t nr = s->args[0] & s->word_mask, result = 0;
    if (s->pause || (s->log_count && s->log_count[0] >= s->log_count[1]))
        ; /* Python ends the time slice, or empties the log */
    else if (nr == s->nr_read)
        done = do_read(uc, s, s->args[1], s->args[2], s->args[3], &result);
    else if (nr == s->nr_write)
        done = do_write(s, s->args[1], s->args[2], s->args[3], &result);
    else if (nr == s->nr_brk)
        done = do_brk(s, s->args[1], &result);
    else if (nr == s->nr_lseek)
        done = do_lseek(s, s->args[1], s->args[2], s->args[3], &result);
    if (!done) {
        s->slow(); /* reads all registers itself */
        return;
    }
    s->served++;
    if (s->log_count)
        log_call(s, nr, result);
    s->results[0] = result;
    if (s->result_count > 1) {
        s->results[1] = s->args[7] + s->trap_size;
        s->results[2] = s->args[8];
    }
    s->reg_write_batch(uc, s->result_regs, s->result_values, (int)s->result_count);
}

/* unicorn.h: uc_cb_hookintr_t */
EXPORT void hot_interrupt(void *uc, uint32_t number, hot_state *s)
{
    s->interrupt = number;
    if ((int64_t)number == s->trap_number)
        trap(uc, s);
    else
        s->slow();
}

/* unicorn.h: uc_cb_insn_syscall_t */
EXPORT void hot_syscall(void *uc, hot_state *s)
{
    s->interrupt = -1;
    trap(uc, s);
}

/* Counting: bootstrap/instruments/counter.py is the specification of what follows. */
typedef struct {
    uint64_t addr; /* all ones: a free place in the table */
    uint64_t size;
    uint64_t count;  /* instructions; 0: not known any more */
    uint64_t repeat; /* the address of the last one, where it has a REP prefix; else all ones */
    uint64_t entered;
} step_block;

typedef struct {
    int (*stop)(void *uc);
    uint64_t executed; /* instructions so far */
    uint64_t target;   /* stop before the instruction after so many */
    uint64_t began;    /* `executed` when the CPU went on: no breakpoint stops it there */
    uint64_t last_pc;
    uint64_t repeating; /* the last instruction is a string instruction with a REP prefix */
    uint64_t is_x86;
    int64_t reached; /* 1: the target, 2: a breakpoint */
    const uint64_t *breakpoints;
    int64_t breakpoint_count;
    uint64_t hit_at; /* `executed` at the last breakpoint met, where `passing` */
    int64_t passing; /* note breakpoints instead of stopping at them */
    int64_t met;
    /* how often the instruction at each address ran, from `counts_base` on */
    uint64_t *counts;
    uint64_t counts_base, counts_size;
    /* the addresses of the instructions from number `trail_base` on */
    uint64_t *trail;
    uint64_t trail_base, trail_size;
    /* accesses to watched memory */
    uint64_t watch_start, watch_end;
    int64_t watch_kinds; /* 1: reads, 2: writes */
    int64_t watch_stops;
    int64_t accesses;
    uint64_t access_at, access_pc, access_addr, access_size;
    int64_t access_kind;
    hot_state *memory;
    /* counting by blocks: a hash table of the blocks met, and who fills it in */
    step_block *blocks;
    uint64_t block_mask;
    void (*unknown)(void); /* Python: what is in the block at block_addr */
    uint64_t block_addr, block_size;
    uint64_t last_addr, last_size; /* the block before */
    uint64_t last_repeat; /* its last instruction, where that has a REP prefix; else none */
} step_state;

static bool is_prefix(uint8_t b)
{
    return b == 0xf2 || b == 0xf3 || b == 0x66 || b == 0x67 || b == 0x2e || b == 0x36 ||
           b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65 || (b & 0xf0) == 0x40;
}

static bool is_repeat(const uint8_t *code, uint32_t size)
{
    bool rep = false;
    for (uint32_t i = 0; i + 1 < size; i++) {
        if (!is_prefix(code[i]))
            return false;
        rep |= code[i] == 0xf2 || code[i] == 0xf3;
    }
    uint8_t op = code[size - 1];
    return rep && ((op >= 0x6c && op <= 0x6f) || (op >= 0xa4 && op <= 0xa7) ||
                   (op >= 0xaa && op <= 0xaf));
}

static const uint8_t *code_at(step_state *s, uint64_t addr, uint32_t size)
{
    const hot_extent *e = find(s->memory, addr);
    return e && e->end - addr >= size ? e->host + (addr - e->start) : NULL;
}

static bool jumps(const uint8_t *code, uint32_t size)
{
    uint32_t at = 0;
    while (at < size && is_prefix(code[at]))
        at++;
    uint8_t first = at < size ? code[at] : 0, second = at + 1 < size ? code[at + 1] : 0;
    if (first == 0x0f)
        return (second & 0xf0) == 0x80;
    if (first == 0xff)
        return (second >> 3 & 7) >= 2 && (second >> 3 & 7) <= 5;
    return (first & 0xf0) == 0x70 || (first >= 0xe0 && first <= 0xe3) ||
           (first >= 0xe8 && first <= 0xeb) || first == 0x9a || first == 0xc2 || first == 0xc3 ||
           first == 0xca || first == 0xcb || first == 0xcf;
}

static bool begins_again(step_state *s, uint64_t addr, uint32_t size)
{
    const uint8_t *code = s->is_x86 ? code_at(s, addr, size) : NULL;
    return code && !jumps(code, size);
}

/* unicorn.h: uc_cb_hookcode_t */
EXPORT void step_count(void *uc, uint64_t addr, uint32_t size, step_state *s)
{
    if (addr == s->last_pc && (s->repeating || begins_again(s, addr, size)))
        return; /* one more round of the same instruction */
    if (s->executed == s->target) {
        s->reached = 1;
        s->stop(uc);
        return;
    }
    for (int64_t i = 0; i < s->breakpoint_count; i++)
        if (s->breakpoints[i] == addr) {
            if (s->passing) {
                s->met++;
                s->hit_at = s->executed;
            } else if (s->executed != s->began) {
                s->reached = 2;
                s->stop(uc);
                return;
            }
        }
    if (s->executed - s->trail_base < s->trail_size)
        s->trail[s->executed - s->trail_base] = addr;
    s->executed++;
    s->last_pc = addr;
    s->repeating = 0;
    if (s->is_x86 && size >= 2 && size <= 15) {
        const uint8_t *code = code_at(s, addr, size);
        s->repeating = code && is_repeat(code, size);
    }
    if (addr - s->counts_base < s->counts_size)
        s->counts[addr - s->counts_base]++;
}

/* unicorn.h: uc_cb_hookmem_t */
EXPORT void step_access(void *uc, int type, uint64_t addr, int size, int64_t value, step_state *s)
{
    (void)uc;
    (void)value;
    int kind = type == MEM_WRITE ? 2 : 1;
    if (!(s->watch_kinds & kind) || addr >= s->watch_end || addr + (uint64_t)size <= s->watch_start)
        return;
    s->accesses++;
    s->access_at = s->executed - 1;
    s->access_pc = s->last_pc;
    s->access_addr = addr;
    s->access_size = (uint64_t)size;
    s->access_kind = kind;
    if (s->watch_stops)
        s->target = s->executed; /* the next instruction does not begin */
}

static step_block *block_at(step_state *s, uint64_t addr)
{
    uint64_t i = (addr ^ addr >> 13) & s->block_mask;
    while (s->blocks[i].addr != addr && s->blocks[i].addr != UINT64_MAX)
        i = (i + 1) & s->block_mask;
    return s->blocks + i;
}

/* unicorn.h: uc_cb_hookcode_t, for blocks. The table is never full: see blocks.py. */
EXPORT void step_block_count(void *uc, uint64_t addr, uint32_t size, step_state *s)
{
    if (addr == s->last_repeat)
        return; /* one more round of the instruction that the block before ended with */
    if (s->executed >= s->target) {
        s->reached = 1;
        s->stop(uc);
        return;
    }
    step_block *block = block_at(s, addr);
    if (block->addr != addr || block->size != size || !block->count) {
        s->block_addr = addr;
        s->block_size = size;
        s->unknown();
        block = block_at(s, addr);
    }
    s->executed += block->count;
    block->entered++;
    s->last_addr = addr;
    s->last_size = size;
    s->last_repeat = block->repeat;
}

/* unicorn.h: uc_hook_edge_gen_t. What is translated anew may be other code than before. */
EXPORT void step_translated(void *uc, const uint64_t *now, const uint64_t *before, step_state *s)
{
    (void)uc;
    (void)before;
    step_block *block = block_at(s, now[0]);
    if (block->addr == now[0])
        block->count = 0;
}

/* Where each field lies, for fastpath.py to hold against structures.py. */
typedef struct { const char *name; uint32_t offset, size; } layout_row;
#define F(type, field) {#field, offsetof(type, field), sizeof(((type *)0)->field)}
EXPORT const layout_row hot_extent_fields[] = {
    F(hot_extent, start), F(hot_extent, end), F(hot_extent, host), F(hot_extent, pages),
    {"", 0, sizeof(hot_extent)},
};

EXPORT const layout_row hot_inode_fields[] = {
    F(hot_inode, data), F(hot_inode, size), F(hot_inode, capacity), F(hot_inode, written),
    {"", 0, sizeof(hot_inode)},
};

EXPORT const layout_row hot_file_fields[] = {
    F(hot_file, inode), F(hot_file, offset), F(hot_file, flags),
    {"", 0, sizeof(hot_file)},
};

EXPORT const layout_row hot_state_fields[] = {
    F(hot_state, reg_read_batch), F(hot_state, reg_write_batch), F(hot_state, ctl),
    F(hot_state, remove_cache), F(hot_state, slow), F(hot_state, arg_regs),
    F(hot_state, result_regs), F(hot_state, arg_values), F(hot_state, result_values),
    F(hot_state, args), F(hot_state, results), F(hot_state, arg_count), F(hot_state, result_count),
    F(hot_state, trap_size), F(hot_state, word_mask), F(hot_state, trap_number),
    F(hot_state, interrupt), F(hot_state, nr_read), F(hot_state, nr_write), F(hot_state, nr_brk),
    F(hot_state, nr_lseek), F(hot_state, extents), F(hot_state, extent_count),
    F(hot_state, last_extent), F(hot_state, brk_start), F(hot_state, brk_now),
    F(hot_state, brk_limit), F(hot_state, heap_flags), F(hot_state, access_end),
    F(hot_state, files), F(hot_state, file_count), F(hot_state, served), F(hot_state, fault_addr),
    F(hot_state, fault_type), F(hot_state, log_count), F(hot_state, log_numbers),
    F(hot_state, log_columns), F(hot_state, nowhere), F(hot_state, nowhere_is_set),
    F(hot_state, pause),
    {"", 0, sizeof(hot_state)},
};

EXPORT const layout_row step_block_fields[] = {
    F(step_block, addr), F(step_block, size), F(step_block, count), F(step_block, repeat),
    F(step_block, entered),
    {"", 0, sizeof(step_block)},
};

EXPORT const layout_row step_state_fields[] = {
    F(step_state, stop), F(step_state, executed), F(step_state, target), F(step_state, began),
    F(step_state, last_pc), F(step_state, repeating), F(step_state, is_x86), F(step_state, reached),
    F(step_state, breakpoints), F(step_state, breakpoint_count), F(step_state, hit_at),
    F(step_state, passing), F(step_state, met), F(step_state, counts), F(step_state, counts_base),
    F(step_state, counts_size), F(step_state, trail), F(step_state, trail_base),
    F(step_state, trail_size), F(step_state, watch_start), F(step_state, watch_end),
    F(step_state, watch_kinds), F(step_state, watch_stops), F(step_state, accesses),
    F(step_state, access_at), F(step_state, access_pc), F(step_state, access_addr),
    F(step_state, access_size), F(step_state, access_kind), F(step_state, memory),
    F(step_state, blocks), F(step_state, block_mask), F(step_state, unknown),
    F(step_state, block_addr), F(step_state, block_size), F(step_state, last_addr),
    F(step_state, last_size), F(step_state, last_repeat),
    {"", 0, sizeof(step_state)},
};
