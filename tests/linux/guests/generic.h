/* The calls that the generic ABIs leave out, made of those they have: the guests need not know.
 *
 * Numbers from OLD on are no system calls; sc() turns them into those that do the same. What only
 * the old call itself could show (getdents, vfork) has no number here, and #ifdef leaves it out.
 */
enum {
	OLD = 0x10000, OLD_open, OLD_creat, OLD_access, OLD_chmod, OLD_mkdir, OLD_mknod, OLD_rmdir,
	OLD_unlink, OLD_rename, OLD_renameat, OLD_link, OLD_symlink, OLD_readlink, OLD_dup2, OLD_fork,
	OLD_stat, OLD_lstat, OLD_fstat, OLD_fstatat, OLD_wait4, OLD_lseek, OLD_truncate, OLD_ftruncate,
};
#define NR_open OLD_open
#define NR_creat OLD_creat
#define NR_access OLD_access
#define NR_chmod OLD_chmod
#define NR_mkdir OLD_mkdir
#define NR_mknod OLD_mknod
#define NR_rmdir OLD_rmdir
#define NR_unlink OLD_unlink
#define NR_rename OLD_rename
#ifndef NR_renameat
#define NR_renameat OLD_renameat
#endif
#define NR_link OLD_link
#define NR_symlink OLD_symlink
#define NR_readlink OLD_readlink
#define NR_dup2 OLD_dup2
#define NR_fork OLD_fork
#define NR_stat OLD_stat
#define NR_lstat OLD_lstat
#ifndef NR_newfstatat
/* riscv32: only the calls that can tell of more than 32 bits. */
#define NR_fstat OLD_fstat
#define NR_newfstatat OLD_fstatat
#define NR_wait4 OLD_wait4
#define NR_lseek OLD_lseek
#define NR_truncate OLD_truncate
#define NR_ftruncate OLD_ftruncate
#define NR_fcntl NR_fcntl64

/* waitid as a C library makes wait4 of it. */
static long wait4_(long pid, long status, long options)
{
	int info[32], how;
	long r;
	info[3] = 0;
	r = kernel(NR_waitid, pid == -1 ? 0 : pid > 0 ? 1 : 2, pid < -1 ? -pid : pid == -1 ? 0 : pid,
		(long)info, options | 4, 0, 0);
	if (r < 0) return r;
	how = info[2] == 1 ? (info[5] & 0xff) << 8 : info[5] & 0x7f;
	if (status == (long)BAD) return -14;
	if (status && info[3]) *(int *)status = how;
	return info[3];
}
#endif

static long rename_(long a, long b, long c, long d)
{
#ifdef __aarch64__
	return kernel(NR_renameat, a, b, c, d, 0, 0);
#else
	return kernel(NR_renameat2, a, b, c, d, 0, 0);
#endif
}

static long stat_(long dir, long path, long buf, long flags)
{
#if __riscv_xlen == 32
	return kernel(NR_statx, dir, path, flags, 0x7ff, buf, 0);
#else
	return kernel(NR_newfstatat, dir, path, buf, flags, 0, 0);
#endif
}

static long sc(long n, long a, long b, long c, long d, long e, long f)
{
	long r;
	switch (n) {
	case OLD_open: return kernel(NR_openat, AT_FDCWD, a, b, c, 0, 0);
	case OLD_creat: return kernel(NR_openat, AT_FDCWD, a, O_CREAT | O_WRONLY | O_TRUNC, b, 0, 0);
	case OLD_access: return kernel(NR_faccessat, AT_FDCWD, a, b, 0, 0, 0);
	case OLD_chmod: return kernel(NR_fchmodat, AT_FDCWD, a, b, 0, 0, 0);
	case OLD_mkdir: return kernel(NR_mkdirat, AT_FDCWD, a, b, 0, 0, 0);
	case OLD_mknod: return kernel(NR_mknodat, AT_FDCWD, a, b, c, 0, 0);
	case OLD_rmdir: return kernel(NR_unlinkat, AT_FDCWD, a, AT_REMOVEDIR, 0, 0, 0);
	case OLD_unlink: return kernel(NR_unlinkat, AT_FDCWD, a, 0, 0, 0, 0);
	case OLD_rename: return rename_(AT_FDCWD, a, AT_FDCWD, b);
	case OLD_renameat: return rename_(a, b, c, d);
	case OLD_link: return kernel(NR_linkat, AT_FDCWD, a, AT_FDCWD, b, 0, 0);
	case OLD_symlink: return kernel(NR_symlinkat, a, AT_FDCWD, b, 0, 0, 0);
	case OLD_readlink: return kernel(NR_readlinkat, AT_FDCWD, a, b, c, 0, 0);
	case OLD_fork: return kernel(NR_clone, 17, 0, 0, 0, 0, 0);
	case OLD_stat: return stat_(AT_FDCWD, a, b, 0);
	case OLD_lstat: return stat_(AT_FDCWD, a, b, AT_SYMLINK_NOFOLLOW);
	case OLD_dup2:
		if (a != b) return kernel(NR_dup3, a, b, 0, 0, 0, 0);
		r = sc(NR_fcntl, a, 1, 0, 0, 0, 0);
		return r < 0 ? r : b;
#if __riscv_xlen == 32
	case OLD_fstat: return stat_(a, (long)"", b, AT_EMPTY_PATH);
	case OLD_fstatat: return stat_(a, b, c, d);
	case OLD_wait4: return wait4_(a, b, c);
	case OLD_truncate: return kernel(NR_truncate64, a, b, b < 0 ? -1 : 0, 0, 0, 0);
	case OLD_ftruncate: return kernel(NR_ftruncate64, a, b, b < 0 ? -1 : 0, 0, 0, 0);
	case OLD_lseek: {
		u64 where = 0;
		r = kernel(NR__llseek, a, b < 0 ? -1 : 0, b, (long)&where, c, 0);
		return r < 0 ? r : (long)where;
	}
#endif
	}
	return kernel(n, a, b, c, d, e, f);
}
