/*
 * The model and the layout that a round starts from, read from storage through 64 bytes: how many
 * parameters there are, where they begin, and the digest of the layout. The twin of
 * propeller/fl/model.py and layout.py, stricter: a layout counts only in its one canonical
 * spelling, which is the one its digest is over.
 */
#ifndef PROPLET_FL_MODEL_H
#define PROPLET_FL_MODEL_H

#include "proplet/port.h"

#define PF_MAX_COUNT (UINT32_C(1) << 26) /* parameters, as on Linux */

struct pf_model {
	uint32_t count;      /* parameters */
	uint32_t at;         /* where they begin in the file */
	uint8_t layout[32];  /* digest */
	bool has_layout;     /* the file says it */
};

/* A safetensors file. NULL, or why it cannot be used, in words. */
const char *pf_model_read(const struct proplet_port *port, const uint8_t digest[32], uint32_t size,
			  struct pf_model *model);

/* A layout manifest; *count: parameters in all. NULL, or why not. */
const char *pf_layout_read(const struct proplet_port *port, const uint8_t digest[32], uint32_t size,
			   uint32_t *count);

/* -- the reader of manifests, one byte at a time --------------------------------------------- */

struct pf_layout {
	uint64_t count, product; /* of all tensors, of this one */
	uint64_t number;
	uint32_t length;         /* of the word that is being read */
	uint8_t part, matched;
	bool escaped, wrong, over;
};

void pf_layout_init(struct pf_layout *layout);
void pf_layout_take(struct pf_layout *layout, uint8_t byte);
/* Whether all of a manifest was taken, and nothing else. */
bool pf_layout_whole(const struct pf_layout *layout);

#endif
