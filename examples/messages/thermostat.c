/* A thermostat: hears the temperature it should keep, says what it measures and whether it heats.
 *
 *     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -I../sdk/c -o thermostat.wasm thermostat.c
 */
#include "propeller.h"

static int number(const char *text, int len)
{
	int value = 0;

	for (int i = 0; i < len && text[i] >= '0' && text[i] <= '9' && i < 6; i++) {
		value = value * 10 + text[i] - '0';
	}
	return value;
}

static int spell(char *text, int value)
{
	char turned[8];
	int len = 0, at = 0;

	do {
		turned[len++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	while (len > 0) {
		text[at++] = turned[--len];
	}
	return at;
}

PROPELLER_EXPORT(_start) void _start(void)
{
	static char text[64];
	int wanted = 21, here = 18;

	for (;;) {
		const int len = PROPELLER_RECEIVE("wanted", text, sizeof text, 200);
		int told;

		if (len >= 0) {
			wanted = number(text, len);
			PROPELLER_LOG(PROPELLER_INFO, "another temperature is wanted");
		}
		here += here < wanted ? 1 : here > wanted ? -1 : 0;
		told = spell(text, here);
		text[told++] = here < wanted ? '+' : '=';
		/* Too fast, or too many while there is no link: the next one says as much. */
		(void)PROPELLER_PUBLISH("measured", text, told);
	}
}
