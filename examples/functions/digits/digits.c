/* Which digit is on an image of 8 x 8 pixels: a Function with weights that were trained.
 *
 * In: 64 numbers from 0 to 16, row by row, as JSON or separated by anything. Out: JSON.
 *
 *     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,-s -I ../../sdk/c \
 *           -o digits.wasm digits.c
 */
#include "propeller.h"
#include "weights.h"

enum { PIXELS = 64, HIDDEN = 24, DIGITS = 10, MOST = 2048 };

static char text[MOST];

/* e^x for x <= 0, near enough for a number that people read. */
static float expf_of(float x)
{
	float y = 1 + x / 1024;

	if (x < -80) {
		return 0;
	}
	for (int i = 0; i < 10; i++) {
		y *= y;
	}
	return y;
}

/* The next whole number at or after `*at`; -1 when there is none. */
static int next_number(int *at, int len)
{
	int value = -1;

	while (*at < len && (text[*at] < '0' || text[*at] > '9')) {
		(*at)++;
	}
	for (; *at < len && text[*at] >= '0' && text[*at] <= '9'; (*at)++) {
		value = (value < 0 ? 0 : value) * 10 + (text[*at] - '0');
		if (value > 1000) {
			value = 1000;
		}
	}
	/* 7.0 is one number. */
	if (*at < len && text[*at] == '.') {
		for ((*at)++; *at < len && text[*at] >= '0' && text[*at] <= '9'; (*at)++) {
		}
	}
	return value;
}

static int read_image(float image[PIXELS])
{
	const int len = propeller_input_read(text, 0, MOST);
	int at = 0;

	if (propeller_input_len() > MOST) {
		return 0;
	}
	for (int i = 0; i < PIXELS; i++) {
		const int value = next_number(&at, len);

		if (value < 0 || value > 16) {
			return 0;
		}
		image[i] = (float)value / 16;
	}
	return next_number(&at, len) < 0;
}

static int append(char *to, int at, const char *words)
{
	while (*words != 0) {
		to[at++] = *words++;
	}
	return at;
}

PROPELLER_EXPORT(classify) int classify(void)
{
	static const char wrong[] = "{\"error\":\"an image is 64 whole numbers from 0 to 16\"}";
	float image[PIXELS], hidden[HIDDEN], score[DIGITS], sum = 0;
	char out[64];
	int best = 0, at = 0, share;

	PROPELLER_TYPE("application/json");
	if (!read_image(image)) {
		propeller_output_status(422);
		propeller_output_write(wrong, sizeof wrong - 1);
		return 0;
	}
	for (int i = 0; i < HIDDEN; i++) {
		hidden[i] = b1[i];
		for (int j = 0; j < PIXELS; j++) {
			hidden[i] += w1[i][j] * image[j];
		}
		hidden[i] = hidden[i] > 0 ? hidden[i] : 0;
	}
	for (int i = 0; i < DIGITS; i++) {
		score[i] = b2[i];
		for (int j = 0; j < HIDDEN; j++) {
			score[i] += w2[i][j] * hidden[j];
		}
		best = score[i] > score[best] ? i : best;
	}
	for (int i = 0; i < DIGITS; i++) {
		sum += expf_of(score[i] - score[best]);
	}
	share = (int)(100 / sum + 0.5f);
	PROPELLER_METRIC("confidence", 1 / sum);
	at = append(out, at, "{\"digit\":");
	out[at++] = (char)('0' + best);
	at = append(out, at, ",\"percent\":");
	if (share >= 100) {
		out[at++] = '1';
	}
	if (share >= 10) {
		out[at++] = (char)('0' + share / 10 % 10);
	}
	out[at++] = (char)('0' + share % 10);
	out[at++] = '}';
	propeller_output_write(out, at);
	return 0;
}
