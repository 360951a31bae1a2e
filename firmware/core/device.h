/* Inside of the device: what device.c, shell.c, storage.c and the rest call of each other. */
#ifndef PP_DEVICE_H
#define PP_DEVICE_H

#include <string.h>

#include "proplet/device.h"

struct pp_now proplet_now(struct proplet *p);

/* shell.c: effects of the agent */
int pp_shell_effect(void *ctx, const struct pp_effect *effect);
int64_t pp_shell_chance(void *ctx, int64_t low, int64_t high);
int pp_shell_load_times(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len);
int pp_shell_load_run(void *ctx, uint16_t slot, uint8_t *buf, size_t cap, size_t *len);

/* stored.c: records */
int pp_stored_boot(struct proplet *p, uint8_t inst[16]);
int pp_stored_save_desired(struct proplet *p, const struct pp_effect *effect);
void pp_stored_load_desired(struct proplet *p, struct pp_stored *stored);
int pp_stored_save_releases(struct proplet *p, const struct pp_effect *effect);
void pp_stored_load_releases(struct proplet *p, struct pp_stored *stored);
int pp_stored_save_run(struct proplet *p, const struct pp_effect *effect);
int pp_stored_save_uploads(struct proplet *p, const uint8_t *more, uint64_t size,
			   const uint8_t *less);
void pp_stored_load_uploads(struct proplet *p, struct pp_stored *stored);
int pp_stored_save_silence(struct proplet *p, int64_t word, int64_t silence);
void pp_stored_load_silence(struct proplet *p, struct pp_stored *stored);

/* hello.c */
size_t pp_hello_write(struct proplet *p, const uint8_t inst[16], struct pp_out *out);

/* blobs.c: what is fetched, verified, evicted, kept */
bool pp_blobs_pump(struct proplet *p);
int pp_blobs_write(struct proplet *p, const uint8_t *digest, uint64_t off, uint64_t total,
		   const void *data, size_t len);
int pp_blobs_keep_inventory(struct proplet *p, const uint8_t *digest, uint64_t size);
int pp_blobs_send(struct proplet *p, const struct pp_effect *effect);
/* Drops what nothing needs until so much is free, or all that may go is gone. */
void pp_blobs_make_room(struct proplet *p, uint64_t size);
void pp_blobs_free(struct proplet *p, const uint8_t *digest);

/* guests.c: what is prepared, started, stopped, ended, logged */
bool pp_guests_pump(struct proplet *p);
/* run_id: of the guest; that of a time of a schedule is not the run's own */
int pp_guests_start(struct proplet *p, const struct pp_run *run, const uint8_t *run_id,
		    uint32_t restarts);
void pp_guests_stop(struct proplet *p, const struct pp_run *run, const uint8_t *run_id,
		    int64_t grace);
void pp_guests_tail(struct proplet *p, const struct pp_effect *effect);
int64_t pp_guests_due(const struct proplet *p);

/* boxes.c: true, and why, where a secret of the guest does not open here */
struct pp_words;
bool pp_boxes_refuse(const struct proplet *p, const struct proplet_guest *guest,
		     struct pp_words *words);

/* ring.c */
void pp_ring_load(struct proplet *p);
void pp_ring_add(struct proplet *p, enum proplet_did what, uint8_t detail, const uint8_t *uid);
void pp_ring_save(struct proplet *p);
size_t pp_ring_tell(void *ctx, const char *verb, size_t verb_len, char *text, size_t cap);

#endif
