/* A thermostat on real points: reads a sensor, drives an output, with a degree between on and off.
 *
 *     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -I../sdk/c -o heater.wasm heater.c
 */
#include "propeller.h"

__attribute__((import_module("wasi_snapshot_preview1"), import_name("poll_oneoff")))
int poll_oneoff(const void *in, void *out, int count, int *events);

/* `subscription` and `event` of WASI preview 1, as far as a pause needs them. */
struct pause {
	unsigned long long userdata;
	unsigned char tag, padding[7];
	unsigned int clock;
	unsigned long long timeout_ns, precision_ns;
	unsigned short flags;
};

static void pause_ms(unsigned ms)
{
	static unsigned char event[32];
	static struct pause pause = {.clock = 1};
	int events;

	pause.timeout_ns = ms * 1000000ULL;
	(void)poll_oneoff(&pause, event, 1, &events);
}

static double wanted(void)
{
	static char text[16];
	const int len = PROPELLER_CONFIG("WANTED", text, sizeof text);
	double value = 0;

	for (int i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
		value = value * 10 + (text[i] - '0');
	}
	return len > 0 ? value : 20;
}

PROPELLER_EXPORT(_start) void _start(void)
{
	const double aim = wanted();
	double heat = 0;

	for (;;) {
		double here;

		if (PROPELLER_READ("temperature", &here) != 0) {
			heat = 0; /* who does not know how warm it is does not heat */
			PROPELLER_LOG(PROPELLER_WARNING, "the sensor says nothing");
		} else {
			heat = here < aim - 1 ? 1 : here > aim ? 0 : heat;
		}
		if (PROPELLER_WRITE("heater", heat) != 0) {
			PROPELLER_LOG(PROPELLER_WARNING, "the heater was not driven");
		}
		pause_ms(200);
	}
}
