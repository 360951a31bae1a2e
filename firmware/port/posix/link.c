/* See link.h. */
#define _POSIX_C_SOURCE 200809L
#include "link.h"

#include <errno.h>
#include <mqtt_protocol.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	BASE_MS = 250,
	CAP_MS = 30000,
	CONNECT_MS = 15000,
	MISC_MS = 500,
	UNSENT_MAX = 64,
	WILL_MAX = 512
};

static uint64_t mono(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void later(struct link *link, uint64_t now)
{
	uint32_t most = BASE_MS << (link->attempts < 7 ? link->attempts : 7);

	link->attempts++;
	link->retry = now + 20 + randombytes_uniform(most < CAP_MS ? most : CAP_MS);
}

/* -- callbacks ----------------------------------------------------------------------------- */

static void on_connect(struct mosquitto *client, void *given, int code)
{
	struct link *link = given;

	(void)client;
	if (code != 0) {
		fprintf(stderr, "proplet-posix: the broker refused us: %s\n",
			mosquitto_connack_string(code));
		link->lost = true;
		return;
	}
	link->connected = true;
	link->attempts = 0;
	fprintf(stderr, "proplet-posix: connected\n");
	proplet_connected(link->proplet);
}

static void on_disconnect(struct mosquitto *client, void *given, int code)
{
	(void)client;
	(void)code;
	((struct link *)given)->lost = true;
}

static void on_message(struct mosquitto *client, void *given,
		       const struct mosquitto_message *message)
{
	struct link *link = given;
	size_t len = (size_t)message->payloadlen;

	(void)client;
	if (len > link->settings->max_payload) {
		proplet_oversize(link->proplet, message->topic, len);
	} else {
		proplet_heard(link->proplet, message->topic, message->payload, len);
	}
}

static void on_publish(struct mosquitto *client, void *given, int mid)
{
	struct link *link = given;

	(void)client;
	(void)mid;
	if (link->unsent > 0) {
		link->unsent--;
	}
}

/* -- connecting ---------------------------------------------------------------------------- */

static bool secure(struct link *link)
{
	const struct settings *settings = link->settings;

	if (!settings->tls) {
		return true;
	}
	return mosquitto_tls_set(link->client, settings->tls_ca,
				 settings->tls_ca == NULL ? "/etc/ssl/certs" : NULL,
				 settings->tls_cert, settings->tls_key,
				 NULL) == MOSQ_ERR_SUCCESS &&
	       mosquitto_tls_opts_set(link->client, 1, "tlsv1.2", NULL) == MOSQ_ERR_SUCCESS;
}

static bool prepare(struct link *link)
{
	const struct settings *settings = link->settings;
	char topic[PROPLET_TOPIC];
	uint8_t will[WILL_MAX];
	size_t len;
	int version = strcmp(settings->mqtt, "5") == 0 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311;

	if (proplet_will(link->proplet, topic, will, sizeof(will), &len) != PROPLET_OK) {
		return false;
	}
	mosquitto_int_option(link->client, MOSQ_OPT_PROTOCOL_VERSION, version);
	mosquitto_int_option(link->client, MOSQ_OPT_TCP_NODELAY, 1);
	mosquitto_connect_callback_set(link->client, on_connect);
	mosquitto_disconnect_callback_set(link->client, on_disconnect);
	mosquitto_message_callback_set(link->client, on_message);
	mosquitto_publish_callback_set(link->client, on_publish);
	return mosquitto_will_set(link->client, topic, (int)len, will, 1, true) ==
		       MOSQ_ERR_SUCCESS &&
	       (settings->username == NULL ||
		mosquitto_username_pw_set(link->client, settings->username, settings->password) ==
			MOSQ_ERR_SUCCESS) &&
	       secure(link);
}

static void forget(struct link *link, uint64_t now)
{
	bool was = link->connected;

	mosquitto_destroy(link->client);
	link->client = NULL;
	link->connected = link->lost = false;
	link->unsent = 0;
	later(link, now);
	if (was) {
		fprintf(stderr, "proplet-posix: lost the broker\n");
		proplet_disconnected(link->proplet);
	}
}

static void begin(struct link *link, uint64_t now)
{
	const struct settings *settings = link->settings;
	int code;

	link->client = mosquitto_new(settings->id, true, link);
	if (link->client == NULL) {
		later(link, now);
		return;
	}
	code = prepare(link) ? mosquitto_connect_async(link->client, settings->host, settings->port,
						       (int)(settings->keepalive / 1000))
			     : MOSQ_ERR_INVAL;
	if (code != MOSQ_ERR_SUCCESS) {
		if (link->attempts % 8 == 0) {
			fprintf(stderr, "proplet-posix: %s:%d: %s\n", settings->host,
				settings->port,
				code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code));
		}
		forget(link, now);
		return;
	}
	link->deadline = now + CONNECT_MS;
	link->miscellany = now;
}

void link_open(struct link *link, const struct settings *settings, struct proplet *proplet)
{
	mosquitto_lib_init();
	memset(link, 0, sizeof(*link));
	link->settings = settings;
	link->proplet = proplet;
	link->retry = mono();
}

/* -- the loop ------------------------------------------------------------------------------ */

uint64_t link_wants(struct link *link, struct pollfd *fd)
{
	fd->fd = -1;
	fd->events = 0;
	if (link->client == NULL) {
		return link->retry;
	}
	fd->fd = mosquitto_socket(link->client);
	fd->events = (short)(POLLIN | (mosquitto_want_write(link->client) ? POLLOUT : 0));
	return fd->fd < 0 ? 0 : link->miscellany;
}

void link_turn(struct link *link, uint64_t now, short revents)
{
	int code = MOSQ_ERR_SUCCESS;

	if (link->client == NULL) {
		if (now < link->retry) {
			return;
		}
		begin(link, now);
		return;
	}
	if ((revents & POLLOUT) != 0 || mosquitto_want_write(link->client)) {
		code = mosquitto_loop_write(link->client, 1);
	}
	if (code == MOSQ_ERR_SUCCESS && (revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
		code = mosquitto_loop_read(link->client, 1);
	}
	if (code == MOSQ_ERR_SUCCESS && now >= link->miscellany) {
		link->miscellany = now + MISC_MS;
		code = mosquitto_loop_misc(link->client);
	}
	if (code != MOSQ_ERR_SUCCESS || link->lost || mosquitto_socket(link->client) < 0 ||
	    (!link->connected && now >= link->deadline)) {
		if (!link->connected && link->attempts % 8 == 0) {
			fprintf(stderr, "proplet-posix: %s:%d: %s\n", link->settings->host,
				link->settings->port,
				code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code));
		}
		forget(link, now);
	}
}

int link_publish(struct link *link, const char *topic, const void *payload, size_t len,
		 uint8_t qos, bool retain)
{
	if (!link->connected || link->lost) {
		return PROPLET_BUSY;
	}
	if (link->unsent >= UNSENT_MAX) {
		return PROPLET_FULL;
	}
	if (mosquitto_publish(link->client, NULL, topic, (int)len, payload, qos, retain) !=
	    MOSQ_ERR_SUCCESS) {
		return PROPLET_BUSY;
	}
	link->unsent++;
	return PROPLET_OK;
}

int link_subscribe(struct link *link, const char *topic, bool again)
{
	if (!link->connected || link->lost) {
		return PROPLET_BUSY;
	}
	if (again &&
	    mosquitto_unsubscribe(link->client, NULL, topic) != MOSQ_ERR_SUCCESS) {
		return PROPLET_BUSY;
	}
	return mosquitto_subscribe(link->client, NULL, topic, 1) == MOSQ_ERR_SUCCESS ? PROPLET_OK
										    : PROPLET_BUSY;
}

void link_close(struct link *link, int ms)
{
	uint64_t end = mono() + (uint64_t)ms;

	while (link->client != NULL && link->connected && link->unsent > 0 && mono() < end) {
		struct pollfd fd;

		link_wants(link, &fd);
		poll(&fd, 1, 50);
		link_turn(link, mono(), fd.revents);
	}
	if (link->client != NULL) {
		if (link->connected) {
			mosquitto_disconnect(link->client);
			mosquitto_loop_write(link->client, 1);
		}
		mosquitto_destroy(link->client);
		link->client = NULL;
	}
	mosquitto_lib_cleanup();
}
