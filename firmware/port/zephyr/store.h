/* Records in NVS, blobs in littlefs: partitions `proplet_records` and `proplet_blobs`. */
#ifndef PROPLET_ZEPHYR_STORE_H
#define PROPLET_ZEPHYR_STORE_H

#include <stdbool.h>

#include "proplet/port.h"

#define STORE_ROOT "/proplet" /* of littlefs; blobs lie in p and b below */

bool store_open(void);

/* Erases both partitions: the device has no key, no name and no modules after its next start. */
bool store_erase(void);

int store_get(uint16_t id, void *buf, size_t cap, size_t *len);
int store_put(uint16_t id, const void *buf, size_t len);
int store_del(uint16_t id);

/* Fills the slots of records and blobs. */
void store_fill(struct proplet_port *port);

#endif
