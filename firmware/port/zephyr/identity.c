/* See identity.h. */
#include "identity.h"

#include <stdlib.h>
#include <string.h>
#include <zephyr/kernel.h>

#include "store.h"

static const struct {
	const char *name;
	uint16_t record;
	const char *usual;
} settings[] = {
	{"id", IDENTITY_ID, CONFIG_PROPLET_ID},
	{"domain", IDENTITY_DOMAIN, CONFIG_PROPLET_DOMAIN},
	{"channel", IDENTITY_CHANNEL, CONFIG_PROPLET_CHANNEL},
	{"broker", IDENTITY_BROKER, CONFIG_PROPLET_BROKER},
	{"root", IDENTITY_ROOT, CONFIG_PROPLET_ROOT},
	{"labels", IDENTITY_LABELS, CONFIG_PROPLET_LABELS},
	{"ca", IDENTITY_CA, ""},
	{"cert", IDENTITY_CERT, ""},
	{"certkey", IDENTITY_CERT_KEY, ""},
	{"sntp", IDENTITY_SNTP, CONFIG_PROPLET_SNTP_SERVER},
	{"ssid", IDENTITY_SSID, ""},
	{"psk", IDENTITY_PSK, ""},
};

uint16_t identity_record(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (strcmp(settings[i].name, name) == 0) {
			return settings[i].record;
		}
	}
	return 0;
}

#if defined(CONFIG_ARCH_POSIX)
/* A native board is a process: PROPLET_ID, PROPLET_BROKER, ... of its environment come first. */
static bool from_environment(uint16_t record, char *to, size_t size)
{
	char name[32] = "PROPLET_";
	size_t at = strlen(name);
	const char *value;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		for (const char *c = settings[i].name; settings[i].record == record && *c; c++) {
			name[at++] = (char)(*c - ('a' - 'A'));
		}
	}
	value = getenv(name);
	if (value == NULL || strlen(value) >= size) {
		return false;
	}
	strcpy(to, value);
	return true;
}
#else
static bool from_environment(uint16_t record, char *to, size_t size)
{
	ARG_UNUSED(record);
	ARG_UNUSED(to);
	ARG_UNUSED(size);
	return false;
}
#endif

bool identity_text(uint16_t record, char *to, size_t size)
{
	size_t len;
	int found;

	if (from_environment(record, to, size)) {
		return true;
	}
	found = store_get(record, to, size - 1, &len);
	if (found == PROPLET_OK) {
		to[len] = '\0';
		return true;
	}
	to[0] = '\0';
	for (size_t i = 0; found == PROPLET_MISSING && i < ARRAY_SIZE(settings); i++) {
		if (settings[i].record == record) {
			strncpy(to, settings[i].usual, size - 1);
			to[size - 1] = '\0';
		}
	}
	return found == PROPLET_MISSING;
}

static void split_labels(struct identity *identity)
{
	char *at = identity->labels;

	identity->label_count = 0;
	while (*at != '\0' && identity->label_count < IDENTITY_LABELS_MAX) {
		char *end = strchr(at, ',');
		char *equals = strchr(at, '=');

		if (end != NULL) {
			*end = '\0';
		}
		if (equals != NULL && (end == NULL || equals < end)) {
			*equals = '\0';
			identity->label[identity->label_count].name = at;
			identity->label[identity->label_count++].value = equals + 1;
		}
		if (end == NULL) {
			return;
		}
		at = end + 1;
	}
}

bool identity_read(struct identity *identity)
{
	char *colon;

	identity_text(IDENTITY_ID, identity->id, sizeof(identity->id));
	identity_text(IDENTITY_DOMAIN, identity->domain, sizeof(identity->domain));
	identity_text(IDENTITY_CHANNEL, identity->channel, sizeof(identity->channel));
	identity_text(IDENTITY_BROKER, identity->host, sizeof(identity->host));
	identity_text(IDENTITY_ROOT, identity->root, sizeof(identity->root));
	identity_text(IDENTITY_LABELS, identity->labels, sizeof(identity->labels));
	identity_text(IDENTITY_SNTP, identity->sntp, sizeof(identity->sntp));
	split_labels(identity);
	colon = strrchr(identity->host, ':');
	identity->port = colon == NULL ? 0 : (uint16_t)atoi(colon + 1);
	if (colon != NULL) {
		*colon = '\0';
	}
	return identity->id[0] != '\0' && identity->root[0] != '\0' && identity->port != 0;
}
