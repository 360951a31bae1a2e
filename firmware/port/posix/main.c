/*
 * proplet-posix: the firmware's core as a Linux process. One thread hears, asks the core and does
 * what it says; guests run on threads of their own. docs/reference/firmware.md is the page for
 * people.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "keys.h"
#include "link.h"
#ifdef PROPLET_FL
#include "records.h"
#endif
#include "settings.h"
#include "store.h"
#include "threads.h"

enum {
	DOCUMENT = 64 * 1024,
	SCRATCH = 16 * 1024,
	RUNS = 48,
	STONES = 256,
	SCHEDULES = 32,
	NOTES = RUNS * 512,
	RELEASES = RUNS * 32 + 2 * DOCUMENT,
	TEXTS = 64 * 1024,
	FLUSH_MS = 2000,
	PAUSE_MS = 1000
};

static struct device {
	struct settings settings;
	struct proplet proplet;
	struct proplet_port port;
	struct store store;
	struct keys keys;
	struct link link;
	struct threads threads;
	struct proplet_runner runner;
	struct proplet_runtime *runtime;
	struct proplet_slot slots[PROPLET_SLOTS_MAX];
	char root[256];
	struct utsname machine;
	bool reboot;
#ifdef PROPLET_FL
	struct records records;
	struct proplet_school school;
#endif
} device;

/* -- the slots of the port ----------------------------------------------------------------- */

static uint64_t ms_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t port_mono(void *ctx)
{
	(void)ctx;
	return ms_of(CLOCK_MONOTONIC);
}

static bool port_wall(void *ctx, uint64_t *ms)
{
	(void)ctx;
	*ms = ms_of(CLOCK_REALTIME);
	return true;
}

static int port_random(void *ctx, void *out, size_t len)
{
	(void)ctx;
	randombytes_buf(out, len);
	return PROPLET_OK;
}

static int port_hash_begin(void *ctx, struct proplet_hash *state)
{
	(void)ctx;
	return keys_hash_begin(state);
}

static int port_hash_add(void *ctx, struct proplet_hash *state, const void *data, size_t len)
{
	(void)ctx;
	return keys_hash_add(state, data, len);
}

static int port_hash_end(void *ctx, struct proplet_hash *state, uint8_t digest[32])
{
	(void)ctx;
	return keys_hash_end(state, digest);
}

static int port_verify(void *ctx, enum proplet_alg alg, const uint8_t *pub, size_t pub_len,
		       const uint8_t sig[64], const void *msg, size_t len)
{
	(void)ctx;
	return keys_verify(alg, pub, pub_len, sig, msg, len);
}

static int port_sign(void *ctx, uint8_t sig[64], const void *msg, size_t len)
{
	return keys_sign(&((struct device *)ctx)->keys, sig, msg, len);
}

static int port_agree(void *ctx, const uint8_t *pub, size_t pub_len, uint8_t shared[32])
{
	return keys_agree(&((struct device *)ctx)->keys, pub, pub_len, shared);
}

static int port_derive(void *ctx, const uint8_t secret[32], const uint8_t *salt, size_t salt_len,
		       const void *info, size_t info_len, uint8_t *out, size_t len)
{
	(void)ctx;
	return keys_derive(secret, salt, salt_len, info, info_len, out, len);
}

static int port_unseal(void *ctx, const uint8_t key[32], const uint8_t nonce[12], const void *aad,
		       size_t aad_len, const uint8_t *sealed, size_t len, uint8_t *out)
{
	(void)ctx;
	return keys_unseal(key, nonce, aad, aad_len, sealed, len, out);
}

static int port_get(void *ctx, uint16_t id, void *buf, size_t cap, size_t *len)
{
	return store_get(&((struct device *)ctx)->store, id, buf, cap, len);
}

static int port_put(void *ctx, uint16_t id, const void *buf, size_t len)
{
	return store_put(&((struct device *)ctx)->store, id, buf, len);
}

static int port_del(void *ctx, uint16_t id)
{
	return store_del(&((struct device *)ctx)->store, id);
}

static int port_blob_have(void *ctx, const uint8_t digest[32], uint32_t *have, bool *sealed)
{
	return store_blob_have(&((struct device *)ctx)->store, digest, have, sealed);
}

static int port_blob_write(void *ctx, const uint8_t digest[32], uint32_t off, uint32_t total,
			   const void *data, size_t len)
{
	return store_blob_write(&((struct device *)ctx)->store, digest, off, total, data, len);
}

static int port_blob_read(void *ctx, const uint8_t digest[32], uint32_t off, void *buf, size_t len)
{
	return store_blob_read(&((struct device *)ctx)->store, digest, off, buf, len);
}

static int port_blob_seal(void *ctx, const uint8_t digest[32], uint32_t total)
{
	return store_blob_seal(&((struct device *)ctx)->store, digest, total);
}

static int port_blob_drop(void *ctx, const uint8_t digest[32])
{
	return store_blob_drop(&((struct device *)ctx)->store, digest);
}

static int port_blob_at(void *ctx, uint32_t index, uint8_t digest[32])
{
	return store_blob_at(&((struct device *)ctx)->store, index, digest);
}

static uint32_t port_blob_room(void *ctx)
{
	return store_blob_room(&((struct device *)ctx)->store);
}

static int port_publish(void *ctx, const char *topic, const void *payload, size_t len,
			uint8_t qos, bool retain)
{
	return link_publish(&((struct device *)ctx)->link, topic, payload, len, qos, retain);
}

static int port_subscribe(void *ctx, const char *topic, bool again)
{
	return link_subscribe(&((struct device *)ctx)->link, topic, again);
}

static enum proplet_reset port_reset_cause(void *ctx)
{
	(void)ctx;
	return PROPLET_RESET_UNKNOWN;
}

static void port_reboot(void *ctx)
{
	((struct device *)ctx)->reboot = true;
}

static void port_say(void *ctx, enum proplet_level level, const char *line)
{
	static const char *const names[] = {"", "warning: ", "error: "};

	(void)ctx;
	fprintf(stderr, "proplet-posix: %s%s\n", names[level > PROPLET_ERROR ? 0 : level], line);
}

static const struct proplet_port slots_of_port = {
	.ctx = &device,
	.mono = port_mono,
	.wall = port_wall,
	.random = port_random,
	.hash_begin = port_hash_begin,
	.hash_add = port_hash_add,
	.hash_end = port_hash_end,
	.verify = port_verify,
	.sign = port_sign,
	.agree = port_agree,
	.derive = port_derive,
	.unseal = port_unseal,
	.get = port_get,
	.put = port_put,
	.del = port_del,
	.blob_have = port_blob_have,
	.blob_write = port_blob_write,
	.blob_read = port_blob_read,
	.blob_seal = port_blob_seal,
	.blob_drop = port_blob_drop,
	.blob_at = port_blob_at,
	.blob_room = port_blob_room,
	.publish = port_publish,
	.subscribe = port_subscribe,
	.reset_cause = port_reset_cause,
	.reboot = port_reboot,
	.say = port_say,
};

/* -- making it ----------------------------------------------------------------------------- */

static void *memory(size_t count, size_t size)
{
	void *made = calloc(count == 0 ? 1 : count, size);

	if (made == NULL) {
		fprintf(stderr, "proplet-posix: no memory\n");
		exit(2);
	}
	return made;
}

static bool make_engine(void)
{
	const struct settings *settings = &device.settings;
	char words[256] = "name wasmtime's library: --engine PATH";

	if (settings->engine != NULL && strcmp(settings->engine, "wamr") != 0) {
		device.runtime = proplet_wasmtime(settings->engine, words, sizeof(words));
	} else {
#ifdef PROPLET_WAMR
		device.runtime = proplet_wamr(memory(1, (size_t)settings->memory),
					      (size_t)settings->memory);
		snprintf(words, sizeof(words), "WAMR took no pool of that size");
#endif
	}
	if (device.runtime == NULL) {
		fprintf(stderr, "proplet-posix: engine: %s\n", words);
		return false;
	}
	for (unsigned i = 0; i < settings->tasks; i++) {
		struct proplet_slot *slot = &device.slots[i];

		slot->texts_size = TEXTS;
		slot->texts = memory(1, TEXTS);
		slot->out.cap = slot->err.cap = (uint32_t)settings->output;
		slot->out.data = memory(1, slot->out.cap);
		slot->err.data = memory(1, slot->err.cap);
	}
	if (!threads_open(&device.threads, &device.runner)) {
		return false;
	}
	proplet_runner_init(&device.runner, device.runtime, &device.port, &device.threads.os,
			    device.slots, (uint8_t)settings->tasks, settings->memory);
	if (strcmp(settings->aot, "Allowed") == 0 && !proplet_runner_allow_aot(&device.runner)) {
		fprintf(stderr, "proplet-posix: aot: Allowed: this engine runs no native code\n");
		return false;
	}
#ifdef PROPLET_FL
	records_init(&device.records, settings->mounts, settings->directories,
		     settings->mount_count);
	proplet_school_init(&device.school, &device.port, &device.threads.os, &device.records.slots,
			    settings->learning);
	proplet_runner_teach(&device.runner, &device.school.lessons);
#endif
#ifdef PROPLET_POINTS
	points_open(&device.settings.points);
	if (settings->points.slots.count > 0) {
		proplet_runner_sense(&device.runner, &settings->points.slots);
	}
#endif
	return threads_watch(&device.threads);
}

static bool make_proplet(void)
{
	const struct settings *settings = &device.settings;
	size_t early = (size_t)((settings->window - 1) * settings->chunk);
	struct proplet_memory given = {
		.desired = memory(1, DOCUMENT),
		.incoming = memory(1, DOCUMENT),
		.document = DOCUMENT,
		.scratch = memory(1, SCRATCH),
		.scratch_size = SCRATCH,
		.notes = memory(1, NOTES),
		.notes_size = NOTES,
		.runs = memory(RUNS, sizeof(struct pp_run)),
		.run_count = RUNS,
		.stones = memory(STONES, sizeof(struct pp_stone)),
		.stone_count = STONES,
		.times = memory(SCHEDULES, sizeof(struct pp_times)),
		.times_count = SCHEDULES,
		.blobs = memory((size_t)3 * RUNS, sizeof(struct pp_blob)),
		.blob_count = (size_t)3 * RUNS,
		.early = early == 0 ? NULL : memory(1, early),
		.early_size = early,
		.told = memory(1, SCRATCH),
		.told_size = SCRATCH,
		.body = memory(1, DOCUMENT),
		.body_size = DOCUMENT,
		.releases = memory(1, RELEASES),
		.releases_size = RELEASES,
	};
	struct proplet_config config = {
		.domain = settings->domain,
		.channel = settings->channel,
		.id = settings->id,
		.root = device.root,
		.key = device.keys.text,
		.box = device.keys.box_text,
		.arch = device.machine.machine,
		.os = "posix",
		.agent = "firmware",
		.storage = (uint32_t)settings->storage,
		.max_module = (uint32_t)settings->max_module,
		.max_payload = (uint32_t)settings->max_payload,
		.chunk = (uint32_t)settings->chunk,
		.heartbeat = (uint32_t)settings->heartbeat,
		.grace = (uint32_t)settings->grace,
		.debounce = (uint32_t)settings->debounce,
		.window = (uint8_t)settings->window,
		.labels = settings->labels,
		.label_count = settings->label_count,
#ifdef PROPLET_FL
		.mounts = settings->mounts,
		.mount_count = settings->mount_count,
#endif
#ifdef PROPLET_POINTS
		.points = settings->points.offered,
		.point_count = settings->points.slots.count,
#endif
	};
	int error = proplet_init(&device.proplet, &config, &device.port, &device.runner.engine,
				 &given);

	if (error != PROPLET_OK) {
		fprintf(stderr, "proplet-posix: it cannot start: error %d\n", error);
	}
	return error == PROPLET_OK;
}

static bool make(void)
{
	const struct settings *settings = &device.settings;

	device.port = slots_of_port;
	uname(&device.machine);
	if (!store_open(&device.store, settings->data, (uint32_t)settings->storage,
			(uint32_t)settings->chunk)) {
		fprintf(stderr, "proplet-posix: %s: %s\n", settings->data,
			errno == EWOULDBLOCK ? "another process uses it" : strerror(errno));
		return false;
	}
	if (!first_line(settings->trust, device.root, sizeof(device.root))) {
		fprintf(stderr, "proplet-posix: %s: no public key there\n", settings->trust);
		return false;
	}
	return keys_open(&device.keys, settings->key, settings->box_key, settings->data) &&
	       make_engine() && make_proplet();
}

/* -- the loop ------------------------------------------------------------------------------ */

static int pause_of(uint64_t now, uint64_t first, uint64_t second)
{
	uint64_t at = first < second ? first : second;

	if (at <= now) {
		return 0;
	}
	return at - now < PAUSE_MS ? (int)(at - now) : PAUSE_MS;
}

static void serve(int signals)
{
	unsigned asked = 0;

	while (asked < 2 && !device.reboot && !proplet_drained(&device.proplet)) {
		struct signalfd_siginfo info;
		struct pollfd fds[3] = {{.fd = signals, .events = POLLIN},
					{.fd = device.threads.bell, .events = POLLIN}};
		uint64_t wake = proplet_tick(&device.proplet);
		uint64_t due = link_wants(&device.link, &fds[2]);
		uint64_t rung;

		poll(fds, 3, pause_of(port_mono(NULL), wake, due));
		if (read(signals, &info, sizeof(info)) == sizeof(info) && asked++ == 0) {
			proplet_drain(&device.proplet);
		}
		if (read(device.threads.bell, &rung, sizeof(rung)) < 0 && errno != EAGAIN) {
			break;
		}
		link_turn(&device.link, port_mono(NULL), fds[2].fd < 0 ? 0 : fds[2].revents);
	}
}

int main(int argc, char **argv)
{
	sigset_t ours;
	int signals;

	if (!settings_read(&device.settings, argc, argv)) {
		return 2;
	}
	if (device.settings.check_config) {
		printf("id: %s\nbroker: %s\n", device.settings.id, device.settings.broker);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	signals = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0 || !make()) {
		return 2;
	}
	link_open(&device.link, &device.settings, &device.proplet);
	serve(signals);
	link_close(&device.link, FLUSH_MS);
	store_close(&device.store);
	if (device.reboot) {
		execv("/proc/self/exe", argv);
	}
	_exit(0); /* threads of guests that were left behind go with the process */
}
