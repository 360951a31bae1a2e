/* Records what a process asks of the file system, so that power cuts can be replayed.
 *
 * A shared library for LD_PRELOAD (Linux, 64 bit). It passes every call on and, for whatever lies
 * below one directory, appends one record to a log: creations, writes, truncations, renames, links,
 * removals, directories, and above all which file or directory was synced. `replay.py` reads the
 * log and rebuilds what a disk may hold after a power cut at any point of it.
 *
 *   cc -shared -fPIC -O2 -Wall -Wextra -Werror -o recorder.so recorder.c -lpthread
 *   POWER_ROOT=/abs/dir POWER_LOG=/abs/log POWER_MARKS=/abs/marks LD_PRELOAD=./recorder.so program
 *
 * POWER_ROOT   the directory watched, already there, with symbolic links resolved
 * POWER_LOG    where records are appended, outside POWER_ROOT
 * POWER_MARKS  a file outside POWER_ROOT; each write to it becomes one mark in the log, so that a
 *              program in any language can say "this was reported durable" at the right place
 *
 * A record is six little-endian words and three byte strings, written in one call:
 *
 *   u32 magic, u32 kind, u64 offset, u64 data length, u32 path length, u32 other length,
 *   path, other path (renames and links), data
 *
 * Children started by the program are recorded into the same log. One lock a process keeps the
 * order of the log that of the calls; processes that write the same file at once are beyond it.
 *
 * Not seen: stdio's own writes (glibc does not call its public `write`), io_uring, and stores to a
 * shared mapping. SQLite maps only its -shm file, whose content means nothing after a restart.
 * `sendfile` and `copy_file_range` into the directory fail, so that callers fall back to `write`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#if !defined(__linux__) || !defined(__LP64__)
#error "written for 64-bit Linux: open64 and friends are taken to be open"
#endif

enum kind {
	KIND_CREATE = 1,
	KIND_WRITE,
	KIND_TRUNCATE,
	KIND_RENAME,
	KIND_LINK,
	KIND_UNLINK,
	KIND_MKDIR,
	KIND_RMDIR,
	KIND_SYNC,
	KIND_MARK,
};

struct header {
	uint32_t magic;
	uint32_t kind;
	uint64_t offset;
	uint64_t length;
	uint32_t path_length;
	uint32_t other_length;
};

static const uint32_t magic = 0x50575231; /* "1RWP" as bytes */
static const char deleted[] = " (deleted)";

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static char marks[PATH_MAX];
static int log_handle = -1;

static void keep(char *into, const char *name)
{
	const char *value = getenv(name);

	if (value != NULL && strlen(value) < PATH_MAX) {
		strcpy(into, value);
	}
}

static void lock_for_fork(void)
{
	pthread_mutex_lock(&order);
}

static void unlock_after_fork(void)
{
	pthread_mutex_unlock(&order);
}

/* Held from the call to its record. Signals wait meanwhile: their handlers may write as well. */
static void lock(sigset_t *held_back)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, held_back);
	pthread_mutex_lock(&order);
}

static void unlock(const sigset_t *held_back)
{
	pthread_mutex_unlock(&order);
	pthread_sigmask(SIG_SETMASK, held_back, NULL);
}

__attribute__((constructor)) static void begin(void)
{
	char path[PATH_MAX] = "";
	int opened;

	keep(root, "POWER_ROOT");
	keep(marks, "POWER_MARKS");
	keep(path, "POWER_LOG");
	if (root[0] == '\0' || path[0] == '\0') {
		return;
	}
	opened = (int)syscall(SYS_openat, AT_FDCWD, path,
			      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (opened < 0) {
		perror("power recorder: cannot open its log");
		_exit(99);
	}
	/* High up, out of the way of programs that expect low numbers. */
	log_handle = (int)syscall(SYS_fcntl, opened, F_DUPFD_CLOEXEC, 700);
	if (log_handle < 0) {
		log_handle = opened;
	} else {
		syscall(SYS_close, opened);
	}
	pthread_atfork(lock_for_fork, unlock_after_fork, unlock_after_fork);
}

static void record(enum kind kind, uint64_t offset, const char *path, const char *other,
		   const void *data, size_t length)
{
	struct header header = {
		.magic = magic,
		.kind = kind,
		.offset = offset,
		.length = length,
		.path_length = (uint32_t)strlen(path),
		.other_length = (uint32_t)strlen(other),
	};
	struct iovec parts[4] = {
		{&header, sizeof(header)},
		{(void *)path, header.path_length},
		{(void *)other, header.other_length},
		{(void *)data, length},
	};
	size_t whole = sizeof(header) + header.path_length + header.other_length + length;
	int before = errno;

	if (syscall(SYS_writev, log_handle, parts, 4) != (long)whole) {
		static const char text[] = "power recorder: its log cannot be written\n";

		syscall(SYS_write, 2, text, sizeof(text) - 1);
		_exit(99);
	}
	errno = before;
}

static int below_root(const char *path)
{
	size_t length = strlen(root);

	return log_handle >= 0 && strncmp(path, root, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

/* The present name of an open file; 0 when it has none, or none we watch. */
static int name_of(int handle, char *path)
{
	char link[64];
	int before = errno;
	long length;

	if (log_handle < 0 || handle == log_handle) {
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", handle);
	length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
	errno = before;
	if (length <= 0) {
		return 0;
	}
	path[length] = '\0';
	if ((size_t)length >= sizeof(deleted) &&
	    strcmp(path + length - (sizeof(deleted) - 1), deleted) == 0) {
		return 0;
	}
	return below_root(path);
}

static int is_marks(int handle)
{
	char link[64];
	char path[PATH_MAX];
	int before = errno;
	long length;

	if (log_handle < 0 || marks[0] == '\0') {
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", handle);
	length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
	errno = before;
	if (length <= 0) {
		return 0;
	}
	path[length] = '\0';
	return strcmp(path, marks) == 0;
}

/* `name` relative to `directory`, as an absolute path whose directory part is resolved. */
static int absolute(int directory, const char *name, char *path)
{
	char joined[2 * PATH_MAX];
	char parent[PATH_MAX];
	char *slash;
	int before = errno;
	int found = 0;

	if (log_handle < 0 || strlen(name) >= PATH_MAX) {
		return 0;
	}
	if (name[0] == '/') {
		snprintf(joined, sizeof(joined), "%s", name);
	} else {
		char base[PATH_MAX];
		char link[64];
		long length;

		if (directory == AT_FDCWD) {
			snprintf(link, sizeof(link), "/proc/self/cwd");
		} else {
			snprintf(link, sizeof(link), "/proc/self/fd/%d", directory);
		}
		length = syscall(SYS_readlinkat, AT_FDCWD, link, base, PATH_MAX - 1);
		if (length <= 0) {
			goto out;
		}
		base[length] = '\0';
		snprintf(joined, sizeof(joined), "%s/%s", base, name);
	}
	for (size_t end = strlen(joined); end > 1 && joined[end - 1] == '/'; end--) {
		joined[end - 1] = '\0';
	}
	slash = strrchr(joined, '/');
	if (slash == NULL) {
		goto out;
	}
	*slash = '\0';
	if (realpath(joined[0] == '\0' ? "/" : joined, parent) == NULL ||
	    strlen(parent) + strlen(slash + 1) + 2 > PATH_MAX) {
		goto out;
	}
	strcpy(path, parent);
	strcat(path, "/");
	strcat(path, slash + 1);
	found = below_root(path);
out:
	errno = before;
	return found;
}


/* -- opening ----------------------------------------------------------------------------------- */

static int open_any(int directory, const char *name, int flags, mode_t mode)
{
	sigset_t held_back;
	char path[PATH_MAX];
	struct stat there;
	int existed = 1;
	int handle;

	if ((flags & (O_CREAT | O_TRUNC)) == 0 || !absolute(directory, name, path)) {
		return (int)syscall(SYS_openat, directory, name, flags, mode);
	}
	lock(&held_back);
	if (flags & O_CREAT) {
		int before = errno;

		existed = fstatat(directory, name, &there, 0) == 0;
		errno = before;
	}
	handle = (int)syscall(SYS_openat, directory, name, flags, mode);
	if (handle >= 0 && name_of(handle, path)) {
		if (!existed) {
			record(KIND_CREATE, 0, path, "", NULL, 0);
		} else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) {
			record(KIND_TRUNCATE, 0, path, "", NULL, 0);
		}
	}
	unlock(&held_back);
	return handle;
}

#define MODE_ARGUMENT(flags, mode)                                                                 \
	mode_t mode = 0;                                                                           \
	if ((flags) & (O_CREAT | O_TMPFILE)) {                                                     \
		va_list list;                                                                      \
		va_start(list, flags);                                                             \
		mode = va_arg(list, mode_t);                                                       \
		va_end(list);                                                                      \
	}

int open(const char *name, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_any(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_any(AT_FDCWD, name, flags, mode);
}

int openat(int directory, const char *name, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_any(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_any(directory, name, flags, mode);
}

int creat(const char *name, mode_t mode)
{
	return open_any(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int creat64(const char *name, mode_t mode)
{
	return creat(name, mode);
}

/* -- writing ----------------------------------------------------------------------------------- */

static void wrote(int handle, int64_t offset, const struct iovec *parts, int count, int64_t total)
{
	char path[PATH_MAX];

	if (!name_of(handle, path)) {
		return;
	}
	for (int i = 0; i < count && total > 0; i++) {
		size_t length = parts[i].iov_len;

		if ((int64_t)length > total) {
			length = (size_t)total;
		}
		record(KIND_WRITE, (uint64_t)offset, path, "", parts[i].iov_base, length);
		offset += (int64_t)length;
		total -= (int64_t)length;
	}
}

/* A write at the file's own position: where it ended less what it wrote, right for O_APPEND too. */
static ssize_t wrote_here(int handle, const struct iovec *parts, int count, ssize_t written)
{
	int before = errno;
	off_t end = (off_t)syscall(SYS_lseek, handle, 0, SEEK_CUR);

	errno = before;
	if (written > 0 && end >= written) {
		wrote(handle, end - written, parts, count, written);
	}
	return written;
}

ssize_t write(int handle, const void *data, size_t length)
{
	sigset_t held_back;
	char path[PATH_MAX];
	struct iovec part = {(void *)data, length};
	ssize_t written;

	/* Anything else may block (a full pipe) for as long as another thread wants the lock. */
	if (name_of(handle, path)) {
		lock(&held_back);
		written = wrote_here(handle, &part, 1, syscall(SYS_write, handle, data, length));
		unlock(&held_back);
		return written;
	}
	if (is_marks(handle)) {
		lock(&held_back);
		written = syscall(SYS_write, handle, data, length);
		if (written > 0) {
			record(KIND_MARK, 0, "", "", data, (size_t)written);
		}
		unlock(&held_back);
		return written;
	}
	return syscall(SYS_write, handle, data, length);
}

ssize_t writev(int handle, const struct iovec *parts, int count)
{
	sigset_t held_back;
	char path[PATH_MAX];
	ssize_t written;

	if (!name_of(handle, path)) {
		return syscall(SYS_writev, handle, parts, count);
	}
	lock(&held_back);
	written = wrote_here(handle, parts, count, syscall(SYS_writev, handle, parts, count));
	unlock(&held_back);
	return written;
}

ssize_t pwrite(int handle, const void *data, size_t length, off_t offset)
{
	sigset_t held_back;
	struct iovec part = {(void *)data, length};
	ssize_t written;

	lock(&held_back);
	written = syscall(SYS_pwrite64, handle, data, length, offset);
	if (written > 0) {
		wrote(handle, offset, &part, 1, written);
	}
	unlock(&held_back);
	return written;
}

ssize_t pwrite64(int handle, const void *data, size_t length, off64_t offset)
{
	return pwrite(handle, data, length, offset);
}

ssize_t pwritev2(int handle, const struct iovec *parts, int count, off_t offset, int flags)
{
	sigset_t held_back;
	ssize_t written;

	if (offset == -1) {
		return writev(handle, parts, count); /* the file's own position */
	}
	lock(&held_back);
	/* The low and the high half of the offset; on 64 bit the low half is all of it. */
	written = syscall(SYS_pwritev2, handle, parts, count, offset, 0, flags);
	if (written > 0) {
		wrote(handle, offset, parts, count, written);
	}
	unlock(&held_back);
	return written;
}

ssize_t pwritev64v2(int handle, const struct iovec *parts, int count, off64_t offset, int flags)
{
	return pwritev2(handle, parts, count, offset, flags);
}

ssize_t pwritev(int handle, const struct iovec *parts, int count, off_t offset)
{
	return pwritev2(handle, parts, count, offset, 0);
}

ssize_t pwritev64(int handle, const struct iovec *parts, int count, off64_t offset)
{
	return pwritev2(handle, parts, count, offset, 0);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
	char path[PATH_MAX];

	if (name_of(to, path)) {
		errno = ENOTSOCK; /* what an old kernel says; callers then copy by themselves */
		return -1;
	}
	return syscall(SYS_sendfile, to, from, offset, count);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t count)
{
	return sendfile(to, from, offset, count);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length,
			unsigned int flags)
{
	char path[PATH_MAX];

	if (name_of(to, path)) {
		errno = ENOSYS;
		return -1;
	}
	return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, length, flags);
}

int ftruncate(int handle, off_t length)
{
	sigset_t held_back;
	char path[PATH_MAX];
	int done;

	lock(&held_back);
	done = (int)syscall(SYS_ftruncate, handle, length);
	if (done == 0 && name_of(handle, path)) {
		record(KIND_TRUNCATE, (uint64_t)length, path, "", NULL, 0);
	}
	unlock(&held_back);
	return done;
}

int ftruncate64(int handle, off64_t length)
{
	return ftruncate(handle, length);
}

int truncate(const char *name, off_t length)
{
	sigset_t held_back;
	char path[PATH_MAX];
	int done;

	lock(&held_back);
	done = (int)syscall(SYS_truncate, name, length);
	if (done == 0 && absolute(AT_FDCWD, name, path)) {
		record(KIND_TRUNCATE, (uint64_t)length, path, "", NULL, 0);
	}
	unlock(&held_back);
	return done;
}

int truncate64(const char *name, off64_t length)
{
	return truncate(name, length);
}

int fallocate(int handle, int mode, off_t offset, off_t length)
{
	sigset_t held_back;
	char path[PATH_MAX];
	struct stat there;
	int done;

	lock(&held_back);
	if (mode != 0 && name_of(handle, path)) {
		unlock(&held_back);
		errno = EOPNOTSUPP; /* holes and the like: callers write instead */
		return -1;
	}
	done = (int)syscall(SYS_fallocate, handle, mode, offset, length);
	if (done == 0 && name_of(handle, path) && fstat(handle, &there) == 0) {
		record(KIND_TRUNCATE, (uint64_t)there.st_size, path, "", NULL, 0);
	}
	unlock(&held_back);
	return done;
}

int fallocate64(int handle, int mode, off64_t offset, off64_t length)
{
	return fallocate(handle, mode, offset, length);
}

int posix_fallocate(int handle, off_t offset, off_t length)
{
	int before = errno;
	int said = 0;

	if (fallocate(handle, 0, offset, length) != 0) {
		said = errno;
	}
	errno = before;
	return said;
}

int posix_fallocate64(int handle, off64_t offset, off64_t length)
{
	return posix_fallocate(handle, offset, length);
}

/* -- names ------------------------------------------------------------------------------------- */

static int two_names(enum kind kind, int done, int from_directory, const char *from,
		     int to_directory, const char *to)
{
	char source[PATH_MAX];
	char target[PATH_MAX];

	if (done == 0) {
		int source_is_ours = absolute(from_directory, from, source);
		int target_is_ours = absolute(to_directory, to, target);

		if (source_is_ours && target_is_ours) {
			record(kind, 0, source, target, NULL, 0);
		} else if (source_is_ours || target_is_ours) {
			static const char text[] =
				"power recorder: a name crossed the edge of the directory\n";

			syscall(SYS_write, 2, text, sizeof(text) - 1);
			_exit(99);
		}
	}
	return done;
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to,
	      unsigned int flags)
{
	sigset_t held_back;
	int done;

	lock(&held_back);
	done = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
	done = two_names(KIND_RENAME, done, from_directory, from, to_directory, to);
	unlock(&held_back);
	return done;
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	return renameat2(from_directory, from, to_directory, to, 0);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
	sigset_t held_back;
	int done;

	lock(&held_back);
	done = (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
	done = two_names(KIND_LINK, done, from_directory, from, to_directory, to);
	unlock(&held_back);
	return done;
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
	sigset_t held_back;
	char path[PATH_MAX];
	int watched;
	int done;

	lock(&held_back);
	watched = absolute(directory, name, path);
	done = (int)syscall(SYS_unlinkat, directory, name, flags);
	if (done == 0 && watched) {
		record((flags & AT_REMOVEDIR) ? KIND_RMDIR : KIND_UNLINK, 0, path, "", NULL, 0);
	}
	unlock(&held_back);
	return done;
}

int unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int rmdir(const char *name)
{
	return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int mkdirat(int directory, const char *name, mode_t mode)
{
	sigset_t held_back;
	char path[PATH_MAX];
	int done;

	lock(&held_back);
	done = (int)syscall(SYS_mkdirat, directory, name, mode);
	if (done == 0 && absolute(directory, name, path)) {
		record(KIND_MKDIR, 0, path, "", NULL, 0);
	}
	unlock(&held_back);
	return done;
}

int mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

/* -- syncing ----------------------------------------------------------------------------------- */

static int synced(int handle, int done)
{
	char path[PATH_MAX];

	if (done == 0 && name_of(handle, path)) {
		record(KIND_SYNC, 0, path, "", NULL, 0);
	}
	return done;
}

int fsync(int handle)
{
	sigset_t held_back;
	int done;

	lock(&held_back);
	done = synced(handle, (int)syscall(SYS_fsync, handle));
	unlock(&held_back);
	return done;
}

int fdatasync(int handle)
{
	sigset_t held_back;
	int done;

	lock(&held_back);
	done = synced(handle, (int)syscall(SYS_fdatasync, handle));
	unlock(&held_back);
	return done;
}
