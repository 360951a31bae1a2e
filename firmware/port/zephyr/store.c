/*
 * See store.h. NVS writes a record beside the old one and its index after it, littlefs commits a
 * file when it is closed: after a power cut there is the old one or the new one.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zephyr/drivers/flash.h>
#include <zephyr/fs/fs.h>
#include <zephyr/fs/littlefs.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/storage/flash_map.h>

#include "compat.h"
#include COMPAT_NVS_HEADER

LOG_MODULE_REGISTER(proplet_store, CONFIG_PROPLET_LOG_LEVEL);

#define ROOT STORE_ROOT
#define PATH_MAX_LEN 48 /* root, place, 32 of the digest's digits: nobody makes two alike */

FS_LITTLEFS_DECLARE_DEFAULT_CONFIG(blob_files);
static struct fs_mount_t mounted = {.type = FS_LITTLEFS,
				    .fs_data = &blob_files,
				    .storage_dev = (void *)COMPAT_PARTITION(ID, proplet_blobs),
				    .mnt_point = ROOT};
static struct nvs_fs records;

static bool open_records(void)
{
	struct flash_pages_info page;

	records.flash_device = COMPAT_PARTITION(DEVICE, proplet_records);
	records.offset = COMPAT_PARTITION(OFFSET, proplet_records);
	if (!device_is_ready(records.flash_device) ||
	    flash_get_page_info_by_offs(records.flash_device, records.offset, &page) != 0) {
		return false;
	}
	records.sector_size = page.size;
	records.sector_count = COMPAT_PARTITION(SIZE, proplet_records) / page.size;
	return nvs_mount(&records) == 0;
}

bool store_open(void)
{
	int error;

	if (!open_records()) {
		LOG_ERR("no records: a partition proplet_records, or what is in it, is broken; "
			"`proplet erase` makes it anew");
		return false;
	}
	error = fs_mount(&mounted);
	if (error != 0) {
		LOG_ERR("no blobs: littlefs on proplet_blobs answers %d", error);
		return false;
	}
	fs_mkdir(ROOT "/p");
	fs_mkdir(ROOT "/b");
	return true;
}

static bool erase(uint8_t id)
{
	const struct flash_area *area;
	int error;

	if (flash_area_open(id, &area) != 0) {
		return false;
	}
	error = flash_area_erase(area, 0, area->fa_size);
	flash_area_close(area);
	return error == 0;
}

bool store_erase(void)
{
	return erase(COMPAT_PARTITION(ID, proplet_blobs)) &&
	       erase(COMPAT_PARTITION(ID, proplet_records));
}

static int trouble(int error)
{
	return error == -ENOSPC || error == -EFBIG ? PROPLET_FULL : PROPLET_BROKEN;
}

/* -- records ------------------------------------------------------------------------------- */

int store_get(uint16_t id, void *buf, size_t cap, size_t *len)
{
	ssize_t got = nvs_read(&records, id, buf, cap);

	if (got == -ENOENT) {
		return PROPLET_MISSING;
	}
	if (got < 0) {
		return PROPLET_BROKEN;
	}
	*len = (size_t)got;
	return *len > cap ? PROPLET_FULL : PROPLET_OK;
}

int store_put(uint16_t id, const void *buf, size_t len)
{
	ssize_t wrote;

	if (len == 0) { /* NVS takes that for a deletion */
		return store_del(id);
	}
	wrote = nvs_write(&records, id, buf, len);
	return wrote < 0 ? trouble((int)wrote) : PROPLET_OK;
}

int store_del(uint16_t id)
{
	int error = nvs_delete(&records, id);

	return error == 0 || error == -ENOENT ? PROPLET_OK : PROPLET_BROKEN;
}

static int port_get(void *ctx, uint16_t id, void *buf, size_t cap, size_t *len)
{
	ARG_UNUSED(ctx);
	return store_get(id, buf, cap, len);
}

static int port_put(void *ctx, uint16_t id, const void *buf, size_t len)
{
	ARG_UNUSED(ctx);
	return store_put(id, buf, len);
}

static int port_del(void *ctx, uint16_t id)
{
	ARG_UNUSED(ctx);
	return store_del(id);
}

/* -- blobs --------------------------------------------------------------------------------- */

static const char *path_of(char place, const uint8_t digest[32], char path[PATH_MAX_LEN + 32])
{
	int at = snprintf(path, PATH_MAX_LEN, ROOT "/%c/", place);

	for (unsigned i = 0; i < 32; i++) {
		at += snprintf(path + at, 3, "%02x", digest[i]);
	}
	return path;
}

#define PATH(name) char name[PATH_MAX_LEN + 32]

static bool size_of(const char *path, uint32_t *size)
{
	static struct fs_dirent entry; /* large; the core calls from one thread */

	if (fs_stat(path, &entry) != 0) {
		return false;
	}
	*size = (uint32_t)entry.size;
	return true;
}

static int blob_have(void *ctx, const uint8_t digest[32], uint32_t *have, bool *sealed)
{
	PATH(path);

	ARG_UNUSED(ctx);
	*sealed = size_of(path_of('b', digest, path), have);
	if (!*sealed && !size_of(path_of('p', digest, path), have)) {
		*have = 0;
	}
	return PROPLET_OK;
}

static uint32_t blob_room(void *ctx)
{
	struct fs_statvfs found;
	uint64_t bytes;

	ARG_UNUSED(ctx);
	if (fs_statvfs(ROOT, &found) != 0 || found.f_bfree < 8) {
		return 0;
	}
	bytes = (uint64_t)(found.f_bfree - 8) * found.f_frsize; /* directories want a few */
	return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

static int blob_write(void *ctx, const uint8_t digest[32], uint32_t off, uint32_t total,
		      const void *data, size_t len)
{
	PATH(path);
	struct fs_file_t file;
	uint32_t have = 0;
	int error;

	if (size_of(path_of('b', digest, path), &have)) {
		return PROPLET_OK; /* sealed: the same bytes by their digest */
	}
	have = 0;
	size_of(path_of('p', digest, path), &have);
	if (off > have || len > total || off > total - len) {
		return PROPLET_REFUSED;
	}
	if (total - have > blob_room(ctx)) {
		return PROPLET_FULL;
	}
	fs_file_t_init(&file);
	error = fs_open(&file, path, FS_O_CREATE | FS_O_RDWR);
	if (error != 0) {
		return trouble(error);
	}
	error = fs_seek(&file, (off_t)off, FS_SEEK_SET);
	if (error == 0) {
		ssize_t wrote = fs_write(&file, data, len);

		error = wrote < 0 ? (int)wrote : (size_t)wrote < len ? -ENOSPC : 0;
	}
	if (fs_close(&file) != 0 && error == 0) {
		error = -EIO;
	}
	return error == 0 ? PROPLET_OK : trouble(error);
}

static int blob_read(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	PATH(path);
	struct fs_file_t file;
	ssize_t got = -EIO;

	ARG_UNUSED(ctx);
	fs_file_t_init(&file);
	if (fs_open(&file, path_of('b', digest, path), FS_O_READ) != 0) {
		fs_file_t_init(&file);
		if (fs_open(&file, path_of('p', digest, path), FS_O_READ) != 0) {
			return PROPLET_MISSING;
		}
	}
	if (fs_seek(&file, (off_t)off, FS_SEEK_SET) == 0) {
		got = fs_read(&file, buf, len);
	}
	fs_close(&file);
	if (got < 0) {
		return PROPLET_BROKEN;
	}
	return (size_t)got == len ? PROPLET_OK : PROPLET_MISSING;
}

static int blob_seal(void *ctx, const uint8_t digest[32], uint32_t total)
{
	PATH(from);
	PATH(to);
	uint32_t size;

	ARG_UNUSED(ctx);
	if (size_of(path_of('b', digest, to), &size)) {
		return PROPLET_OK;
	}
	if (!size_of(path_of('p', digest, from), &size)) {
		return PROPLET_MISSING;
	}
	if (size != total) {
		return PROPLET_REFUSED;
	}
	return fs_rename(from, to) == 0 ? PROPLET_OK : PROPLET_BROKEN;
}

static int blob_drop(void *ctx, const uint8_t digest[32])
{
	PATH(path);

	ARG_UNUSED(ctx);
	fs_unlink(path_of('p', digest, path));
	fs_unlink(path_of('b', digest, path));
	return PROPLET_OK;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool digest_of(const char *name, uint8_t digest[32])
{
	if (strlen(name) != 64) {
		return false;
	}
	for (unsigned i = 0; i < 32; i++) {
		int high = digit(name[2 * i]);
		int low = digit(name[2 * i + 1]);

		if (high < 0 || low < 0) {
			return false;
		}
		digest[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int blob_at(void *ctx, uint32_t index, uint8_t digest[32])
{
	static const char *const places[] = {ROOT "/b", ROOT "/p"};
	static struct fs_dirent entry;
	struct fs_dir_t dir;

	ARG_UNUSED(ctx);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		bool found = false;

		fs_dir_t_init(&dir);
		if (fs_opendir(&dir, places[i]) != 0) {
			return PROPLET_BROKEN;
		}
		while (!found && fs_readdir(&dir, &entry) == 0 && entry.name[0] != '\0') {
			found = digest_of(entry.name, digest) && index-- == 0;
		}
		fs_closedir(&dir);
		if (found) {
			return PROPLET_OK;
		}
	}
	return PROPLET_MISSING;
}

void store_fill(struct proplet_port *port)
{
	port->get = port_get;
	port->put = port_put;
	port->del = port_del;
	port->blob_have = blob_have;
	port->blob_write = blob_write;
	port->blob_read = blob_read;
	port->blob_seal = blob_seal;
	port->blob_drop = blob_drop;
	port->blob_at = blob_at;
	port->blob_room = blob_room;
}
