/* The envelope of an update, PFU1: see propeller/wire/updates.py, whose twin this is. */
#ifndef PROPLET_FL_UPDATE_H
#define PROPLET_FL_UPDATE_H

#include "encode.h"
#include "proplet/wire.h"

#define PF_HEAD 128
#define PF_SIGNATURE 64
#define PF_METRICS 16
#define PF_METRIC_NAME 64
#define PF_META 1920 /* bytes of the longest meta of ours */

struct pf_metric {
	char name[PF_METRIC_NAME + 1];
	char text[28]; /* decimal */
};

/* Sorted by name, bytes; each name once. */
struct pf_metrics {
	struct pf_metric list[PF_METRICS];
	unsigned count;
};

/* A name told again takes the newer value. NULL, or what is wrong in words. */
const char *pf_metric_tell(struct pf_metrics *metrics, const uint8_t *name, size_t len,
			   double value);

struct pf_update {
	enum pf_encoding encoding;
	uint8_t job[16], nonce[16];
	uint32_t round, attempt, steps;
	uint64_t samples, count;
	uint8_t base[32], layout[32], module[32]; /* base, layout: zeros for none */
};

/*
 * Puts head and meta before the body and the signature behind it: PF_HEAD + PF_META bytes stand
 * free before `body`, PF_SIGNATURE behind its `size`. *out is where the update begins; 0, or one of
 * enum proplet_error.
 */
int pf_update_seal(const struct proplet_port *port, const struct pf_update *update,
		   const struct pf_metrics *metrics, uint8_t *body, uint32_t size, uint8_t **out,
		   uint32_t *out_size);

/* The result of an evaluation as canonical JSON; its length, 0 where it does not fit. */
size_t pf_measured(const struct pf_metrics *metrics, uint64_t samples, char *to, size_t cap);

#endif
