/* A hook on every instruction that writes down the registers before it, as single_step.c does: for
 * bootstrap's own CPUs, which count instructions themselves (bootstrap/instruments/counter.py). */
#include <stdint.h>

typedef struct {
    int (*reg_read_batch)(void *uc, int *ids, void **values, int count);
    const uint64_t *executed; /* the counter; its own hook comes before this one */
    uint64_t last;            /* what it was at the last row */
    uint64_t room;            /* rows */
    uint32_t (*rows)[10];     /* eip, then the registers of `ids` */
    int ids[9];
} notes;

/* unicorn.h: uc_cb_hookcode_t */
void note(void *uc, uint64_t addr, uint32_t size, notes *n)
{
    (void)size;
    uint64_t now = *n->executed;
    if (now == n->last || now == 0 || now > n->room)
        return; /* one more round of a REP, or the instruction at which the CPU stops */
    n->last = now;
    uint32_t *row = n->rows[now - 1];
    void *values[9];
    for (int i = 0; i < 9; i++)
        values[i] = row + 1 + i;
    row[0] = (uint32_t)addr;
    n->reg_read_batch(uc, n->ids, values, 9);
}
