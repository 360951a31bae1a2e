/* See wifi.h. */
#include "wifi.h"

#include <string.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/net/net_if.h>
#include <zephyr/net/net_mgmt.h>
#include <zephyr/net/wifi_mgmt.h>

#include <zephyr/net/dhcpv4.h> /* of 3.4: names what net_if.h declares */

#include "compat.h"
#include "identity.h"

LOG_MODULE_REGISTER(proplet_wifi, CONFIG_PROPLET_LOG_LEVEL);

#define AGAIN_MS (20 * 1000)

static char ssid[WIFI_SSID_MAX_LEN + 1], psk[WIFI_PSK_MAX_LEN + 1];
static struct net_mgmt_event_callback heard;
static atomic_t joined;

static void on_event(struct net_mgmt_event_callback *callback, COMPAT_EVENT event,
		     struct net_if *interface)
{
	const struct wifi_status *result = callback->info;

	if (event == NET_EVENT_WIFI_DISCONNECT_RESULT) {
		atomic_set(&joined, 0);
		LOG_WRN("left the Wi-Fi");
	} else if (event == NET_EVENT_WIFI_CONNECT_RESULT && result->status == 0) {
		atomic_set(&joined, 1);
		LOG_INF("joined the Wi-Fi");
		net_dhcpv4_start(interface);
	}
}

static bool begin(void)
{
	if (!identity_text(IDENTITY_SSID, ssid, sizeof(ssid)) || ssid[0] == '\0' ||
	    !identity_text(IDENTITY_PSK, psk, sizeof(psk))) {
		LOG_ERR("no Wi-Fi: `proplet set ssid NAME`, `proplet set psk SECRET`");
		return false;
	}
	net_mgmt_init_event_callback(&heard, on_event,
				     NET_EVENT_WIFI_CONNECT_RESULT |
					     NET_EVENT_WIFI_DISCONNECT_RESULT);
	net_mgmt_add_event_callback(&heard);
	return true;
}

void wifi_turn(void)
{
	static enum { NEW, READY, NOTHING } state;
	static int64_t due;
	struct wifi_connect_req_params to = {.ssid = (const uint8_t *)ssid,
					     .psk = (uint8_t *)psk,
					     .channel = WIFI_CHANNEL_ANY,
					     .timeout = SYS_FOREVER_MS};
	int error;

	if (state == NEW) {
		state = begin() ? READY : NOTHING;
	}
	if (state == NOTHING || atomic_get(&joined) || k_uptime_get() < due) {
		return;
	}
	due = k_uptime_get() + AGAIN_MS;
	to.ssid_length = strlen(ssid);
	to.psk_length = strlen(psk);
	to.security = to.psk_length > 0 ? WIFI_SECURITY_TYPE_PSK : WIFI_SECURITY_TYPE_NONE;
	error = net_mgmt(NET_REQUEST_WIFI_CONNECT, net_if_get_default(), &to, sizeof(to));
	if (error != 0) {
		LOG_WRN("the Wi-Fi takes no order: %d", error);
	}
}
