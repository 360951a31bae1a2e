/* A Wi-Fi board joins the network of the settings `ssid` and `psk`, and joins it again. */
#ifndef PROPLET_ZEPHYR_WIFI_H
#define PROPLET_ZEPHYR_WIFI_H

#if defined(CONFIG_WIFI)
/* Joins when that is due; called by the main thread, often. */
void wifi_turn(void);
#else
static inline void wifi_turn(void)
{
}
#endif

#endif
