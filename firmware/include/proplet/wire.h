/*
 * The wire: bodies, frames, blob pieces and topics, as propeller/wire says them.
 *
 * pp_read takes what a stranger sent, JSON or CBOR, checks it against the table of its message and
 * writes it as plain CBOR: fields in the order of the table, defaults left out. What is read by
 * pp_field and the rest is always such checked CBOR, so those need no error of their own.
 */
#ifndef PROPLET_WIRE_H
#define PROPLET_WIRE_H

#include "proplet/port.h"
#include "proplet/tables.h"

#define PP_MAX_INTEGER ((INT64_C(1) << 53) - 1)
#define PP_MAX_BODY 65536u        /* bytes of a body that stands in a message */
#define PP_MAX_LIST (4u << 20)    /* bytes of a list that travels as a blob */
#define PP_MAX_DEPTH 12
#define PP_MAX_KEYS 256           /* keys of one map; more is too_many */

/* -- writing CBOR ------------------------------------------------------------------------- */

/* A buffer being filled. `full` once something did not fit; `len` is then of no use. */
struct pp_out {
	uint8_t *at;
	size_t cap, len;
	bool full;
};

void pp_out_init(struct pp_out *out, void *at, size_t cap);
void pp_put_raw(struct pp_out *out, const void *data, size_t len);
void pp_put_head(struct pp_out *out, uint8_t major, uint64_t count);
void pp_put_int(struct pp_out *out, int64_t value);
void pp_put_bool(struct pp_out *out, bool value);
void pp_put_text(struct pp_out *out, const char *text, size_t len);
void pp_put_bytes(struct pp_out *out, const void *data, size_t len);
/* A key of a map, and a value after it. */
void pp_put_key(struct pp_out *out, unsigned key);
void pp_put_int_in(struct pp_out *out, unsigned key, int64_t value);
void pp_put_text_in(struct pp_out *out, unsigned key, const char *text, size_t len);
void pp_put_word_in(struct pp_out *out, unsigned key, const char *word); /* ends with NUL */
void pp_put_bytes_in(struct pp_out *out, unsigned key, const void *data, size_t len);
void pp_put_map(struct pp_out *out, size_t count);
void pp_put_list(struct pp_out *out, size_t count);
/* Begin a map or list whose count is not known yet; pp_put_close writes it where `mark` says. */
size_t pp_put_open(struct pp_out *out);
void pp_put_close(struct pp_out *out, size_t mark, uint8_t major, size_t count);
#define PP_MAJOR_LIST 4
#define PP_MAJOR_MAP 5

/* -- reading checked CBOR ----------------------------------------------------------------- */

struct pp_view {
	const uint8_t *at; /* NULL: absent */
	size_t len;
};

/* The value of field `number` of the map `map`; at NULL when it is not there. */
struct pp_view pp_field(struct pp_view map, unsigned number);
bool pp_has(struct pp_view map, unsigned number);
/* The value itself; `absent` where there is none. */
int64_t pp_int(struct pp_view value, int64_t absent);
bool pp_true(struct pp_view value);
struct proplet_text pp_text(struct pp_view value); /* len 0 where absent */
const uint8_t *pp_bytes(struct pp_view value, size_t *len); /* NULL where absent */
/* The value of a field, in one call: a hundred callers are a kilobyte and a half smaller. */
int64_t pp_int_in(struct pp_view map, unsigned number); /* 0 where absent */
struct proplet_text pp_text_in(struct pp_view map, unsigned number);
const uint8_t *pp_bytes_in(struct pp_view map, unsigned number, size_t *len);
/* Items of a list, or keys and values of a map one after the other. */
struct pp_items {
	const uint8_t *at, *end;
	uint64_t left;
};
struct pp_items pp_items(struct pp_view list_or_map);
bool pp_next(struct pp_items *items, struct pp_view *item);
size_t pp_count(struct pp_view list_or_map); /* items, or pairs */

/* -- checking and translating ------------------------------------------------------------- */

/* A body of the message `shape`. PP_TAKEN, and out holds it as checked CBOR; else why not. Too long
 * for `out` is too_big. */
enum pp_reject pp_read(const struct pp_shape *shape, const uint8_t *body, size_t len,
		       struct pp_out *out);
/* A list that travels as a blob: pp_kind_tasks or pp_kind_inventory. */
enum pp_reject pp_read_list(const struct pp_kind *list, const uint8_t *body, size_t len,
			    struct pp_out *out);
/* Is `body` CBOR in its one spelling, all of it? */
enum pp_reject pp_cbor_check(const uint8_t *body, size_t len);

/* Where text goes piece by piece. */
struct pp_sink {
	void (*take)(void *ctx, const void *data, size_t len);
	void *ctx;
};

/* Checked CBOR as JSON. canonical: keys sorted, the text digests are over. leave_out: bits of the
 * numbers of fields of the outermost map that are not written. */
void pp_json(const struct pp_kind *kind, struct pp_view value, bool canonical, uint32_t leave_out,
	     struct pp_sink sink);
void pp_json_shape(const struct pp_shape *shape, struct pp_view value, bool canonical,
		   uint32_t leave_out, struct pp_sink sink);

/* -- frames ------------------------------------------------------------------------------- */

#define PP_KID 64
#define PP_SIGNATURE 64

enum pp_role {
	PP_ROLE_ROOT = 1,
	PP_ROLE_MANAGER = 2,
	PP_ROLE_GATEWAY = 4,
	PP_ROLE_DEVICE = 8,
	PP_ROLE_RELEASE = 16
};

/* What is signed: the purpose keeps a signature for one topic from proving anything on another. */
enum pp_purpose {
	PP_FOR_DESIRED,
	PP_FOR_OP,
	PP_FOR_ACK,
	PP_FOR_MANAGER,
	PP_FOR_ECHO,
	PP_FOR_TRUST,
	PP_FOR_RELEASES,
	PP_FOR_REPORT,
	PP_FOR_HELLO,
	PP_FOR_STATUS,
	PP_FOR_ANSWER,
	PP_FOR_PUT,
	PP_FOR_ENROLL,
	PP_FOR_CALL,
	PP_FOR_RETURN,
	PP_PURPOSES
};
const char *pp_purpose_word(enum pp_purpose purpose);

struct pp_key {
	uint8_t alg;   /* enum proplet_alg */
	uint8_t roles; /* enum pp_role, as bits */
	uint8_t len;   /* of raw */
	uint8_t raw[65];
	char kid[17];
};

/* The key that `text` spells: "ed25519:<base64>" or "p256:<base64>". bad_key otherwise. */
enum pp_reject pp_key_read(const struct proplet_port *port, struct proplet_text text,
			   struct pp_key *key);

/* The device's encryption key, and the one place where a value sealed to it counts. */
enum pp_box_scheme { PP_BOX_X25519 = 1, PP_BOX_P256 = 2 };
struct pp_box {
	uint8_t scheme;
	uint8_t len; /* of raw; 0: there is none */
	uint8_t raw[65];
};
struct pp_place {
	const char *device;
	const uint8_t *inst, *uid, *run; /* 16 bytes each */
	struct proplet_text name;
};
/* "x25519:<base64>" or "p256:<base64>"; bad_key otherwise. */
enum pp_reject pp_box_read(struct proplet_text text, struct pp_box *box);
/* Opens a sealed value into `out`: bad_seal, bad_key, or too_big where it is more than cap. */
enum pp_reject pp_box_open(const struct proplet_port *port, const struct pp_box *box,
			   const struct pp_place *place, const uint8_t *sealed, size_t len,
			   uint8_t *out, size_t cap, size_t *size);

/* Opens a frame with one of `keys`: body and the roles of who signed. */
struct pp_opened {
	const uint8_t *body;
	size_t len;
	uint8_t roles;
};
enum pp_reject pp_frame_open(const struct proplet_port *port, enum pp_purpose purpose,
			     const uint8_t *frame, size_t len, const struct pp_key *keys,
			     size_t key_count, struct pp_opened *opened);

/* Bytes of a frame's head for this key; the body follows it. */
size_t pp_frame_head(const struct pp_key *key);
/* Writes the head before a body that stands at frame + pp_frame_head(key). */
int pp_frame_seal(const struct proplet_port *port, enum pp_purpose purpose,
		  const struct pp_key *key, uint8_t *frame, size_t body_len);

/* -- pieces of blobs ---------------------------------------------------------------------- */

#define PP_CHUNK_HEADER 56
#define PP_MAX_DATA (1u << 20)

struct pp_chunk {
	const uint8_t *digest;
	uint64_t off, total;
	uint32_t req;
	const uint8_t *data;
	size_t len;
	uint8_t error; /* enum pp_blob_error */
};
struct pp_put {
	const uint8_t *digest, *inst;
	struct proplet_text id;
	uint64_t off, total;
	const uint8_t *data;
	size_t len;
};
enum pp_reject pp_chunk_read(const uint8_t *body, size_t len, struct pp_chunk *chunk);
enum pp_reject pp_put_read(const uint8_t *body, size_t len, struct pp_put *put);
enum pp_reject pp_chunk_write(struct pp_out *out, const struct pp_chunk *chunk);
/* The head of a put; its data follow. */
enum pp_reject pp_put_write(struct pp_out *out, const struct pp_put *put);
const char *pp_blob_error_word(uint8_t error);

/* -- topics ------------------------------------------------------------------------------- */

enum pp_topic {
	PP_TOPIC_FOREIGN,
	PP_TOPIC_DESIRED,
	PP_TOPIC_REPORT,
	PP_TOPIC_STATUS,
	PP_TOPIC_HELLO,
	PP_TOPIC_OP,
	PP_TOPIC_OP_ANSWER,
	PP_TOPIC_CALL,
	PP_TOPIC_CALL_ANSWER,
	PP_TOPIC_BLOB_GET,
	PP_TOPIC_BLOB_DATA,
	PP_TOPIC_BLOB_PUT,
	PP_TOPIC_BLOB_ACK,
	PP_TOPIC_METRICS,
	PP_TOPIC_LOG,
	PP_TOPIC_TRUST,
	PP_TOPIC_RELEASES,
	PP_TOPIC_MANAGER_STATUS,
	PP_TOPIC_MANAGER_ECHO,
	PP_TOPICS
};

struct pp_channel {
	const char *domain, *channel;
};
struct pp_heard {
	enum pp_topic topic;
	struct proplet_text proplet; /* empty for the fleet's */
	struct proplet_text extra;   /* operation, source of an echo, "p256" */
};
bool pp_is_id(const char *text, size_t len);
struct pp_heard pp_topic_parse(const struct pp_channel *channel, const char *topic);
/* Writes a topic; alg is for trust and manager status, extra for an answer or an echo. False when
 * it does not fit or an id is none. */
bool pp_topic_write(const struct pp_channel *channel, enum pp_topic topic, const char *proplet,
		    const char *extra, unsigned alg, char *out, size_t cap);
const char *pp_topic_word(enum pp_topic topic);

#endif
