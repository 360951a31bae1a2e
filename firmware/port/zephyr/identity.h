/* Who this device is: set by the shell and kept in NVS, else by Kconfig. */
#ifndef PROPLET_ZEPHYR_IDENTITY_H
#define PROPLET_ZEPHYR_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "proplet/port.h"

/* Records of the port. */
enum {
	IDENTITY_ID = PROPLET_REC_PORT,
	IDENTITY_DOMAIN,
	IDENTITY_CHANNEL,
	IDENTITY_BROKER,
	IDENTITY_ROOT,
	IDENTITY_LABELS,
	IDENTITY_KEY, /* the device's private key, 32 bytes */
	IDENTITY_CA,  /* PEM, for TLS */
	IDENTITY_CERT,
	IDENTITY_CERT_KEY
};

#define IDENTITY_LABELS_MAX 16

struct identity {
	char id[65], domain[65], channel[65], host[128], root[128], labels[256];
	uint16_t port;
	struct {
		const char *name, *value;
	} label[IDENTITY_LABELS_MAX];
	unsigned label_count;
};

/* Reads what is stored. False, and said in the log, while something is missing. */
bool identity_read(struct identity *identity);

/* The name of a setting as the shell has it, 0 where there is none: id, domain, ... */
uint16_t identity_record(const char *name);

#endif
