/* See link.h. */
#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/net/mqtt.h>
#include <zephyr/net/socket.h>
#if defined(CONFIG_PROPLET_TLS)
#include <zephyr/net/tls_credentials.h>
#endif

#if defined(CONFIG_PROPLET_TLS)
#include "certs.h"
#endif
#include "clock.h"
#include "compat.h"
#include "keys.h"

LOG_MODULE_REGISTER(proplet_link, CONFIG_PROPLET_LOG_LEVEL);

enum {
	BASE_MS = 250,
	CAP_MS = 30000,
	CONNECT_MS = 15000,
	FLYING_MAX = 8,
	WILL_MAX = 256
};

static struct {
	const struct identity *identity;
	struct proplet *proplet;
	struct mqtt_client client;
	struct COMPAT_SOCKADDR_STORAGE broker;
	struct mqtt_topic will_topic;
	struct mqtt_utf8 will_message;
	char will_name[PROPLET_TOPIC];
	uint8_t will[WILL_MAX];
	char topic[PROPLET_TOPIC];
	uint8_t payload[CONFIG_PROPLET_MAX_PAYLOAD];
	uint8_t receive[PROPLET_TOPIC + 32];
	uint8_t transmit[PROPLET_TOPIC + WILL_MAX + 128];
	bool open, connected;
	unsigned attempts, flying;
	uint16_t last_id;
	int64_t retry, deadline;
} link;

static void later(void)
{
	uint32_t most = BASE_MS << MIN(link.attempts, 7U);
	uint32_t chance = 0;

	keys_random(NULL, &chance, sizeof(chance));
	link.attempts++;
	link.retry = k_uptime_get() + 20 + chance % MIN(most, (uint32_t)CAP_MS);
}

/* -- what comes ---------------------------------------------------------------------------- */

/* Reads the payload that waits into `to`, or past it. False: the connection is broken. */
static bool read_payload(uint8_t *to, size_t len)
{
	uint8_t scrap[64];

	while (len > 0) {
		size_t piece = to != NULL ? len : MIN(len, sizeof(scrap));
		int got = mqtt_read_publish_payload_blocking(&link.client, to ? to : scrap, piece);

		if (got <= 0) {
			return false;
		}
		to = to != NULL ? to + got : NULL;
		len -= (size_t)got;
	}
	return true;
}

static void hear(const struct mqtt_publish_param *message)
{
	const struct mqtt_utf8 *name = &message->message.topic.topic;
	size_t len = message->message.payload.len;
	bool fits = len <= sizeof(link.payload);
	bool known = name->size < sizeof(link.topic);

	if (known) {
		memcpy(link.topic, name->utf8, name->size);
		link.topic[name->size] = '\0';
	}
	if (!read_payload(fits ? link.payload : NULL, len)) {
		return; /* mqtt_input tells of the end */
	}
	if (known && fits) {
		proplet_heard(link.proplet, link.topic, link.payload, len);
	} else if (known) {
		proplet_oversize(link.proplet, link.topic, len);
	}
	if (message->message.topic.qos == MQTT_QOS_1_AT_LEAST_ONCE) {
		const struct mqtt_puback_param ack = {.message_id = message->message_id};

		mqtt_publish_qos1_ack(&link.client, &ack);
	}
}

static void on_event(struct mqtt_client *client, const struct mqtt_evt *event)
{
	ARG_UNUSED(client);
	switch (event->type) {
	case MQTT_EVT_CONNACK:
		if (event->result != 0) {
			LOG_WRN("the broker refused us: %d", event->result);
			return;
		}
		link.connected = true;
		link.attempts = 0;
		link.flying = 0;
		LOG_INF("connected");
		proplet_connected(link.proplet);
		return;
	case MQTT_EVT_DISCONNECT:
		link.open = false;
		return;
	case MQTT_EVT_PUBLISH:
		hear(&event->param.publish);
		return;
	case MQTT_EVT_PUBACK:
		link.flying -= link.flying > 0;
		return;
	default:
		return;
	}
}

/* -- connecting ---------------------------------------------------------------------------- */

static bool resolve(void)
{
	struct zsock_addrinfo hints = {.ai_family = COMPAT_AF_INET,
				       .ai_socktype = COMPAT_SOCK_STREAM};
	struct zsock_addrinfo *found;
	char port[8];
	int error;

	snprintf(port, sizeof(port), "%u", link.identity->port);
	error = zsock_getaddrinfo(link.identity->host, port, &hints, &found);
	if (error != 0) {
		LOG_WRN("%s has no address: %d", link.identity->host, error);
		return false;
	}
	memcpy(&link.broker, found->ai_addr, found->ai_addrlen);
	zsock_freeaddrinfo(found);
	return true;
}

#if defined(CONFIG_PROPLET_TLS)
enum {
	TLS_NONE, /* no CA: the connection is not TLS */
	TLS_READY,
	TLS_BROKEN
};

/* Hands one file of the bundle to Zephyr, which keeps no copy. False: there is one, and it cannot be
 * used: better no connection than one without it. */
static bool credential(uint16_t record, enum tls_credential_type type, bool *there)
{
	static char pem[3][CONFIG_PROPLET_PEM];
	static unsigned used;
	int error;

	*there = false;
	if (used == ARRAY_SIZE(pem) || !identity_text(record, pem[used], sizeof(pem[0]))) {
		LOG_ERR("a certificate or key is larger than CONFIG_PROPLET_PEM");
		return false;
	}
	if (pem[used][0] == '\0') {
		return true;
	}
	*there = true;
	error = tls_credential_add(CONFIG_PROPLET_TLS_TAG, type, pem[used],
				   strlen(pem[used]) + 1); /* PEM counts its terminator */
	used++;
	return error == 0;
}

static int read_credentials(void)
{
	bool ca, cert, key;

	if (!credential(IDENTITY_CA, TLS_CREDENTIAL_CA_CERTIFICATE, &ca) ||
	    !credential(IDENTITY_CERT, COMPAT_OWN_CERTIFICATE, &cert) ||
	    !credential(IDENTITY_CERT_KEY, TLS_CREDENTIAL_PRIVATE_KEY, &key)) {
		return TLS_BROKEN;
	}
	if (cert != key || (cert && !ca)) {
		LOG_ERR("ca, cert and certkey belong together");
		return TLS_BROKEN;
	}
	return ca ? TLS_READY : TLS_NONE;
}

static int secure(void)
{
	static sec_tag_t tags[] = {CONFIG_PROPLET_TLS_TAG};
	static int known = -1;
	struct mqtt_sec_config *tls = &link.client.transport.tls.config;

	if (known < 0) {
		known = read_credentials();
	}
	if (known == TLS_READY) {
		link.client.transport.type = MQTT_TRANSPORT_SECURE;
		tls->peer_verify = COMPAT_PEER_VERIFY_REQUIRED;
		tls->sec_tag_list = tags;
		tls->sec_tag_count = ARRAY_SIZE(tags);
		tls->hostname = link.identity->host;
	}
	return known;
}
#endif

static bool prepare(void)
{
	struct mqtt_client *client = &link.client;
	size_t len;

	if (proplet_will(link.proplet, link.will_name, link.will, sizeof(link.will), &len) !=
	    PROPLET_OK) {
		return false;
	}
	mqtt_client_init(client);
	client->broker = &link.broker;
	client->evt_cb = on_event;
	client->client_id.utf8 = (const uint8_t *)link.identity->id;
	client->client_id.size = strlen(link.identity->id);
	client->protocol_version = MQTT_VERSION_3_1_1;
	client->clean_session = 1;
	client->rx_buf = link.receive;
	client->rx_buf_size = sizeof(link.receive);
	client->tx_buf = link.transmit;
	client->tx_buf_size = sizeof(link.transmit);
	link.will_topic.topic.utf8 = (const uint8_t *)link.will_name;
	link.will_topic.topic.size = strlen(link.will_name);
	link.will_topic.qos = MQTT_QOS_1_AT_LEAST_ONCE;
	link.will_message.utf8 = link.will;
	link.will_message.size = len;
	client->will_topic = &link.will_topic;
	client->will_message = &link.will_message;
	client->will_retain = 1;
	client->transport.type = MQTT_TRANSPORT_NON_SECURE;
#if defined(CONFIG_PROPLET_TLS)
	if (secure() == TLS_BROKEN) {
		return false;
	}
#endif
	return true;
}

static void forget(void)
{
	bool was = link.connected;

	link.open = link.connected = false;
	later();
	if (was) {
		LOG_WRN("lost the broker");
		proplet_disconnected(link.proplet);
	}
}

static void begin(void)
{
	int error;

	if (!resolve() || !prepare()) {
		later();
		return;
	}
#if defined(CONFIG_PROPLET_TLS)
	if (link_secure()) { /* the broker is found, so the time server may be: it is asked first */
		clock_turn(link.identity->sntp);
		certs_begin(link.proplet);
	}
#endif
	error = mqtt_connect(&link.client);
	if (error != 0) {
		LOG_WRN("%s:%u does not answer: %d", link.identity->host, link.identity->port,
			error);
		later();
		return;
	}
	link.open = true;
	link.deadline = k_uptime_get() + CONNECT_MS;
}

void link_open(const struct identity *identity, struct proplet *proplet)
{
	link.identity = identity;
	link.proplet = proplet;
	link.retry = k_uptime_get();
}

bool link_connected(void)
{
	return link.connected;
}

bool link_secure(void)
{
#if defined(CONFIG_PROPLET_TLS)
	return link.client.transport.type == MQTT_TRANSPORT_SECURE;
#else
	return false;
#endif
}

/* -- the loop ------------------------------------------------------------------------------ */

static int socket_of(void)
{
#if defined(CONFIG_PROPLET_TLS)
	if (link_secure()) {
		return link.client.transport.tls.sock;
	}
#endif
	return link.client.transport.tcp.sock;
}

void link_turn(int64_t until)
{
	int64_t now = k_uptime_get();
	int pause = until <= now ? 0 : (int)MIN(until - now, 1000);
	struct zsock_pollfd fd = {.events = ZSOCK_POLLIN};
	int error = 0;

	if (!link.open) {
		if (now >= link.retry) {
			begin();
		} else {
			k_sleep(K_MSEC(MIN(pause, (int)(link.retry - now))));
		}
		return;
	}
	fd.fd = socket_of();
	if (zsock_poll(&fd, 1, pause) < 0) {
		error = -errno;
	}
	if (error == 0 && (fd.revents & ZSOCK_POLLIN) != 0) {
		error = mqtt_input(&link.client);
	}
	if (error == 0 && (fd.revents & (ZSOCK_POLLERR | ZSOCK_POLLHUP | ZSOCK_POLLNVAL)) != 0) {
		error = -ECONNRESET;
	}
	if (error == 0) {
		error = mqtt_live(&link.client);
		error = error == -EAGAIN ? 0 : error;
	}
	if (link.client.unacked_ping > 1 ||
	    (!link.connected && k_uptime_get() >= link.deadline)) {
		error = -ETIMEDOUT;
	}
#if defined(CONFIG_PROPLET_TLS)
	if (link_secure() && certs_ended()) {
		error = -EACCES;
	}
#endif
	if (error != 0 || !link.open) {
		if (link.open) {
			mqtt_abort(&link.client);
		}
		forget();
	}
}

void link_close(void)
{
	if (link.connected) {
		COMPAT_MQTT_DISCONNECT(&link.client);
	}
	link.open = link.connected = false;
}

/* -- what goes ----------------------------------------------------------------------------- */

static uint16_t next_id(void)
{
	link.last_id = link.last_id == UINT16_MAX ? 1 : link.last_id + 1;
	return link.last_id;
}

static int publish(void *ctx, const char *topic, const void *payload, size_t len, uint8_t qos,
		   bool retain)
{
	struct mqtt_publish_param message = {0};

	ARG_UNUSED(ctx);
	if (!link.connected) {
		return PROPLET_BUSY;
	}
	if (qos > 0 && link.flying >= FLYING_MAX) {
		return PROPLET_FULL;
	}
	message.message.topic.topic.utf8 = (const uint8_t *)topic;
	message.message.topic.topic.size = strlen(topic);
	message.message.topic.qos = qos > 0 ? MQTT_QOS_1_AT_LEAST_ONCE : MQTT_QOS_0_AT_MOST_ONCE;
	message.message.payload.data = (uint8_t *)payload;
	message.message.payload.len = len;
	message.message_id = next_id();
	message.retain_flag = retain ? 1 : 0;
	if (mqtt_publish(&link.client, &message) != 0) {
		return PROPLET_BUSY;
	}
	link.flying += qos > 0;
	return PROPLET_OK;
}

static int subscribe(void *ctx, const char *topic, bool again)
{
	struct mqtt_topic one = {.qos = MQTT_QOS_1_AT_LEAST_ONCE};
	struct mqtt_subscription_list list = {.list = &one, .list_count = 1};

	ARG_UNUSED(ctx);
	if (!link.connected) {
		return PROPLET_BUSY;
	}
	one.topic.utf8 = (const uint8_t *)topic;
	one.topic.size = strlen(topic);
	if (again) {
		list.message_id = next_id();
		if (mqtt_unsubscribe(&link.client, &list) != 0) {
			return PROPLET_BUSY;
		}
	}
	list.message_id = next_id();
	return mqtt_subscribe(&link.client, &list) == 0 ? PROPLET_OK : PROPLET_BUSY;
}

void link_fill(struct proplet_port *port)
{
	port->publish = publish;
	port->subscribe = subscribe;
}
