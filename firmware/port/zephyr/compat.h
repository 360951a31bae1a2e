/* What is spelt differently between Zephyr 3.4 and today's. */
#ifndef PROPLET_ZEPHYR_COMPAT_H
#define PROPLET_ZEPHYR_COMPAT_H

#if __has_include(<zephyr/version.h>)
#include <zephyr/version.h> /* from 3.6 on */
#else
#include <version.h>
#endif

#define COMPAT_ZEPHYR(major, minor) (KERNEL_VERSION_NUMBER >= ((major) << 16 | (minor) << 8))

#if COMPAT_ZEPHYR(4, 1)
#define COMPAT_MQTT_DISCONNECT(client) mqtt_disconnect((client), NULL)
#define COMPAT_OWN_CERTIFICATE TLS_CREDENTIAL_PUBLIC_CERTIFICATE
#else
#define COMPAT_MQTT_DISCONNECT(client) mqtt_disconnect(client)
#define COMPAT_OWN_CERTIFICATE TLS_CREDENTIAL_SERVER_CERTIFICATE
#endif

#if COMPAT_ZEPHYR(4, 2)
#define COMPAT_EVENT uint64_t
#else
#define COMPAT_EVENT uint32_t
#endif

/* Networking has names of its own from 4.4 on; the old ones are a compatibility mode that will go. */
#if COMPAT_ZEPHYR(4, 4)
#define COMPAT_SOCKADDR_STORAGE net_sockaddr_storage
#define COMPAT_AF_INET NET_AF_INET
#define COMPAT_SOCK_STREAM NET_SOCK_STREAM
#define COMPAT_PEER_VERIFY_REQUIRED ZSOCK_TLS_PEER_VERIFY_REQUIRED
#else
#define COMPAT_SOCKADDR_STORAGE sockaddr_storage
#define COMPAT_AF_INET AF_INET
#define COMPAT_SOCK_STREAM SOCK_STREAM
#define COMPAT_PEER_VERIFY_REQUIRED TLS_PEER_VERIFY_REQUIRED
#endif

#if COMPAT_ZEPHYR(4, 4)
#define COMPAT_NVS_HEADER <zephyr/kvss/nvs.h>
#define COMPAT_PARTITION(what, label) PARTITION_##what(label)
#else
#define COMPAT_NVS_HEADER <zephyr/fs/nvs.h>
#define COMPAT_PARTITION(what, label) FIXED_PARTITION_##what(label)
#endif

#endif
