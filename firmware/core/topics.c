/* Every topic, spelled once: the twin of propeller/wire/topics.py. */
#include <string.h>

#include "proplet/wire.h"

static const char *const words[PP_TOPICS] = {
	[PP_TOPIC_FOREIGN] = "",
	[PP_TOPIC_DESIRED] = "desired",
	[PP_TOPIC_REPORT] = "report",
	[PP_TOPIC_STATUS] = "status",
	[PP_TOPIC_HELLO] = "hello",
	[PP_TOPIC_OP] = "op",
	[PP_TOPIC_OP_ANSWER] = "op/answer",
	[PP_TOPIC_CALL] = "call",
	[PP_TOPIC_CALL_ANSWER] = "call/answer",
	[PP_TOPIC_BLOB_GET] = "blob/get",
	[PP_TOPIC_BLOB_DATA] = "blob/data",
	[PP_TOPIC_BLOB_PUT] = "blob/put",
	[PP_TOPIC_BLOB_ACK] = "blob/ack",
	[PP_TOPIC_METRICS] = "metrics",
	[PP_TOPIC_LOG] = "log",
	[PP_TOPIC_TRUST] = "trust",
	[PP_TOPIC_RELEASES] = "releases",
	[PP_TOPIC_MANAGER_STATUS] = "manager/status",
	[PP_TOPIC_MANAGER_ECHO] = "manager/echo",
};

const char *pp_topic_word(enum pp_topic topic)
{
	return words[topic];
}

static bool take(const char **at, const char *wanted)
{
	const size_t len = strlen(wanted);

	if (strncmp(*at, wanted, len) != 0) {
		return false;
	}
	*at += len;
	return true;
}

/* Answers are told by what follows the topic they are answers to, which is the one before them. */
static bool is_answer(unsigned topic)
{
	return topic == PP_TOPIC_OP_ANSWER || topic == PP_TOPIC_CALL_ANSWER;
}

static bool fleet_topic(const char *rest, struct pp_heard *heard)
{
	static const enum pp_topic both[] = {PP_TOPIC_TRUST, PP_TOPIC_MANAGER_STATUS};

	for (unsigned i = 0; i < 2; i++) {
		const char *end = rest;

		if (!take(&end, words[both[i]])) {
			continue;
		}
		if (*end == 0 || strcmp(end, "/p256") == 0) {
			heard->topic = both[i];
			heard->extra = (struct proplet_text){*end == 0 ? "" : "p256",
							     *end == 0 ? 0u : 4u};
			return true;
		}
	}
	if (strcmp(rest, words[PP_TOPIC_RELEASES]) == 0) {
		heard->topic = PP_TOPIC_RELEASES;
		return true;
	}
	if (take(&rest, "manager/echo/") && pp_is_id(rest, strlen(rest))) {
		heard->topic = PP_TOPIC_MANAGER_ECHO;
		heard->extra = (struct proplet_text){rest, strlen(rest)};
		return true;
	}
	return false;
}

struct pp_heard pp_topic_parse(const struct pp_channel *channel, const char *topic)
{
	struct pp_heard heard = {PP_TOPIC_FOREIGN, {"", 0}, {"", 0}};
	const char *at = topic, *end;

	if (!take(&at, "m/") || !take(&at, channel->domain) || !take(&at, "/c/") ||
	    !take(&at, channel->channel) || !take(&at, "/control/")) {
		return heard;
	}
	if (!take(&at, "proplet/")) {
		(void)fleet_topic(at, &heard);
		return heard;
	}
	end = strchr(at, '/');
	if (end == NULL || !pp_is_id(at, (size_t)(end - at))) {
		return heard;
	}
	heard.proplet = (struct proplet_text){at, (size_t)(end - at)};
	at = end + 1;
	for (unsigned i = PP_TOPIC_DESIRED; i < PP_TOPIC_TRUST; i++) {
		if (!is_answer(i) && strcmp(at, words[i]) == 0) {
			heard.topic = (enum pp_topic)i;
			return heard;
		}
	}
	for (unsigned i = PP_TOPIC_OP; i <= PP_TOPIC_CALL; i++) {
		const char *rest = at;

		if (!is_answer(i) && take(&rest, words[i]) && take(&rest, "/") &&
		    pp_is_id(rest, strlen(rest))) {
			heard.topic = (enum pp_topic)(i + 1);
			heard.extra = (struct proplet_text){rest, strlen(rest)};
			return heard;
		}
	}
	heard.proplet = (struct proplet_text){"", 0};
	return heard;
}

bool pp_topic_write(const struct pp_channel *channel, enum pp_topic topic, const char *proplet,
		    const char *extra, unsigned alg, char *out, size_t cap)
{
	const bool fleet = topic >= PP_TOPIC_TRUST;
	const bool more = is_answer(topic) || topic == PP_TOPIC_MANAGER_ECHO;
	const char *const parts[] = {
		"m/",
		channel->domain,
		"/c/",
		channel->channel,
		"/control/",
		fleet ? "" : "proplet/",
		fleet ? "" : proplet,
		fleet ? "" : "/",
		is_answer(topic) ? words[topic - 1] : words[topic],
		more ? "/" : "",
		more ? extra : "",
		topic == PP_TOPIC_TRUST || topic == PP_TOPIC_MANAGER_STATUS
			? (alg == PROPLET_P256 ? "/p256" : "")
			: "",
	};
	size_t len = 0;

	if (!pp_is_id(channel->domain, strlen(channel->domain)) ||
	    !pp_is_id(channel->channel, strlen(channel->channel)) ||
	    (!fleet && !pp_is_id(proplet, strlen(proplet))) ||
	    (more && !pp_is_id(extra, strlen(extra)))) {
		return false;
	}
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		const size_t size = strlen(parts[i]);

		if (len + size >= cap) {
			return false;
		}
		memcpy(out + len, parts[i], size);
		len += size;
	}
	out[len] = 0;
	return true;
}
