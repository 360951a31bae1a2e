/*
 * The proplet on Zephyr: fills the port, then loops. The main thread hears, asks the core and does
 * what it says; guests run on threads below it, so that the link lives while a guest spins.
 */
#include <stdio.h>
#include <zephyr/drivers/hwinfo.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/sys/reboot.h>
#include <zephyr/task_wdt/task_wdt.h>

#if defined(CONFIG_PROPLET_SECRETS)
#include "boxes.h"
#endif
#include "clock.h"
#include "console.h"
#include "identity.h"
#include "keys.h"
#include "link.h"
#include "proplet/device.h"
#if defined(CONFIG_PROPLET_FL)
#include "records.h"
#endif
#include "runner.h"
#include "store.h"
#include "threads.h"
#include "wifi.h"

LOG_MODULE_REGISTER(proplet_main, CONFIG_PROPLET_LOG_LEVEL);

#define WATCH_MS (CONFIG_PROPLET_WATCHDOG * 1000)
#define BUSY_MS 50

static uint8_t pool[CONFIG_PROPLET_POOL_SIZE] __aligned(8);
static struct proplet_slot slots[CONFIG_PROPLET_SLOTS];
static char texts[CONFIG_PROPLET_SLOTS][CONFIG_PROPLET_TEXTS];
static uint8_t outputs[CONFIG_PROPLET_SLOTS][2][CONFIG_PROPLET_OUTPUT];
static struct proplet_runner runner;
#if defined(CONFIG_PROPLET_FL)
static struct proplet_school school;
static const char *const mounts[] = {RECORDS_MOUNT};
#endif
static struct proplet_port port;
static struct proplet proplet;
static struct identity identity;
static struct proplet_label labels[IDENTITY_LABELS_MAX];

static uint8_t desired[CONFIG_PROPLET_DOCUMENT], incoming[CONFIG_PROPLET_DOCUMENT];
static uint8_t body[CONFIG_PROPLET_DOCUMENT];
static uint8_t scratch[CONFIG_PROPLET_SCRATCH];
static char notes[CONFIG_PROPLET_RUNS * 256];
static struct pp_run runs[CONFIG_PROPLET_RUNS];
static struct pp_stone stones[CONFIG_PROPLET_STONES];
static struct pp_times times[MAX(CONFIG_PROPLET_SCHEDULES, 1)];
static struct pp_blob blobs[3 * CONFIG_PROPLET_RUNS];
#if CONFIG_PROPLET_RELEASES > 0 /* a digest a run, the list as it came, and as it is read */
static uint8_t releases[32 * CONFIG_PROPLET_RUNS + 2 * CONFIG_PROPLET_RELEASES];
#endif

/* -- the device ---------------------------------------------------------------------------- */

static uint64_t mono(void *ctx)
{
	ARG_UNUSED(ctx);
	return (uint64_t)k_uptime_get();
}

static enum proplet_reset reset_cause(void *ctx)
{
	ARG_UNUSED(ctx);
#if defined(CONFIG_HWINFO)
	uint32_t cause = 0;

	if (hwinfo_get_reset_cause(&cause) == 0) {
		if (cause & RESET_WATCHDOG) {
			return PROPLET_RESET_WATCHDOG;
		}
		if (cause & RESET_SOFTWARE) {
			return PROPLET_RESET_SOFT;
		}
		if (cause & (RESET_POR | RESET_BROWNOUT)) {
			return PROPLET_RESET_POWER;
		}
	}
#endif
	return PROPLET_RESET_UNKNOWN;
}

static void reboot(void *ctx)
{
	ARG_UNUSED(ctx);
	link_close();
	sys_reboot(SYS_REBOOT_COLD);
}

static void say(void *ctx, enum proplet_level level, const char *line)
{
	ARG_UNUSED(ctx);
	if (level == PROPLET_ERROR) {
		LOG_ERR("%s", line);
	} else if (level == PROPLET_WARNING) {
		LOG_WRN("%s", line);
	} else {
		LOG_INF("%s", line);
	}
}

/* -- making it ----------------------------------------------------------------------------- */

static bool make_engine(void)
{
	struct proplet_runtime *runtime = proplet_wamr(pool, sizeof(pool));

	if (runtime == NULL) {
		LOG_ERR("WAMR took no pool of %u bytes", (unsigned)sizeof(pool));
		return false;
	}
	for (unsigned i = 0; i < CONFIG_PROPLET_SLOTS; i++) {
		slots[i].texts = texts[i];
		slots[i].texts_size = sizeof(texts[i]);
		slots[i].out.data = outputs[i][0];
		slots[i].err.data = outputs[i][1];
		slots[i].out.cap = slots[i].err.cap = CONFIG_PROPLET_OUTPUT;
	}
	proplet_runner_init(&runner, runtime, &port, &proplet_zephyr_os, slots,
			    CONFIG_PROPLET_SLOTS, CONFIG_PROPLET_POOL_SIZE);
	if (CONFIG_PROPLET_FUEL > 0) {
		runner.fuel = (uint64_t)CONFIG_PROPLET_FUEL * 1000;
	}
#if defined(CONFIG_PROPLET_AOT)
	proplet_runner_allow_aot(&runner);
#endif
#if defined(CONFIG_PROPLET_FL)
	proplet_school_init(&school, &port, &proplet_zephyr_os, &proplet_zephyr_records,
			    CONFIG_PROPLET_FL_ROOM);
	proplet_runner_teach(&runner, &school.lessons);
#endif
	return true;
}

static bool make_proplet(void)
{
	const struct proplet_memory memory = {
		.desired = desired,
		.incoming = incoming,
		.document = sizeof(desired),
		.scratch = scratch,
		.scratch_size = sizeof(scratch),
		.notes = notes,
		.notes_size = sizeof(notes),
		.runs = runs,
		.run_count = ARRAY_SIZE(runs),
		.stones = stones,
		.stone_count = ARRAY_SIZE(stones),
		.times = times,
		.times_count = CONFIG_PROPLET_SCHEDULES,
		.blobs = blobs,
		.blob_count = ARRAY_SIZE(blobs),
		.body = body,
		.body_size = sizeof(body),
#if CONFIG_PROPLET_RELEASES > 0
		.releases = releases,
		.releases_size = sizeof(releases),
#endif
	};
	struct proplet_config config = {
		.domain = identity.domain,
		.channel = identity.channel,
		.id = identity.id,
		.root = identity.root,
		.key = keys_text(),
#if defined(CONFIG_PROPLET_SECRETS)
		.box = boxes_text(),
#endif
		.arch = CONFIG_ARCH,
		.os = "zephyr",
		.agent = "firmware",
		.storage = port.blob_room(NULL),
		.max_module = CONFIG_PROPLET_MAX_MODULE,
		.max_payload = CONFIG_PROPLET_MAX_PAYLOAD,
		.chunk = CONFIG_PROPLET_CHUNK,
		.heartbeat = CONFIG_PROPLET_HEARTBEAT,
		.grace = 2000,
		.debounce = 100,
		.window = 1,
		.labels = labels,
		.label_count = identity.label_count,
#if defined(CONFIG_PROPLET_FL)
		.mounts = mounts,
		.mount_count = ARRAY_SIZE(mounts),
#endif
	};
	int error;

	for (unsigned i = 0; i < identity.label_count; i++) {
		labels[i].name = identity.label[i].name;
		labels[i].value = identity.label[i].value;
	}
	error = proplet_init(&proplet, &config, &port, &runner.engine, &memory);
	if (error != PROPLET_OK) {
		LOG_ERR("it cannot start: error %d", error);
	}
	return error == PROPLET_OK;
}

static bool make(void)
{
	if (!store_open()) {
		return false;
	}
	port = (struct proplet_port){
		.mono = mono, .wall = clock_wall, .reset_cause = reset_cause, .reboot = reboot, .say = say};
	store_fill(&port);
	keys_fill(&port);
	link_fill(&port);
	if (!keys_open()) {
		return false;
	}
	LOG_INF("its key is %s", keys_text());
#if defined(CONFIG_PROPLET_SECRETS)
	boxes_fill(&port);
	if (!boxes_open()) {
		return false;
	}
	LOG_INF("its encryption key is %s", boxes_text());
#endif
	if (!identity_read(&identity)) {
		LOG_ERR("not set up: the shell's `proplet set` names id, broker (host:port) and root");
		return false;
	}
	return make_engine() && make_proplet();
}

/* One watch over the main thread. Behind it the board's own watchdog, where there is one: it bites
 * when not even the timer that keeps the watch runs any more. */
static int begin_watch(void)
{
	const struct device *hardware = NULL;

#if defined(CONFIG_TASK_WDT_HW_FALLBACK) && DT_NODE_EXISTS(DT_ALIAS(watchdog0))
	hardware = DEVICE_DT_GET(DT_ALIAS(watchdog0));
	if (!device_is_ready(hardware)) {
		LOG_WRN("the board's watchdog is not ready");
		hardware = NULL;
	}
#endif
	if (task_wdt_init(hardware) != 0) {
		LOG_ERR("the watchdog takes no order");
		return -1;
	}
	return task_wdt_add(WATCH_MS, NULL, NULL); /* no call: it resets */
}

int main(void)
{
	int watch;

	if (!make()) {
		return 0; /* the shell goes on, so that it can be set up */
	}
	watch = begin_watch();
	link_open(&identity, &proplet);
	for (;;) {
		int64_t until = (int64_t)proplet_tick(&proplet);

		if (watch >= 0) {
			task_wdt_feed(watch);
		}
		console_turn(&proplet);
		wifi_turn();
		proplet_runner_tick(&runner);
		if (proplet_runner_busy(&runner)) {
			until = MIN(until, k_uptime_get() + BUSY_MS);
		}
		if (link_connected()) {
			clock_turn(identity.sntp);
		}
		link_turn(k_sem_take(&proplet_bell, K_NO_WAIT) == 0 ? 0 : until);
	}
	return 0;
}
