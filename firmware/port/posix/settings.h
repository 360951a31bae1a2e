/*
 * What the posix port is told: `proplet.yaml`, the file the Linux proplet takes too, and flags over
 * it. Durations are 500ms, 10s, 5m (a bare number is seconds), sizes 64KiB, 1GiB.
 */
#ifndef PROPLET_POSIX_SETTINGS_H
#define PROPLET_POSIX_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "pointfiles.h"
#include "proplet/device.h"

#define LABELS_MAX 32
#define MOUNTS_MAX 8

struct settings {
	const char *id, *domain, *channel, *broker, *mqtt, *username, *password, *password_file;
	const char *tls_ca, *tls_cert, *tls_key, *data, *trust, *key, *box_key, *engine, *aot;
	uint64_t keepalive; /* ms, as all durations */
	uint64_t heartbeat, grace, debounce;
	uint64_t tasks, memory, storage, max_module, max_payload, chunk, window, output, learning;
	bool check_config;
	struct proplet_label labels[LABELS_MAX];
	unsigned label_count;
	/* Directories for guests that train. */
	const char *mounts[MOUNTS_MAX], *directories[MOUNTS_MAX];
	unsigned mount_count;
	struct points points; /* sensors and outputs for guests */

	char *host; /* of broker */
	uint16_t port;
	bool tls;
};

/* Reads argv and the file it names. On false a message for people was written to stderr. Texts
 * live as long as the process. */
bool settings_read(struct settings *settings, int argc, char **argv);

#endif
