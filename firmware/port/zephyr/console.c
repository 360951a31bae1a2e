/*
 * The shell: `proplet show`, `runs`, `decisions`, `set NAME VALUE`, `add NAME LINE`, `unset NAME`,
 * `erase everything`, `reboot`. Who holds the console holds the device; of a key only the public half
 * is shown.
 */
#include "console.h"

#include <stdio.h>
#include <string.h>
#include <zephyr/kernel.h>
#include <zephyr/shell/shell.h>
#include <zephyr/sys/reboot.h>

#if defined(CONFIG_PROPLET_SECRETS)
#include "boxes.h"
#endif
#include "clock.h"
#include "device.h"
#include "identity.h"
#include "keys.h"
#include "link.h"
#include "store.h"
#include "threads.h"

#define ANSWER_MS 5000
#define TEXT_SIZE 1024

K_SEM_DEFINE(answered, 0, 1);

static enum { ASK_NOTHING, ASK_RUNS, ASK_DECISIONS } asked;
static char text[TEXT_SIZE];

/* -- the main thread's half ---------------------------------------------------------------- */

static const char *const states[] = {"Pending",  "Fetching",  "Running", "BackOff",    "Stopping",
				     "Succeeded", "Failed",    "Interrupted", "Refused"};

static void tell_runs(const struct proplet *proplet)
{
	const struct pp_agent *agent = &proplet->agent;
	size_t at = 0;

	at += snprintf(text, sizeof(text), "generation %lld, boot %u, %s\n",
		       (long long)agent->observed.gen, (unsigned)proplet->boot,
		       link_connected() ? "connected" : "not connected");
	for (size_t i = 0; i < agent->run_count && at < sizeof(text); i++) {
		const struct pp_run *run = &agent->memory.runs[i];

		if (!run->gone) {
			at += snprintf(text + at, sizeof(text) - at,
				       "%02x%02x%02x%02x %s, starts %u, failures %u\n", run->uid[0],
				       run->uid[1], run->uid[2], run->uid[3],
				       run->state < ARRAY_SIZE(states) ? states[run->state] : "?",
				       (unsigned)run->starts, (unsigned)run->failures);
		}
	}
}

void console_turn(const struct proplet *proplet)
{
	size_t len;

	if (asked == ASK_NOTHING) {
		return;
	}
	if (asked == ASK_RUNS) {
		tell_runs(proplet);
	} else {
		len = pp_ring_tell((void *)proplet, "decisions", 9, text, sizeof(text) - 1);
		text[len] = '\0';
	}
	asked = ASK_NOTHING;
	k_sem_give(&answered);
}

/* -- the shell's half ---------------------------------------------------------------------- */

static int ask(const struct shell *shell, int what)
{
	k_sem_reset(&answered);
	asked = what;
	k_sem_give(&proplet_bell);
	if (k_sem_take(&answered, K_MSEC(ANSWER_MS)) != 0) {
		shell_error(shell, "no answer: it is not set up, or busy");
		return -ETIMEDOUT;
	}
	for (char *line = text, *end; *line != '\0'; line = end) {
		end = strchr(line, '\n');
		if (end == NULL) {
			end = line + strlen(line);
		} else {
			*end++ = '\0';
		}
		shell_print(shell, "%s", line);
	}
	return 0;
}

static int runs(const struct shell *shell, size_t argc, char **argv)
{
	ARG_UNUSED(argc);
	ARG_UNUSED(argv);
	return ask(shell, ASK_RUNS);
}

static int decisions(const struct shell *shell, size_t argc, char **argv)
{
	ARG_UNUSED(argc);
	ARG_UNUSED(argv);
	return ask(shell, ASK_DECISIONS);
}

static int show(const struct shell *shell, size_t argc, char **argv)
{
	static struct identity identity;
	uint64_t now;

	ARG_UNUSED(argc);
	ARG_UNUSED(argv);
	identity_read(&identity);
	shell_print(shell, "id       %s", identity.id);
	shell_print(shell, "channel  %s/%s", identity.domain, identity.channel);
	shell_print(shell, "broker   %s:%u, %s%s", identity.host, identity.port,
		    link_connected() ? "connected" : "not connected",
		    link_secure() ? " by TLS" : "");
	shell_print(shell, "root     %s", identity.root);
	shell_print(shell, "key      %s", keys_text());
#if defined(CONFIG_PROPLET_SECRETS)
	shell_print(shell, "box      %s", boxes_text());
#endif
	shell_print(shell, "sntp     %s", identity.sntp);
	if (clock_wall(NULL, &now)) {
		shell_print(shell, "time     %llu", (unsigned long long)(now / 1000));
	} else {
		shell_print(shell, "time     not known");
	}
	return 0;
}

static uint16_t record_of(const struct shell *shell, const char *name)
{
	uint16_t record = identity_record(name);

	if (record == 0) {
		shell_error(shell, "no such setting: id, domain, channel, broker, root, labels, ca, "
				   "cert, certkey, sntp, ssid, psk");
	}
	return record;
}

static int keep(const struct shell *shell, uint16_t record, const char *value, size_t len)
{
	if (store_put(record, value, len) != PROPLET_OK) {
		shell_error(shell, "the storage takes nothing");
		return -EIO;
	}
	return 0;
}

static int set(const struct shell *shell, size_t argc, char **argv)
{
	uint16_t record = record_of(shell, argv[1]);

	ARG_UNUSED(argc);
	if (record == 0 || keep(shell, record, argv[2], strlen(argv[2])) != 0) {
		return -EINVAL;
	}
	shell_print(shell, "taken at the next start: `proplet reboot`");
	return 0;
}

static int unset(const struct shell *shell, size_t argc, char **argv)
{
	uint16_t record = record_of(shell, argv[1]);

	ARG_UNUSED(argc);
	return record == 0 || store_del(record) != PROPLET_OK ? -EINVAL : 0;
}

/* A file of several lines, PEM, a line at a time: a console takes no longer ones. */
static int add(const struct shell *shell, size_t argc, char **argv)
{
	static char whole[CONFIG_PROPLET_PEM];
	uint16_t record = record_of(shell, argv[1]);
	size_t len = 0, more = strlen(argv[2]);

	ARG_UNUSED(argc);
	if (record == 0) {
		return -EINVAL;
	}
	if (store_get(record, whole, sizeof(whole), &len) == PROPLET_MISSING) {
		len = 0;
	}
	if (len > sizeof(whole) || more + 2 > sizeof(whole) - len) {
		shell_error(shell, "more than CONFIG_PROPLET_PEM bytes");
		return -ENOMEM;
	}
	memcpy(whole + len, argv[2], more);
	whole[len + more] = '\n';
	return keep(shell, record, whole, len + more + 1);
}

static int erase(const struct shell *shell, size_t argc, char **argv)
{
	ARG_UNUSED(argc);
	if (strcmp(argv[1], "everything") != 0) {
		shell_error(shell, "`proplet erase everything`: its key, its settings, its modules");
		return -EINVAL;
	}
	if (!store_erase()) {
		shell_error(shell, "the flash does not erase");
		return -EIO;
	}
	sys_reboot(SYS_REBOOT_COLD);
	return 0;
}

static int reboot(const struct shell *shell, size_t argc, char **argv)
{
	ARG_UNUSED(shell);
	ARG_UNUSED(argc);
	ARG_UNUSED(argv);
	sys_reboot(SYS_REBOOT_COLD);
	return 0;
}

SHELL_STATIC_SUBCMD_SET_CREATE(
	commands, SHELL_CMD(show, NULL, "Who this device is", show),
	SHELL_CMD(runs, NULL, "What it runs", runs),
	SHELL_CMD(decisions, NULL, "What it decided last, newest first", decisions),
	SHELL_CMD_ARG(set, NULL, "NAME VALUE: id, broker, root, ...", set, 3, 0),
	SHELL_CMD_ARG(add, NULL, "NAME LINE: one more line of ca, cert, certkey", add, 3, 0),
	SHELL_CMD_ARG(unset, NULL, "NAME: forget a setting", unset, 2, 0),
	SHELL_CMD_ARG(erase, NULL, "everything: make it a new device", erase, 2, 0),
	SHELL_CMD(reboot, NULL, "Start anew", reboot), SHELL_SUBCMD_SET_END);
SHELL_CMD_REGISTER(proplet, &commands, "The proplet", NULL);
