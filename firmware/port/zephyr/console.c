/* The shell: `proplet show`, `proplet set NAME VALUE`, `proplet reboot`. Who holds the console holds
 * the device; a key is shown only in its public half. */
#include <stdio.h>
#include <string.h>
#include <zephyr/kernel.h>
#include <zephyr/shell/shell.h>
#include <zephyr/sys/reboot.h>

#include "identity.h"
#include "keys.h"
#include "link.h"
#include "store.h"

static int show(const struct shell *shell, size_t argc, char **argv)
{
	static struct identity identity;

	ARG_UNUSED(argc);
	ARG_UNUSED(argv);
	identity_read(&identity);
	shell_print(shell, "id       %s", identity.id);
	shell_print(shell, "channel  %s/%s", identity.domain, identity.channel);
	shell_print(shell, "broker   %s:%u, %s", identity.host, identity.port,
		    link_connected() ? "connected" : "not connected");
	shell_print(shell, "root     %s", identity.root);
	shell_print(shell, "key      %s", keys_text());
	return 0;
}

static int set(const struct shell *shell, size_t argc, char **argv)
{
	uint16_t record = identity_record(argv[1]);

	ARG_UNUSED(argc);
	if (record == 0) {
		shell_error(shell, "no such setting: id, domain, channel, broker, root, labels, ca, "
				   "cert, certkey");
		return -EINVAL;
	}
	if (store_put(record, argv[2], strlen(argv[2])) != PROPLET_OK) {
		shell_error(shell, "the storage takes nothing");
		return -EIO;
	}
	shell_print(shell, "taken at the next start: `proplet reboot`");
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
	SHELL_CMD_ARG(set, NULL, "NAME VALUE: id, broker, root, ...", set, 3, 0),
	SHELL_CMD(reboot, NULL, "Start anew", reboot), SHELL_SUBCMD_SET_END);
SHELL_CMD_REGISTER(proplet, &commands, "The proplet", NULL);
