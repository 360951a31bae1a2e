/* See clock.h. */
#include "clock.h"

#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/net/sntp.h>

LOG_MODULE_REGISTER(proplet_clock, CONFIG_PROPLET_LOG_LEVEL);

#define ANSWER_MS 1000
#define FIRST_MS (15 * 1000)
#define UNKNOWN_MS (300 * 1000)
#define EVERY_MS (3600 * 1000)

static int64_t offset; /* Unix ms less uptime, once known */
static bool known;

bool clock_wall(void *ctx, uint64_t *ms)
{
	ARG_UNUSED(ctx);
	*ms = known ? (uint64_t)(k_uptime_get() + offset) : 0;
	return known;
}

void clock_turn(const char *server)
{
	static int64_t due, pause = FIRST_MS;
	struct sntp_time time;
	int error;

	if (server[0] == '\0' || k_uptime_get() < due) {
		return;
	}
	error = sntp_simple(server, ANSWER_MS, &time);
	if (error == 0) {
		offset = (int64_t)time.seconds * 1000 + (int64_t)((uint64_t)time.fraction * 1000 >> 32) -
			 k_uptime_get();
		if (!known) {
			LOG_INF("the time is known");
		}
		known = true;
		pause = EVERY_MS;
	} else {
		LOG_WRN("%s tells no time: %d", server, error);
		pause = MIN(2 * pause, (int64_t)(known ? EVERY_MS : UNKNOWN_MS));
	}
	due = k_uptime_get() + pause;
}
