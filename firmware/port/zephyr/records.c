/* See records.h. */
#include "records.h"

#include <string.h>
#include <zephyr/fs/fs.h>
#include <zephyr/kernel.h>

#include "store.h"
#include "values.h"

#define HEAD 32
#define VALUES_MAX (1U << 20)

static struct fs_file_t files[CONFIG_PROPLET_SLOTS];

static uint64_t number(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = bytes; i-- > 0;) {
		value = value << 8 | at[i];
	}
	return value;
}

static bool read_head(const char *path, struct fs_file_t *file, struct proplet_shape *shape)
{
	struct fs_dirent found;
	uint8_t head[HEAD];
	uint64_t size;

	if (fs_stat(path, &found) != 0 || fs_read(file, head, HEAD) != HEAD ||
	    memcmp(head, "PFR1", 4) != 0 || number(head + 12, 4) != 0 || number(head + 24, 8) != 0) {
		return false;
	}
	shape->features = (uint32_t)number(head + 4, 4);
	shape->labels = (uint32_t)number(head + 8, 4);
	shape->records = number(head + 16, 8);
	size = proplet_record_size(shape);
	return size > 0 && size <= 4 * (uint64_t)VALUES_MAX && shape->records <= UINT32_MAX / size &&
	       found.size == HEAD + shape->records * size;
}

static int open_records(void *ctx, uint8_t slot, struct proplet_text mount, bool evaluate,
			struct proplet_shape *shape, char *why, size_t cap)
{
	const char *path = STORE_ROOT "/train.pfr";
	struct fs_file_t *const file = &files[slot];
	struct fs_dirent found;

	ARG_UNUSED(ctx);
	ARG_UNUSED(mount);
	if (evaluate && fs_stat(STORE_ROOT "/test.pfr", &found) == 0) {
		path = STORE_ROOT "/test.pfr";
	}
	memset(shape, 0, sizeof(*shape));
	fs_file_t_init(file);
	if (fs_stat(path, &found) != 0) {
		return PROPLET_OK; /* nothing to train on is no fault */
	}
	if (fs_open(file, path, FS_O_READ) != 0) {
		proplet_put_text(why, cap, 0, "its records cannot be opened");
		return PROPLET_REFUSED;
	}
	if (!read_head(path, file, shape)) {
		fs_close(file);
		proplet_put_text(why, cap, 0, "its record file is broken");
		return PROPLET_REFUSED;
	}
	return PROPLET_OK;
}

static int read_records(void *ctx, uint8_t slot, uint64_t off, void *buf, size_t len)
{
	ARG_UNUSED(ctx);
	return fs_seek(&files[slot], (off_t)(HEAD + off), FS_SEEK_SET) == 0 &&
			       fs_read(&files[slot], buf, len) == (ssize_t)len
		       ? PROPLET_OK
		       : PROPLET_BROKEN;
}

static void close_records(void *ctx, uint8_t slot)
{
	ARG_UNUSED(ctx);
	(void)fs_close(&files[slot]); /* nothing, where there was no file */
}

const struct proplet_records proplet_zephyr_records = {
	.open = open_records, .read = read_records, .close = close_records};
