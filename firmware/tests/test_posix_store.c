/* The posix port's files: what is promised of records and blobs when a process or the power ends. */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"

#define CHUNK 100

static int failed, checked;

#define CHECK(holds)                                                                               \
	do {                                                                                       \
		checked++;                                                                         \
		if (!(holds)) {                                                                    \
			failed++;                                                                  \
			printf("line %d: %s\n", __LINE__, #holds);                                 \
		}                                                                                  \
	} while (0)

static const uint8_t digest[32] = {0xAB, 1, 2, 3};
static const uint8_t other[32] = {0xCD, 4};
static const char part[] =
	"parts/ab01020300000000000000000000000000000000000000000000000000000000";

static void fresh(struct store *store, const char *path)
{
	CHECK(store_open(store, path, 1000, CHUNK));
}

static void records(const char *path)
{
	struct store store;
	char buf[64];
	size_t len;
	int fd;

	fresh(&store, path);
	CHECK(store_get(&store, 1, buf, sizeof(buf), &len) == PROPLET_MISSING);
	CHECK(store_put(&store, 1, "old", 3) == PROPLET_OK);
	/* The power failed while the newer one was written: it lies beside, and nobody reads it. */
	fd = openat(store.records, "new", O_WRONLY | O_CREAT, 0600);
	CHECK(write(fd, "ne", 2) == 2);
	close(fd);
	store_close(&store);
	fresh(&store, path);
	CHECK(store_get(&store, 1, buf, sizeof(buf), &len) == PROPLET_OK && len == 3);
	CHECK(memcmp(buf, "old", 3) == 0);
	CHECK(store_put(&store, 1, "newer", 5) == PROPLET_OK);
	CHECK(store_get(&store, 1, buf, 4, &len) == PROPLET_FULL && len == 5);
	CHECK(store_get(&store, 1, buf, sizeof(buf), &len) == PROPLET_OK && len == 5);
	CHECK(store_del(&store, 1) == PROPLET_OK && store_del(&store, 1) == PROPLET_OK);
	CHECK(store_get(&store, 1, buf, sizeof(buf), &len) == PROPLET_MISSING);
	store_close(&store);
}

static void one_at_a_time(const char *path)
{
	struct store first;
	struct store second;

	fresh(&first, path);
	CHECK(!store_open(&second, path, 1000, CHUNK));
	store_close(&second);
	store_close(&first);
}

static void blobs(const char *path)
{
	struct store store;
	uint8_t data[300];
	uint8_t back[300];
	uint8_t found[32];
	uint32_t have;
	bool sealed;

	for (unsigned i = 0; i < sizeof(data); i++) {
		data[i] = (uint8_t)i;
	}
	fresh(&store, path);
	CHECK(store_blob_room(&store) == 1000);
	CHECK(store_blob_write(&store, other, 0, 1001, data, 1) == PROPLET_FULL);
	CHECK(store_blob_write(&store, digest, 1, 300, data, CHUNK) == PROPLET_REFUSED);
	CHECK(store_blob_write(&store, digest, 0, 300, data, CHUNK) == PROPLET_OK);
	CHECK(store_blob_write(&store, digest, CHUNK, 300, data + CHUNK, CHUNK) == PROPLET_OK);
	CHECK(store_blob_have(&store, digest, &have, &sealed) == PROPLET_OK && have == 2 * CHUNK);
	CHECK(!sealed && store_blob_room(&store) == 800);
	CHECK(store_blob_seal(&store, digest, 300) == PROPLET_REFUSED);
	store_close(&store);

	/* The power failed in the last write: the file is long, its end is holes. What is told is
	 * less than that, and the download goes on there. */
	fresh(&store, path);
	CHECK(ftruncate(openat(store.root, part, O_WRONLY), 2 * CHUNK + 50) == 0);
	CHECK(store_blob_have(&store, digest, &have, &sealed) == PROPLET_OK);
	CHECK(have == CHUNK + 50);
	CHECK(store_blob_write(&store, digest, have + 1, 300, data, 1) == PROPLET_REFUSED);
	CHECK(store_blob_write(&store, digest, have, 300, data + have, 300 - have) == PROPLET_OK);
	CHECK(store_blob_have(&store, digest, &have, &sealed) == PROPLET_OK && have == 300);
	CHECK(store_blob_seal(&store, digest, 300) == PROPLET_OK);
	CHECK(store_blob_seal(&store, digest, 300) == PROPLET_OK);
	store_close(&store);

	fresh(&store, path);
	CHECK(store_blob_room(&store) == 700);
	CHECK(store_blob_have(&store, digest, &have, &sealed) == PROPLET_OK && sealed);
	CHECK(have == 300);
	CHECK(store_blob_read(&store, digest, 0, back, 300) == PROPLET_OK);
	CHECK(memcmp(back, data, 300) == 0);
	CHECK(store_blob_read(&store, digest, 250, back, 51) == PROPLET_MISSING);
	CHECK(store_blob_write(&store, digest, 0, 300, data, 1) == PROPLET_OK);
	CHECK(store_blob_seal(&store, other, 0) == PROPLET_OK);
	CHECK(store_blob_at(&store, 0, found) == PROPLET_OK);
	CHECK(store_blob_at(&store, 1, found) == PROPLET_OK);
	CHECK(store_blob_at(&store, 2, found) == PROPLET_MISSING);
	CHECK(store_blob_drop(&store, digest) == PROPLET_OK);
	CHECK(store_blob_have(&store, digest, &have, &sealed) == PROPLET_OK && have == 0);
	CHECK(store_blob_room(&store) == 1000);
	store_close(&store);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		return 2;
	}
	records(argv[1]);
	one_at_a_time(argv[1]);
	blobs(argv[1]);
	printf("%d checked, %d failed\n", checked, failed);
	return failed != 0;
}
