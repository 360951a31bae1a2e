/* The key that secrets are sealed to, and what opens them. With CONFIG_PROPLET_SECRETS. */
#ifndef PROPLET_ZEPHYR_BOXES_H
#define PROPLET_ZEPHYR_BOXES_H

#include <stdbool.h>

#include "proplet/port.h"

bool boxes_open(void);	      /* after keys_open */
const char *boxes_text(void); /* the public key */
void boxes_fill(struct proplet_port *port);

#endif
