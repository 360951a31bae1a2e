/* See store.h. */
#define _DEFAULT_SOURCE
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME 65

static void name_of(const uint8_t digest[32], char name[NAME])
{
	for (unsigned i = 0; i < 32; i++) {
		snprintf(name + (size_t)2 * i, 3, "%02x", digest[i]);
	}
}

static bool digest_of(const char *name, uint8_t digest[32])
{
	if (strlen(name) != NAME - 1) {
		return false;
	}
	for (unsigned i = 0; i < 32; i++) {
		unsigned value;
		int used = 0;

		if (sscanf(name + (size_t)2 * i, "%2x%n", &value, &used) != 1 || used != 2) {
			return false;
		}
		digest[i] = (uint8_t)value;
	}
	return true;
}

static int directory(int at, const char *name)
{
	if (mkdirat(at, name, 0700) != 0 && errno != EEXIST) {
		return -1;
	}
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static uint32_t bytes_in(int at)
{
	int copy = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	uint64_t sum = 0;
	struct stat found;

	if (list == NULL) {
		return 0;
	}
	while ((entry = readdir(list)) != NULL) {
		if (fstatat(at, entry->d_name, &found, 0) == 0 && S_ISREG(found.st_mode)) {
			sum += (uint64_t)found.st_size;
		}
	}
	closedir(list);
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

bool store_open(struct store *store, const char *path, uint32_t quota, uint32_t doubtful)
{
	memset(store, 0, sizeof(*store));
	store->root = store->records = store->parts = store->blobs = store->lock = -1;
	store->quota = quota;
	store->doubtful = doubtful;
	store->root = directory(AT_FDCWD, path);
	if (store->root < 0) {
		return false;
	}
	store->lock = openat(store->root, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock < 0 || flock(store->lock, LOCK_EX | LOCK_NB) != 0) {
		return false;
	}
	store->records = directory(store->root, "records");
	store->parts = directory(store->root, "parts");
	store->blobs = directory(store->root, "blobs");
	if (store->records < 0 || store->parts < 0 || store->blobs < 0) {
		return false;
	}
	fsync(store->root);
	store->used = bytes_in(store->parts) + bytes_in(store->blobs);
	return true;
}

void store_close(struct store *store)
{
	int *const all[] = {&store->records, &store->parts, &store->blobs, &store->lock,
			    &store->root};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i] >= 0) {
			close(*all[i]);
			*all[i] = -1;
		}
	}
}

static bool write_all(int fd, const void *buf, size_t len, off_t at)
{
	const char *from = buf;

	while (len > 0) {
		ssize_t wrote = pwrite(fd, from, len, at);

		if (wrote < 0 && errno == EINTR) {
			continue;
		}
		if (wrote <= 0) {
			return false;
		}
		from += wrote;
		at += wrote;
		len -= (size_t)wrote;
	}
	return true;
}

static int trouble(void)
{
	return errno == ENOSPC || errno == EDQUOT ? PROPLET_FULL : PROPLET_BROKEN;
}

/* -- records ------------------------------------------------------------------------------- */

int store_get(struct store *store, uint16_t id, void *buf, size_t cap, size_t *len)
{
	char name[8];
	struct stat found;
	ssize_t got;
	int fd;

	snprintf(name, sizeof(name), "%04x", id);
	fd = openat(store->records, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return errno == ENOENT ? PROPLET_MISSING : PROPLET_BROKEN;
	}
	if (fstat(fd, &found) != 0) {
		close(fd);
		return PROPLET_BROKEN;
	}
	*len = (size_t)found.st_size;
	if (*len > cap) {
		close(fd);
		return PROPLET_FULL;
	}
	got = pread(fd, buf, *len, 0);
	close(fd);
	return got == found.st_size ? PROPLET_OK : PROPLET_BROKEN;
}

int store_put(struct store *store, uint16_t id, const void *buf, size_t len)
{
	char name[8];
	int fd = openat(store->records, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error = PROPLET_OK;

	if (fd < 0) {
		return trouble();
	}
	if (!write_all(fd, buf, len, 0) || fsync(fd) != 0) {
		error = trouble();
	}
	close(fd);
	snprintf(name, sizeof(name), "%04x", id);
	if (error == PROPLET_OK && (renameat(store->records, "new", store->records, name) != 0 ||
				    fsync(store->records) != 0)) {
		error = trouble();
	}
	return error;
}

int store_del(struct store *store, uint16_t id)
{
	char name[8];

	snprintf(name, sizeof(name), "%04x", id);
	if (unlinkat(store->records, name, 0) != 0 && errno != ENOENT) {
		return PROPLET_BROKEN;
	}
	return fsync(store->records) == 0 ? PROPLET_OK : PROPLET_BROKEN;
}

/* -- blobs --------------------------------------------------------------------------------- */

static bool size_of(int at, const char *name, uint32_t *size)
{
	struct stat found;

	if (fstatat(at, name, &found, 0) != 0 || found.st_size > UINT32_MAX) {
		return false;
	}
	*size = (uint32_t)found.st_size;
	return true;
}

static bool was_touched(const struct store *store, const uint8_t digest[32])
{
	for (unsigned i = 0; i < store->touched_count; i++) {
		if (memcmp(store->touched[i].digest, digest, 32) == 0) {
			return true;
		}
	}
	return false;
}

static void touch(struct store *store, const uint8_t digest[32])
{
	unsigned count = sizeof(store->touched) / sizeof(store->touched[0]);

	if (was_touched(store, digest)) {
		return;
	}
	if (store->touched_count == count) { /* the oldest is doubted again: it costs a chunk */
		memmove(&store->touched[0], &store->touched[1],
			sizeof(store->touched[0]) * (count - 1));
		store->touched_count--;
	}
	memcpy(store->touched[store->touched_count++].digest, digest, 32);
}

/* What of a part is surely there. Each write is synced before it is answered, so of one that was
 * cut short by the power only the last write, at most `doubtful` bytes, may be holes. */
static uint32_t sure(const struct store *store, const uint8_t digest[32], uint32_t size)
{
	if (was_touched(store, digest)) {
		return size;
	}
	return size > store->doubtful ? size - store->doubtful : 0;
}

int store_blob_have(struct store *store, const uint8_t digest[32], uint32_t *have, bool *sealed)
{
	char name[NAME];

	name_of(digest, name);
	*sealed = size_of(store->blobs, name, have);
	if (!*sealed) {
		*have = size_of(store->parts, name, have) ? sure(store, digest, *have) : 0;
	}
	return PROPLET_OK;
}

uint32_t store_blob_room(struct store *store)
{
	return store->used >= store->quota ? 0 : store->quota - store->used;
}

int store_blob_write(struct store *store, const uint8_t digest[32], uint32_t off, uint32_t total,
		     const void *data, size_t len)
{
	char name[NAME];
	uint32_t before = 0;
	uint32_t have;
	int error = PROPLET_OK;
	int fd;

	name_of(digest, name);
	if (size_of(store->blobs, name, &have)) {
		return PROPLET_OK; /* sealed: the same bytes by their digest */
	}
	size_of(store->parts, name, &before);
	have = sure(store, digest, before);
	if (off > have || len > total || off > total - len) {
		return PROPLET_REFUSED;
	}
	if (total - before > store_blob_room(store)) {
		return PROPLET_FULL;
	}
	fd = openat(store->parts, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		return trouble();
	}
	if ((before > have && ftruncate(fd, (off_t)have) != 0) ||
	    !write_all(fd, data, len, (off_t)off) || fdatasync(fd) != 0 ||
	    (before == 0 && fsync(store->parts) != 0)) {
		error = trouble();
	}
	close(fd);
	if (error == PROPLET_OK) {
		touch(store, digest);
	}
	if (!size_of(store->parts, name, &have)) {
		have = 0;
	}
	store->used = store->used - before + have;
	return error;
}

int store_blob_read(struct store *store, const uint8_t digest[32], uint32_t off, void *buf,
		    size_t len)
{
	char name[NAME];
	ssize_t got;
	int fd;

	name_of(digest, name);
	fd = openat(store->blobs, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fd = openat(store->parts, name, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0) {
		return errno == ENOENT ? PROPLET_MISSING : PROPLET_BROKEN;
	}
	got = pread(fd, buf, len, (off_t)off);
	close(fd);
	if (got < 0) {
		return PROPLET_BROKEN;
	}
	return (size_t)got == len ? PROPLET_OK : PROPLET_MISSING;
}

int store_blob_seal(struct store *store, const uint8_t digest[32], uint32_t total)
{
	char name[NAME];
	uint32_t size;

	name_of(digest, name);
	if (size_of(store->blobs, name, &size)) {
		return PROPLET_OK;
	}
	if (total == 0) { /* nothing was ever written of an empty blob */
		int fd = openat(store->parts, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		if (fd >= 0) {
			close(fd);
		}
	}
	if (!size_of(store->parts, name, &size)) {
		return PROPLET_MISSING;
	}
	if (size != total) {
		return PROPLET_REFUSED;
	}
	if (renameat(store->parts, name, store->blobs, name) != 0 || fsync(store->blobs) != 0) {
		return trouble();
	}
	return PROPLET_OK;
}

int store_blob_drop(struct store *store, const uint8_t digest[32])
{
	int const from[] = {store->parts, store->blobs};
	char name[NAME];
	uint32_t size;

	name_of(digest, name);
	for (unsigned i = 0; i < 2; i++) {
		if (size_of(from[i], name, &size)) {
			if (unlinkat(from[i], name, 0) != 0) {
				return PROPLET_BROKEN;
			}
			store->used -= size < store->used ? size : store->used;
		}
	}
	return PROPLET_OK;
}

int store_blob_at(struct store *store, uint32_t index, uint8_t digest[32])
{
	int const from[] = {store->blobs, store->parts};

	for (unsigned i = 0; i < 2; i++) {
		int copy = openat(from[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *list = copy < 0 ? NULL : fdopendir(copy);
		struct dirent *entry;
		bool found = false;

		if (list == NULL) {
			return PROPLET_BROKEN;
		}
		while (!found && (entry = readdir(list)) != NULL) {
			found = digest_of(entry->d_name, digest) && index-- == 0;
		}
		closedir(list);
		if (found) {
			return PROPLET_OK;
		}
	}
	return PROPLET_MISSING;
}
