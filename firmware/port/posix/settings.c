/* See settings.h. */
#define _POSIX_C_SOURCE 200809L
#include "settings.h"

#include <errno.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum kind { TEXT, FILE_NAME, DURATION, SIZE, NUMBER, LABEL, MOUNT, SENSOR, OUTPUT, IGNORED };

struct setting {
	const char *key;  /* in the file */
	const char *flag; /* after -- */
	enum kind kind;
	size_t offset;
	const char *usual;
};

#define AT(member) offsetof(struct settings, member)

static const struct setting known[] = {
	{"id", "id", TEXT, AT(id), NULL},
	{"domain", "domain", TEXT, AT(domain), "local"},
	{"channel", "channel", TEXT, AT(channel), "fleet"},
	{"broker", "broker", TEXT, AT(broker), "127.0.0.1:1883"},
	{"mqtt", "mqtt", TEXT, AT(mqtt), "3.1.1"},
	{"username", "username", TEXT, AT(username), NULL},
	{"password", "password", TEXT, AT(password), NULL},
	{"passwordFile", "password-file", FILE_NAME, AT(password_file), NULL},
	{"tlsCa", "tls-ca", FILE_NAME, AT(tls_ca), NULL},
	{"tlsCert", "tls-cert", FILE_NAME, AT(tls_cert), NULL},
	{"tlsKey", "tls-key", FILE_NAME, AT(tls_key), NULL},
	{"keepalive", "keepalive", DURATION, AT(keepalive), "30s"},
	{"data", "data", FILE_NAME, AT(data), "/var/lib/proplet"},
	{"trust", "trust", FILE_NAME, AT(trust), NULL},
	{"key", "key", FILE_NAME, AT(key), NULL},
	{"boxKey", "box-key", FILE_NAME, AT(box_key), NULL},
	{"label", "label", LABEL, 0, NULL},
	{"labels", "labels", LABEL, 0, NULL},
	{"heartbeat", "heartbeat", DURATION, AT(heartbeat), "30s"},
	{"grace", "grace", DURATION, AT(grace), "2s"},
	{"debounce", "debounce", DURATION, AT(debounce), "50ms"},
	{"tasks", "tasks", NUMBER, AT(tasks), "4"},
	{"memory", "memory", SIZE, AT(memory), "128MiB"},
	{"storage", "storage", SIZE, AT(storage), "16MiB"},
	{"maxModule", "max-module", SIZE, AT(max_module), "4MiB"},
	{"maxPayload", "max-payload", SIZE, AT(max_payload), "4KiB"},
	{"chunk", "chunk", SIZE, AT(chunk), "0"},
	{"window", "window", NUMBER, AT(window), "2"},
	{"output", "output", SIZE, AT(output), "64KiB"},
	{"engine", "engine", TEXT, AT(engine), NULL},
	{"aot", "aot", TEXT, AT(aot), "Never"},
	{"mounts", "mount", MOUNT, 0, NULL},
	{"sensors", "sensor", SENSOR, 0, NULL},
	{"outputs", "output-point", OUTPUT, 0, NULL},
	{"flMemory", "fl-memory", SIZE, AT(learning), "64MiB"},
	/* Of the Linux proplet, and of no use here: the same file serves both. */
	{"logLevel", "log-level", IGNORED, 0, NULL},
	{"fetch", "fetch", IGNORED, 0, NULL},
	{"plainHttp", "plain-http", IGNORED, 0, NULL},
	{"ociLayout", "oci-layout", IGNORED, 0, NULL},
	{"flSamples", "fl-samples", IGNORED, 0, NULL},
	{"flLogs", "fl-logs", IGNORED, 0, NULL},
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

static bool fault(const char *where, const char *key, const char *words)
{
	fprintf(stderr, "proplet-posix: %s: %s: %s\n", where, key, words);
	return false;
}

static bool read_scaled(const char *text, bool duration, uint64_t *out)
{
	static const struct {
		const char *name;
		bool duration;
		uint64_t factor;
	} units[] = {
		{"ms", true, 1},          {"s", true, 1000},       {"m", true, 60000},
		{"h", true, 3600000},     {"d", true, 86400000},   {"", true, 1000},
		{"", false, 1},           {"B", false, 1},         {"KiB", false, 1024},
		{"MiB", false, 1U << 20}, {"GiB", false, 1U << 30},
	};
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (end == text || errno != 0 || *text == '-' || number > 1000000000000ULL) {
		return false;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].duration == duration && strcmp(end, units[i].name) == 0) {
			*out = number * units[i].factor;
			return true;
		}
	}
	return false;
}

static char *copy(const char *text)
{
	char *made = strdup(text);

	if (made == NULL) {
		abort();
	}
	return made;
}

static char *beside(const char *directory, const char *path)
{
	size_t size = strlen(path) + 1;
	char *made;

	if (directory == NULL || *path == '/') {
		return copy(path);
	}
	size += strlen(directory) + 1;
	made = malloc(size);
	if (made == NULL) {
		abort();
	}
	snprintf(made, size, "%s/%s", directory, path);
	return made;
}

static bool set_label(struct settings *settings, const char *where, const char *text)
{
	char *name = copy(text);
	char *value = strchr(name, '=');

	if (value == NULL || settings->label_count == LABELS_MAX) {
		return fault(where, "labels", value == NULL ? "wanted name=value" : "too many");
	}
	*value++ = '\0';
	for (unsigned i = 0; i < settings->label_count; i++) {
		if (strcmp(settings->labels[i].name, name) == 0) {
			settings->labels[i].value = value;
			return true;
		}
	}
	settings->labels[settings->label_count++] = (struct proplet_label){name, value};
	return true;
}

/* name=directory, with :ro or :rw behind it: no guest writes there, whatever it says. */
static bool set_mount(struct settings *settings, const char *where, const char *directory,
		      const char *text)
{
	char *name = copy(text);
	char *path = strchr(name, '=');
	size_t size;

	if (path == NULL || path == name || path[1] == '\0') {
		return fault(where, "mounts", "wanted name=directory");
	}
	*path++ = '\0';
	size = strlen(path);
	if (size > 3 && (strcmp(path + size - 3, ":ro") == 0 || strcmp(path + size - 3, ":rw") == 0)) {
		path[size - 3] = '\0';
	}
	if (settings->mount_count == MOUNTS_MAX) {
		return fault(where, "mounts", "too many");
	}
	settings->mounts[settings->mount_count] = name;
	settings->directories[settings->mount_count++] = beside(directory, path);
	return true;
}

static bool set(struct settings *settings, const struct setting *setting, const char *where,
		const char *directory, const char *text)
{
	void *to = (char *)settings + setting->offset;
	const char *why;

	switch (setting->kind) {
	case TEXT:
		*(const char **)to = copy(text);
		return true;
	case FILE_NAME:
		*(const char **)to = beside(directory, text);
		return true;
	case DURATION:
		return read_scaled(text, true, to) ||
		       fault(where, setting->key, "wanted a duration such as 500ms, 10s or 5m");
	case SIZE:
		return read_scaled(text, false, to) ||
		       fault(where, setting->key, "wanted a size such as 64KiB or 256MiB");
	case NUMBER:
		return (read_scaled(text, false, to) && strchr(text, 'B') == NULL) ||
		       fault(where, setting->key, "wanted a number");
	case LABEL:
		return set_label(settings, where, text);
	case MOUNT:
		return set_mount(settings, where, directory, text);
	case SENSOR:
	case OUTPUT:
		return points_add(&settings->points, setting->kind == OUTPUT, text, &why) ||
		       fault(where, setting->key, why);
	case IGNORED:
		return true;
	}
	return false;
}

static const struct setting *by_key(const char *key)
{
	for (size_t i = 0; i < KNOWN; i++) {
		if (strcmp(known[i].key, key) == 0) {
			return &known[i];
		}
	}
	return NULL;
}

static const char *scalar(yaml_document_t *document, int item)
{
	yaml_node_t *node = yaml_document_get_node(document, item);

	return node != NULL && node->type == YAML_SCALAR_NODE
		       ? (const char *)node->data.scalar.value
		       : NULL;
}

/* A mapping or a list of labels, mounts or points. */
static bool many(struct settings *settings, const struct setting *setting,
		 yaml_document_t *document, yaml_node_t *node, const char *path,
		 const char *directory)
{
	char text[512];

	if (node->type == YAML_SEQUENCE_NODE) {
		for (int *item = node->data.sequence.items.start;
		     item < node->data.sequence.items.top; item++) {
			const char *one = scalar(document, *item);

			if (one == NULL) {
				return fault(path, setting->key, "wanted texts");
			}
			if (!set(settings, setting, path, directory, one)) {
				return false;
			}
		}
		return true;
	}
	if (node->type != YAML_MAPPING_NODE) {
		return fault(path, setting->key, "wanted a list or a mapping");
	}
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const char *name = scalar(document, pair->key);
		const char *value = scalar(document, pair->value);

		if (name == NULL || value == NULL) {
			return fault(path, setting->key, "wanted texts");
		}
		snprintf(text, sizeof(text), "%s=%s", name, value);
		if (!set(settings, setting, path, directory, text)) {
			return false;
		}
	}
	return true;
}

static bool take_document(struct settings *settings, yaml_document_t *document, const char *path,
			  const char *directory)
{
	yaml_node_t *root = yaml_document_get_root_node(document);

	if (root == NULL) {
		return true;
	}
	if (root->type != YAML_MAPPING_NODE) {
		return fault(path, "", "not a mapping of settings");
	}
	for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
	     pair < root->data.mapping.pairs.top; pair++) {
		const char *key = scalar(document, pair->key);
		const struct setting *setting = key == NULL ? NULL : by_key(key);
		yaml_node_t *node = yaml_document_get_node(document, pair->value);
		const char *text = scalar(document, pair->value);

		if (setting == NULL || node == NULL) {
			return fault(path, key == NULL ? "" : key, "unknown setting");
		}
		if (setting->kind >= LABEL && setting->kind <= OUTPUT) {
			if (!many(settings, setting, document, node, path, directory)) {
				return false;
			}
		} else if (setting->kind != IGNORED) {
			if (text == NULL) {
				return fault(path, key, "wanted a single value");
			}
			if (!set(settings, setting, path, directory, text)) {
				return false;
			}
		}
	}
	return true;
}

static bool read_file(struct settings *settings, const char *path)
{
	FILE *file = fopen(path, "rb");
	char *name = copy(path);
	yaml_parser_t parser;
	yaml_document_t document;
	bool fine = false;

	if (file == NULL) {
		free(name);
		return fault(path, "", strerror(errno));
	}
	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_file(&parser, file);
		if (yaml_parser_load(&parser, &document)) {
			fine = take_document(settings, &document, path, dirname(name));
			yaml_document_delete(&document);
		} else {
			fault(path, "", parser.problem == NULL ? "not YAML" : parser.problem);
		}
		yaml_parser_delete(&parser);
	}
	fclose(file);
	free(name);
	return fine;
}

static bool read_flags(struct settings *settings, int argc, char **argv)
{
	const char *where = "command line";

	for (int at = 1; at < argc; at++) {
		const struct setting *found = NULL;

		if (strcmp(argv[at], "--check-config") == 0) {
			settings->check_config = true;
			continue;
		}
		if (strncmp(argv[at], "--", 2) != 0 || at + 1 == argc) {
			return fault(where, argv[at], "wanted --flag VALUE");
		}
		if (strcmp(argv[at], "--config") == 0) {
			at++;
			continue;
		}
		for (size_t i = 0; i < KNOWN; i++) {
			if (strcmp(known[i].flag, argv[at] + 2) == 0) {
				found = &known[i];
			}
		}
		if (found == NULL) {
			return fault(where, argv[at], "unknown flag");
		}
		if (!set(settings, found, where, NULL, argv[++at])) {
			return false;
		}
	}
	return true;
}

static bool take_broker(struct settings *settings)
{
	const char *address = settings->broker;
	const char *colon;
	unsigned long port;
	char *end;

	settings->tls = settings->tls_ca != NULL;
	if (strncmp(address, "mqtts://", 8) == 0) {
		settings->tls = true;
		address += 8;
	} else if (strncmp(address, "mqtt://", 7) == 0) {
		address += 7;
	}
	colon = strrchr(address, ':');
	if (colon == NULL || colon == address) {
		return fault("settings", "broker", "wanted host:port");
	}
	port = strtoul(colon + 1, &end, 10);
	if (port == 0 || port > 65535 || *end != '\0') {
		return fault("settings", "broker", "wanted host:port");
	}
	settings->port = (uint16_t)port;
	settings->host = copy(*address == '[' ? address + 1 : address);
	settings->host[(size_t)(colon - address) - (*address == '[' ? 2 : 0)] = '\0';
	return true;
}

static bool take_password(struct settings *settings)
{
	char line[512];
	FILE *file;

	if (settings->password != NULL || settings->password_file == NULL) {
		return true;
	}
	file = fopen(settings->password_file, "r");
	if (file == NULL || fgets(line, sizeof(line), file) == NULL) {
		if (file != NULL) {
			fclose(file);
		}
		return fault("settings", "passwordFile", "cannot be read");
	}
	fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	settings->password = copy(line);
	return true;
}

static bool check(struct settings *settings)
{
	if (settings->id == NULL) {
		return fault("settings", "id", "missing: this proplet needs a name");
	}
	if (settings->trust == NULL) {
		return fault("settings", "trust",
			     "missing: without the root's public key no document could be believed");
	}
	if (strcmp(settings->aot, "Never") != 0 && strcmp(settings->aot, "Allowed") != 0) {
		return fault("settings", "aot", "wanted Never or Allowed");
	}
	if ((settings->tls_cert == NULL) != (settings->tls_key == NULL)) {
		return fault("settings", "tlsCert", "a certificate and its key come together");
	}
	if (settings->tasks == 0 || settings->tasks > 32) {
		return fault("settings", "tasks", "1 to 32");
	}
	if (settings->max_payload < 512 || settings->max_payload > (1 << 20)) {
		return fault("settings", "maxPayload", "512 bytes to 1MiB");
	}
	if (settings->chunk == 0) {
		settings->chunk = settings->max_payload - 256;
	}
	if (settings->chunk + 56 > settings->max_payload || settings->window == 0 ||
	    settings->window > 4) {
		return fault("settings", "chunk",
			     "at most maxPayload less 56 bytes, in a window of 1 to 4");
	}
	return take_broker(settings) && take_password(settings);
}

bool settings_read(struct settings *settings, int argc, char **argv)
{
	memset(settings, 0, sizeof(*settings));
	for (size_t i = 0; i < KNOWN; i++) {
		if (known[i].usual != NULL &&
		    !set(settings, &known[i], "default", NULL, known[i].usual)) {
			return false;
		}
	}
	for (int at = 1; at + 1 < argc; at++) {
		if (strcmp(argv[at], "--config") == 0 && !read_file(settings, argv[at + 1])) {
			return false;
		}
	}
	return read_flags(settings, argc, argv) && check(settings);
}
