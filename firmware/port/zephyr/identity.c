/* See identity.h. */
#include "identity.h"

#include <stdlib.h>
#include <string.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>

#include "store.h"

LOG_MODULE_REGISTER(proplet_identity);

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

static void text(uint16_t record, char *to, size_t size)
{
	size_t len;

	if (from_environment(record, to, size)) {
		return;
	}
	if (store_get(record, to, size - 1, &len) == PROPLET_OK) {
		to[len] = '\0';
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (settings[i].record == record) {
			strncpy(to, settings[i].usual, size - 1);
			to[size - 1] = '\0';
		}
	}
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

	text(IDENTITY_ID, identity->id, sizeof(identity->id));
	text(IDENTITY_DOMAIN, identity->domain, sizeof(identity->domain));
	text(IDENTITY_CHANNEL, identity->channel, sizeof(identity->channel));
	text(IDENTITY_BROKER, identity->host, sizeof(identity->host));
	text(IDENTITY_ROOT, identity->root, sizeof(identity->root));
	text(IDENTITY_LABELS, identity->labels, sizeof(identity->labels));
	split_labels(identity);
	colon = strrchr(identity->host, ':');
	if (identity->id[0] == '\0' || identity->root[0] == '\0' || colon == NULL) {
		LOG_ERR("not set up: the shell's `proplet set` names id, broker (host:port) and root");
		return false;
	}
	*colon = '\0';
	identity->port = (uint16_t)atoi(colon + 1);
	return true;
}
