/* See records.h. */
#define _DEFAULT_SOURCE
#include "records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "values.h"

enum { HEAD = 32, VALUES_MAX = 1 << 20 };

static int only_records(const struct dirent *entry)
{
	const size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".pfr") == 0;
}

/* By the bytes of their names, whatever the locale. */
static int by_name(const struct dirent **one, const struct dirent **other)
{
	return strcmp((*one)->d_name, (*other)->d_name);
}

static bool is_test(const char *name)
{
	return strncmp(name, "test", 4) == 0;
}

static uint64_t number(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = bytes; i-- > 0;) {
		value = value << 8 | at[i];
	}
	return value;
}

static bool fault(char *why, size_t cap, const char *name, const char *words)
{
	proplet_put_text(why, cap, proplet_put_text(why, cap, 0, name), words);
	return false;
}

/* Reads and checks the head of one file. */
static bool read_head(int fd, const char *name, struct proplet_shape *shape, char *why, size_t cap)
{
	struct stat found;
	uint8_t head[HEAD];
	uint64_t size;

	if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
		return fault(why, cap, name, " is not a file");
	}
	if (pread(fd, head, sizeof(head), 0) != HEAD) {
		return fault(why, cap, name, " is too short for a record file");
	}
	if (memcmp(head, "PFR1", 4) != 0 || number(head + 12, 4) != 0 || number(head + 24, 8) != 0) {
		return fault(why, cap, name, " does not begin like a record file (PFR1)");
	}
	shape->features = (uint32_t)number(head + 4, 4);
	shape->labels = (uint32_t)number(head + 8, 4);
	shape->records = number(head + 16, 8);
	size = proplet_record_size(shape);
	if (size == 0 || size > 4 * (uint64_t)VALUES_MAX) {
		return fault(why, cap, name, " says its records have too many values, or none");
	}
	if (shape->records > (uint64_t)INT64_MAX / size ||
	    (uint64_t)found.st_size != HEAD + shape->records * size) {
		return fault(why, cap, name, " has another size than its header says");
	}
	return true;
}

static bool add(struct records_of *guest, const char *directory, const char *name,
		struct proplet_shape *shape, char *why, size_t cap)
{
	char path[4096];
	struct proplet_shape one;
	int fd;

	if (guest->count == RECORDS_FILES) {
		return fault(why, cap, directory, " has more record files than are read");
	}
	proplet_put_text(path, sizeof(path),
			 proplet_put_text(path, sizeof(path),
					  proplet_put_text(path, sizeof(path), 0, directory), "/"),
			 name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		return fault(why, cap, name, " cannot be opened");
	}
	guest->files[guest->count].fd = fd;
	guest->files[guest->count++].size = 0;
	if (!read_head(fd, name, &one, why, cap)) {
		return false;
	}
	guest->files[guest->count - 1].size = one.records * proplet_record_size(&one);
	if (guest->count > 1 &&
	    (one.features != shape->features || one.labels != shape->labels)) {
		return fault(why, cap, "its record files do not all have the same features and labels",
			     "");
	}
	shape->features = one.features;
	shape->labels = one.labels;
	shape->records += one.records;
	return true;
}

static void close_records(void *ctx, uint8_t slot)
{
	struct records_of *const guest = &((struct records *)ctx)->guests[slot];

	while (guest->count > 0) {
		close(guest->files[--guest->count].fd);
	}
}

static const char *directory_of(const struct records *records, struct proplet_text mount)
{
	for (size_t i = 0; i < records->count; i++) {
		if (strlen(records->names[i]) == mount.len &&
		    memcmp(records->names[i], mount.at, mount.len) == 0) {
			return records->directories[i];
		}
	}
	return NULL;
}

static int open_records(void *ctx, uint8_t slot, struct proplet_text mount, bool evaluate,
			struct proplet_shape *shape, char *why, size_t cap)
{
	struct records *const records = ctx;
	struct records_of *const guest = &records->guests[slot];
	const char *const directory = directory_of(records, mount);
	struct dirent **names;
	const int count =
		directory == NULL ? -1 : scandir(directory, &names, only_records, by_name);
	bool tests = false, fine = true;

	if (count < 0) {
		(void)fault(why, cap, "the directory of its data cannot be read", "");
		return PROPLET_REFUSED;
	}
	memset(shape, 0, sizeof(*shape));
	guest->count = 0;
	for (int i = 0; i < count; i++) {
		tests = tests || is_test(names[i]->d_name);
	}
	for (int i = 0; i < count; i++) {
		const char *const name = names[i]->d_name;
		/* To measure: the tests, or all where there are none. */
		const bool wanted = evaluate ? is_test(name) || !tests : !is_test(name);

		fine = fine && (!wanted || add(guest, directory, name, shape, why, cap));
		free(names[i]);
	}
	free(names);
	if (!fine) {
		close_records(ctx, slot);
		return PROPLET_REFUSED;
	}
	return PROPLET_OK;
}

static int read_records(void *ctx, uint8_t slot, uint64_t off, void *buf, size_t len)
{
	const struct records_of *const guest = &((struct records *)ctx)->guests[slot];
	uint8_t *to = buf;

	for (unsigned i = 0; i < guest->count && len > 0; i++) {
		const uint64_t size = guest->files[i].size;

		if (off >= size) {
			off -= size;
			continue;
		}
		while (off < size && len > 0) {
			const size_t some = len < size - off ? len : (size_t)(size - off);
			const ssize_t got =
				pread(guest->files[i].fd, to, some, (off_t)(HEAD + off));

			if (got <= 0) {
				if (got < 0 && errno == EINTR) {
					continue;
				}
				return PROPLET_BROKEN;
			}
			off += (uint64_t)got;
			to += got;
			len -= (size_t)got;
		}
		off = 0;
	}
	return len == 0 ? PROPLET_OK : PROPLET_BROKEN;
}

void records_init(struct records *records, const char *const *names, const char *const *directories,
		  size_t count)
{
	memset(records, 0, sizeof(*records));
	records->names = names;
	records->directories = directories;
	records->count = count;
	records->slots = (struct proplet_records){
		.ctx = records, .open = open_records, .read = read_records, .close = close_records};
}
