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
	IDENTITY_CERT_KEY,
	IDENTITY_SNTP, /* a time server */
	IDENTITY_SSID, /* of a board with Wi-Fi */
	IDENTITY_PSK,
	IDENTITY_BOX /* what secrets are sealed to: the private key, 32 bytes */
};

#define IDENTITY_LABELS_MAX 16

struct identity {
	char id[65], domain[65], channel[65], host[128], root[128], labels[256], sntp[128];
	uint16_t port;
	struct {
		const char *name, *value;
	} label[IDENTITY_LABELS_MAX];
	unsigned label_count;
};

/* Reads what is stored. False while id, broker (host:port) or root is missing. */
bool identity_read(struct identity *identity);

/* One setting, terminated: of a native board's environment, of NVS, of Kconfig. False: it is longer
 * than `size`. */
bool identity_text(uint16_t record, char *to, size_t size);

/* The name of a setting as the shell has it, 0 where there is none: id, domain, ... */
uint16_t identity_record(const char *name);

#endif
