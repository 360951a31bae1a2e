/*
 * Records and blobs of the posix port in files below one directory:
 *
 *     records/0001   one file a record, replaced as a whole (write, sync, rename, sync directory)
 *     parts/<hex>    blobs on their way; blobs/<hex>, sealed
 *     lock           held by the one process that uses it
 */
#ifndef PROPLET_POSIX_STORE_H
#define PROPLET_POSIX_STORE_H

#include <limits.h>
#include <stdbool.h>

#include "proplet/port.h"

struct store {
	int root, records, parts, blobs, lock; /* directories, open */
	uint32_t quota;
	uint32_t used;     /* bytes of blobs and parts */
	uint32_t doubtful; /* bytes at the end of a part of an earlier boot that may not be there */
	struct touched {
		uint8_t digest[32];
	} touched[64]; /* parts this process wrote: all of them is surely there */
	unsigned touched_count;
};

/* False: it cannot be used, errno says why (EWOULDBLOCK: by another process). */
bool store_open(struct store *store, const char *path, uint32_t quota, uint32_t doubtful);
void store_close(struct store *store);

int store_get(struct store *store, uint16_t id, void *buf, size_t cap, size_t *len);
int store_put(struct store *store, uint16_t id, const void *buf, size_t len);
int store_del(struct store *store, uint16_t id);
int store_blob_have(struct store *store, const uint8_t digest[32], uint32_t *have, bool *sealed);
int store_blob_write(struct store *store, const uint8_t digest[32], uint32_t off, uint32_t total,
		     const void *data, size_t len);
int store_blob_read(struct store *store, const uint8_t digest[32], uint32_t off, void *buf,
		    size_t len);
int store_blob_seal(struct store *store, const uint8_t digest[32], uint32_t total);
int store_blob_drop(struct store *store, const uint8_t digest[32]);
int store_blob_at(struct store *store, uint32_t index, uint8_t digest[32]);
uint32_t store_blob_room(struct store *store);

#endif
