/* Made by tests/firmware/make_tables.py from propeller/wire: change it there. */
#ifndef PROPLET_TABLES_H
#define PROPLET_TABLES_H

#include <stdint.h>

/* Why a body is refused; the words are those of every other implementation. */
enum pp_reject {
	PP_TAKEN = 0,
	PP_NOT_MAP,
	PP_TOO_BIG,
	PP_MALFORMED,
	PP_TOO_DEEP,
	PP_DUPLICATE_KEY,
	PP_FLOAT,
	PP_INTEGER_RANGE,
	PP_UNSUPPORTED_VERSION,
	PP_MISSING_FIELD,
	PP_WRONG_TYPE,
	PP_BAD_ID,
	PP_BAD_TEXT,
	PP_BAD_ENUM,
	PP_TOO_LONG,
	PP_TOO_MANY,
	PP_CONFLICT,
	PP_NOT_FRAMED,
	PP_BAD_FRAME,
	PP_UNKNOWN_ALG,
	PP_UNKNOWN_KID,
	PP_BAD_SIGNATURE,
	PP_NOT_ALLOWED,
	PP_BAD_KEY,
	PP_BAD_SEAL,
	PP_DIGEST_MISMATCH,
};

const char *pp_reject_word(enum pp_reject reject);

/* Errors of a blob chunk, as they stand in its header. */
enum pp_blob_error {
	PP_BLOB_FINE = 0,
	PP_BLOB_UNKNOWN_DIGEST,
	PP_BLOB_NOT_YOURS,
	PP_BLOB_OUT_OF_RANGE,
	PP_BLOB_BUSY,
	PP_BLOB_UNAVAILABLE,
};

enum pp_kind_type {
	PP_TEXT,   /* high: bytes; flag: may hold NUL */
	PP_ID,
	PP_REF,
	PP_HEX,    /* high: bytes; flag: 1 uuid, 2 sha256: before it */
	PP_INT,    /* low..high */
	PP_BOOL,
	PP_ENUM,   /* high: words; more: const char *const * */
	PP_LIST,   /* high: items; more: kind of an item */
	PP_NAMED,  /* low: bytes of a name; high: names; more: kind of a value */
	PP_PACKED, /* high: bytes; base64 in JSON */
	PP_ENV,    /* low: bytes of an item; high: items */
	PP_SHAPE,  /* more: shape */
};

/* Tables are flash, and most of them are small numbers: a limit is its place in pp_limits. */
struct pp_kind {
	uint8_t type, flag;
	uint8_t low, high;
	const void *more;
};
extern const int64_t pp_limits[];

struct pp_field {
	uint8_t number, required;
	uint8_t absent; /* place in pp_absents; 0: nothing is left out */
	const char *key;
	const struct pp_kind *kind;
};
/* CBOR of what a field holds when it is absent, which is never written: length, bytes. */
extern const uint8_t pp_absents[][6];

struct pp_shape {
	const char *name;
	const struct pp_field *fields;
	const uint8_t *sorted; /* places of the fields in the order of their keys */
	uint8_t count;
	uint8_t first, second; /* place + 1 of two fields that exclude each other */
	uint8_t one_needed;
};

/* Lists that travel as blobs. */
extern const struct pp_kind pp_kind_tasks, pp_kind_inventory;

extern const struct pp_shape pp_shape_wire_serve;
enum pp_wire_serve_field { PP_WIRE_SERVE_INTERFACE = 1, PP_WIRE_SERVE_CONCURRENCY = 2, PP_WIRE_SERVE_QUEUE = 3, PP_WIRE_SERVE_READY = 4, PP_WIRE_SERVE_INVOCATIONS = 5 };
#define PP_WIRE_SERVE_INTERFACE_COMMAND 0
#define PP_WIRE_SERVE_INTERFACE_VALUES 1
#define PP_WIRE_SERVE_INTERFACE_BYTES 2

extern const struct pp_shape pp_shape_blob_ref;
enum pp_blob_ref_field { PP_BLOB_REF_DIGEST = 1, PP_BLOB_REF_SIZE = 2 };

extern const struct pp_shape pp_shape_wire_aot;
enum pp_wire_aot_field { PP_WIRE_AOT_DIGEST = 1, PP_WIRE_AOT_SIZE = 2, PP_WIRE_AOT_TARGET = 3 };

extern const struct pp_shape pp_shape_wire_module;
enum pp_wire_module_field { PP_WIRE_MODULE_DIGEST = 1, PP_WIRE_MODULE_SIZE = 2, PP_WIRE_MODULE_IMAGE = 3, PP_WIRE_MODULE_PLAIN = 4, PP_WIRE_MODULE_KEY = 5, PP_WIRE_MODULE_AOT = 6 };

extern const struct pp_shape pp_shape_wire_model;
enum pp_wire_model_field { PP_WIRE_MODEL_NAME = 1, PP_WIRE_MODEL_BLOB = 2 };

extern const struct pp_shape pp_shape_wire_slots;
enum pp_wire_slots_field { PP_WIRE_SLOTS_MINUTES = 1, PP_WIRE_SLOTS_HOURS = 2, PP_WIRE_SLOTS_DAYS = 3, PP_WIRE_SLOTS_MONTHS = 4, PP_WIRE_SLOTS_WEEKDAYS = 5, PP_WIRE_SLOTS_EITHER = 6, PP_WIRE_SLOTS_ONCE = 7, PP_WIRE_SLOTS_OFFSET = 8, PP_WIRE_SLOTS_SUMMER = 9, PP_WIRE_SLOTS_STARTS = 10, PP_WIRE_SLOTS_ENDS = 11 };

extern const struct pp_shape pp_shape_wire_schedule;
enum pp_wire_schedule_field { PP_WIRE_SCHEDULE_CRON = 1, PP_WIRE_SCHEDULE_ZONE = 2, PP_WIRE_SCHEDULE_MISSED = 3, PP_WIRE_SCHEDULE_OVERLAP = 4, PP_WIRE_SCHEDULE_DEADLINE = 5, PP_WIRE_SCHEDULE_JITTER = 6, PP_WIRE_SCHEDULE_KEEP = 7, PP_WIRE_SCHEDULE_SLOTS = 8 };
#define PP_WIRE_SCHEDULE_MISSED_RUN_LATEST 0
#define PP_WIRE_SCHEDULE_MISSED_SKIP 1
#define PP_WIRE_SCHEDULE_OVERLAP_FORBID 0
#define PP_WIRE_SCHEDULE_OVERLAP_REPLACE 1

extern const struct pp_shape pp_shape_wire_topic;
enum pp_wire_topic_field { PP_WIRE_TOPIC_NAME = 1, PP_WIRE_TOPIC_PUBLISH = 2, PP_WIRE_TOPIC_SUBSCRIBE = 3, PP_WIRE_TOPIC_SIZE = 4, PP_WIRE_TOPIC_RATE = 5, PP_WIRE_TOPIC_KEEP = 6 };

extern const struct pp_shape pp_shape_wire_point;
enum pp_wire_point_field { PP_WIRE_POINT_NAME = 1, PP_WIRE_POINT_READ = 2, PP_WIRE_POINT_WRITE = 3, PP_WIRE_POINT_RATE = 4 };

extern const struct pp_shape pp_shape_wire_http;
enum pp_wire_http_field { PP_WIRE_HTTP_ALLOW = 1, PP_WIRE_HTTP_REQUESTS = 2, PP_WIRE_HTTP_TIMEOUT = 3, PP_WIRE_HTTP_BODY = 4 };

extern const struct pp_shape pp_shape_wire_mount;
enum pp_wire_mount_field { PP_WIRE_MOUNT_NAME = 1, PP_WIRE_MOUNT_PATH = 2, PP_WIRE_MOUNT_ACCESS = 3 };
#define PP_WIRE_MOUNT_ACCESS_READ_ONLY 0
#define PP_WIRE_MOUNT_ACCESS_READ_WRITE 1

extern const struct pp_shape pp_shape_wire_secure;
enum pp_wire_secure_field { PP_WIRE_SECURE_RANGE = 1, PP_WIRE_SECURE_BITS = 2, PP_WIRE_SECURE_MOST = 3, PP_WIRE_SECURE_MEMBERS = 4, PP_WIRE_SECURE_BLOB = 5 };

extern const struct pp_shape pp_shape_wire_training;
enum pp_wire_training_field { PP_WIRE_TRAINING_JOB = 1, PP_WIRE_TRAINING_ROUND = 2, PP_WIRE_TRAINING_ATTEMPT = 3, PP_WIRE_TRAINING_STEP = 4, PP_WIRE_TRAINING_FORMAT = 5, PP_WIRE_TRAINING_NONCE = 6, PP_WIRE_TRAINING_SEED = 7, PP_WIRE_TRAINING_MODEL = 8, PP_WIRE_TRAINING_LAYOUT = 9, PP_WIRE_TRAINING_PARAMS = 10, PP_WIRE_TRAINING_GUEST = 11, PP_WIRE_TRAINING_SAMPLES = 12, PP_WIRE_TRAINING_CLIP = 13, PP_WIRE_TRAINING_NOISE = 14, PP_WIRE_TRAINING_SECURE = 15, PP_WIRE_TRAINING_CONTROL = 16, PP_WIRE_TRAINING_IMAGE = 17 };
#define PP_WIRE_TRAINING_STEP_TRAIN 0
#define PP_WIRE_TRAINING_STEP_EVALUATE 1
#define PP_WIRE_TRAINING_STEP_KEYS 2
#define PP_WIRE_TRAINING_STEP_SHARES 3
#define PP_WIRE_TRAINING_STEP_OPEN 4
#define PP_WIRE_TRAINING_GUEST_IMPORTS 0
#define PP_WIRE_TRAINING_GUEST_ENV 1
#define PP_WIRE_TRAINING_GUEST_FILE 2

extern const struct pp_shape pp_shape_entry;
enum pp_entry_field { PP_ENTRY_UID = 1, PP_ENTRY_REF = 2, PP_ENTRY_RUN = 3, PP_ENTRY_CAUSE = 4, PP_ENTRY_MODE = 5, PP_ENTRY_DIGEST = 6, PP_ENTRY_MODULE = 7, PP_ENTRY_ENTRYPOINT = 8, PP_ENTRY_ARGS = 9, PP_ENTRY_ENV = 10, PP_ENTRY_STDIN = 11, PP_ENTRY_MOUNTS = 12, PP_ENTRY_MEMORY = 13, PP_ENTRY_FUEL = 14, PP_ENTRY_TIMEOUT = 15, PP_ENTRY_OUTPUT = 16, PP_ENTRY_RESTART = 17, PP_ENTRY_BACKOFF_BASE = 18, PP_ENTRY_BACKOFF_CAP = 19, PP_ENTRY_MAX_RESTARTS = 20, PP_ENTRY_READY_AFTER = 21, PP_ENTRY_SEALED = 22, PP_ENTRY_FL = 23, PP_ENTRY_UPDATE = 24, PP_ENTRY_SERVE = 25, PP_ENTRY_MODELS = 26, PP_ENTRY_TOPICS = 27, PP_ENTRY_AUTONOMY = 28, PP_ENTRY_EXTERNAL = 29, PP_ENTRY_SCHEDULE = 30, PP_ENTRY_POINTS = 32, PP_ENTRY_HTTP = 33 };
#define PP_ENTRY_MODE_ONCE 0
#define PP_ENTRY_MODE_DAEMON 1
#define PP_ENTRY_MODE_SERVE 2
#define PP_ENTRY_MODE_TIMED 3
#define PP_ENTRY_RESTART_NEVER 0
#define PP_ENTRY_RESTART_ON_FAILURE 1
#define PP_ENTRY_RESTART_ALWAYS 2
#define PP_ENTRY_UPDATE_KILL_THEN_DOWNLOAD 0
#define PP_ENTRY_UPDATE_HAND_OVER 1

extern const struct pp_shape pp_shape_call;
enum pp_call_field { PP_CALL_V = 0, PP_CALL_ID = 1, PP_CALL_VERB = 2, PP_CALL_TO = 3, PP_CALL_INST = 4, PP_CALL_BOOT = 5, PP_CALL_CONN = 6, PP_CALL_SRC = 7, PP_CALL_N = 8, PP_CALL_UID = 9, PP_CALL_RUN = 10, PP_CALL_TIMEOUT = 11, PP_CALL_METHOD = 12, PP_CALL_PATH = 13, PP_CALL_QUERY = 14, PP_CALL_HEADERS = 15, PP_CALL_BODY = 16, PP_CALL_TRACE = 17, PP_CALL_FOLLOW = 18 };
#define PP_CALL_VERB_RUN 0
#define PP_CALL_VERB_RECALL 1
#define PP_CALL_VERB_CANCEL 2

extern const struct pp_shape pp_shape_call_answer;
enum pp_call_answer_field { PP_CALL_ANSWER_V = 0, PP_CALL_ANSWER_ID = 1, PP_CALL_ANSWER_CALL = 2, PP_CALL_ANSWER_INST = 3, PP_CALL_ANSWER_BOOT = 4, PP_CALL_ANSWER_STATE = 5, PP_CALL_ANSWER_CAUSE = 6, PP_CALL_ANSWER_STATUS = 7, PP_CALL_ANSWER_HEADERS = 8, PP_CALL_ANSWER_BODY = 9, PP_CALL_ANSWER_ERROR = 10, PP_CALL_ANSWER_WAIT = 11, PP_CALL_ANSWER_TOOK = 12, PP_CALL_ANSWER_LOG = 13, PP_CALL_ANSWER_LOST = 14, PP_CALL_ANSWER_N = 15 };
#define PP_CALL_ANSWER_STATE_DONE 0
#define PP_CALL_ANSWER_STATE_FAILED 1
#define PP_CALL_ANSWER_STATE_REFUSED 2
#define PP_CALL_ANSWER_STATE_UNKNOWN 3
#define PP_CALL_ANSWER_STATE_RUNNING 4

extern const struct pp_shape pp_shape_desired;
enum pp_desired_field { PP_DESIRED_V = 0, PP_DESIRED_TO = 1, PP_DESIRED_INST = 2, PP_DESIRED_FENCE = 3, PP_DESIRED_GEN = 4, PP_DESIRED_IAT = 5, PP_DESIRED_DIGEST = 6, PP_DESIRED_TASKS = 7, PP_DESIRED_BODY = 8, PP_DESIRED_NOT_AFTER = 9, PP_DESIRED_TRACE = 10 };

extern const struct pp_shape pp_shape_observed;
enum pp_observed_field { PP_OBSERVED_FENCE = 1, PP_OBSERVED_GEN = 2, PP_OBSERVED_DIGEST = 3 };

extern const struct pp_shape pp_shape_refused;
enum pp_refused_field { PP_REFUSED_FENCE = 1, PP_REFUSED_GEN = 2, PP_REFUSED_DIGEST = 3, PP_REFUSED_REASON = 4 };

extern const struct pp_shape pp_shape_past_run;
enum pp_past_run_field { PP_PAST_RUN_SLOT = 1, PP_PAST_RUN_STATE = 2, PP_PAST_RUN_ATTEMPT = 3, PP_PAST_RUN_EXIT = 4, PP_PAST_RUN_RESULT = 5, PP_PAST_RUN_RESULT_BLOB = 6, PP_PAST_RUN_ERROR = 7, PP_PAST_RUN_STARTED = 8, PP_PAST_RUN_ENDED = 9 };
#define PP_PAST_RUN_STATE_PENDING 0
#define PP_PAST_RUN_STATE_FETCHING 1
#define PP_PAST_RUN_STATE_RUNNING 2
#define PP_PAST_RUN_STATE_BACK_OFF 3
#define PP_PAST_RUN_STATE_STOPPING 4
#define PP_PAST_RUN_STATE_SUCCEEDED 5
#define PP_PAST_RUN_STATE_FAILED 6
#define PP_PAST_RUN_STATE_INTERRUPTED 7
#define PP_PAST_RUN_STATE_REFUSED 8

extern const struct pp_shape pp_shape_run_report;
enum pp_run_report_field { PP_RUN_REPORT_UID = 1, PP_RUN_REPORT_RUN = 2, PP_RUN_REPORT_DIGEST = 3, PP_RUN_REPORT_CAUSE = 4, PP_RUN_REPORT_STATE = 5, PP_RUN_REPORT_EXIT = 6, PP_RUN_REPORT_RESULT = 7, PP_RUN_REPORT_RESULT_BLOB = 8, PP_RUN_REPORT_ERROR = 9, PP_RUN_REPORT_RESTARTS = 10, PP_RUN_REPORT_READY = 11, PP_RUN_REPORT_STARTED = 12, PP_RUN_REPORT_ENDED = 13, PP_RUN_REPORT_SPENT = 14, PP_RUN_REPORT_PAST = 15, PP_RUN_REPORT_LOST = 16 };
#define PP_RUN_REPORT_STATE_PENDING 0
#define PP_RUN_REPORT_STATE_FETCHING 1
#define PP_RUN_REPORT_STATE_RUNNING 2
#define PP_RUN_REPORT_STATE_BACK_OFF 3
#define PP_RUN_REPORT_STATE_STOPPING 4
#define PP_RUN_REPORT_STATE_SUCCEEDED 5
#define PP_RUN_REPORT_STATE_FAILED 6
#define PP_RUN_REPORT_STATE_INTERRUPTED 7
#define PP_RUN_REPORT_STATE_REFUSED 8

extern const struct pp_shape pp_shape_free;
enum pp_free_field { PP_FREE_MEMORY = 1, PP_FREE_TASKS = 2, PP_FREE_STORAGE = 3 };

extern const struct pp_shape pp_shape_report;
enum pp_report_field { PP_REPORT_V = 0, PP_REPORT_ID = 1, PP_REPORT_INST = 2, PP_REPORT_BOOT = 3, PP_REPORT_SEQ = 4, PP_REPORT_CONN = 5, PP_REPORT_OBSERVED = 6, PP_REPORT_INVENTORY = 7, PP_REPORT_TASKS = 8, PP_REPORT_BODY = 9, PP_REPORT_REFUSED = 10, PP_REPORT_FREE = 11, PP_REPORT_METRICS = 12, PP_REPORT_CLOCK = 13 };
#define PP_REPORT_CLOCK_SYNCED 0
#define PP_REPORT_CLOCK_UNSYNCED 1

extern const struct pp_shape pp_shape_status;
enum pp_status_field { PP_STATUS_V = 0, PP_STATUS_ID = 1, PP_STATUS_STATE = 2, PP_STATUS_INST = 3, PP_STATUS_BOOT = 4, PP_STATUS_CONN = 5 };
#define PP_STATUS_STATE_ONLINE 0
#define PP_STATUS_STATE_OFFLINE 1

extern const struct pp_shape pp_shape_hello;
enum pp_hello_field { PP_HELLO_V = 0, PP_HELLO_ID = 1, PP_HELLO_INST = 2, PP_HELLO_BOOT = 3, PP_HELLO_ARCH = 4, PP_HELLO_OS = 5, PP_HELLO_RUNTIME = 6, PP_HELLO_RUNTIME_VERSION = 7, PP_HELLO_AGENT = 8, PP_HELLO_MEMORY = 9, PP_HELLO_STORAGE = 10, PP_HELLO_TASKS = 11, PP_HELLO_MAX_MODULE = 12, PP_HELLO_MAX_PAYLOAD = 13, PP_HELLO_MIN_RUN_INTERVAL = 14, PP_HELLO_HEARTBEAT = 15, PP_HELLO_IMPORTS = 16, PP_HELLO_COMPONENTS = 17, PP_HELLO_MOUNTS = 18, PP_HELLO_ENCODINGS = 19, PP_HELLO_ALGS = 20, PP_HELLO_FETCH = 21, PP_HELLO_LABELS = 22, PP_HELLO_KEY = 23, PP_HELLO_VERSIONS = 24, PP_HELLO_BOX = 25, PP_HELLO_POINTS = 26 };

extern const struct pp_shape pp_shape_op;
enum pp_op_field { PP_OP_V = 0, PP_OP_ID = 1, PP_OP_VERB = 2, PP_OP_TO = 3, PP_OP_INST = 4, PP_OP_BOOT = 5, PP_OP_CONN = 6, PP_OP_SRC = 7, PP_OP_N = 8, PP_OP_UID = 9, PP_OP_RUN = 10, PP_OP_STREAM = 11, PP_OP_TAIL = 12, PP_OP_FOLLOW = 13, PP_OP_NOT_AFTER = 14 };
#define PP_OP_STREAM_BOTH 0
#define PP_OP_STREAM_STDOUT 1
#define PP_OP_STREAM_STDERR 2

extern const struct pp_shape pp_shape_op_answer;
enum pp_op_answer_field { PP_OP_ANSWER_V = 0, PP_OP_ANSWER_ID = 1, PP_OP_ANSWER_OP = 2, PP_OP_ANSWER_INST = 3, PP_OP_ANSWER_BOOT = 4, PP_OP_ANSWER_N = 5, PP_OP_ANSWER_STATE = 6, PP_OP_ANSWER_STREAM = 7, PP_OP_ANSWER_TEXT = 8, PP_OP_ANSWER_BLOB = 9, PP_OP_ANSWER_DROPPED = 10 };
#define PP_OP_ANSWER_STATE_ACCEPTED 0
#define PP_OP_ANSWER_STATE_PROGRESS 1
#define PP_OP_ANSWER_STATE_DONE 2
#define PP_OP_ANSWER_STATE_REFUSED 3
#define PP_OP_ANSWER_STREAM_NONE 0
#define PP_OP_ANSWER_STREAM_STDOUT 1
#define PP_OP_ANSWER_STREAM_STDERR 2

extern const struct pp_shape pp_shape_blob_get;
enum pp_blob_get_field { PP_BLOB_GET_V = 0, PP_BLOB_GET_ID = 1, PP_BLOB_GET_DIGEST = 2, PP_BLOB_GET_OFF = 3, PP_BLOB_GET_LEN = 4, PP_BLOB_GET_REQ = 5 };

extern const struct pp_shape pp_shape_blob_ack;
enum pp_blob_ack_field { PP_BLOB_ACK_V = 0, PP_BLOB_ACK_ID = 1, PP_BLOB_ACK_DIGEST = 2, PP_BLOB_ACK_HAVE = 3, PP_BLOB_ACK_STATE = 4, PP_BLOB_ACK_REASON = 5 };
#define PP_BLOB_ACK_STATE_OPEN 0
#define PP_BLOB_ACK_STATE_STORED 1
#define PP_BLOB_ACK_STATE_REFUSED 2

extern const struct pp_shape pp_shape_manager_status;
enum pp_manager_status_field { PP_MANAGER_STATUS_V = 0, PP_MANAGER_STATUS_STATE = 1, PP_MANAGER_STATUS_FENCE = 2, PP_MANAGER_STATUS_SRC = 3, PP_MANAGER_STATUS_CONN = 4 };
#define PP_MANAGER_STATUS_STATE_ONLINE 0
#define PP_MANAGER_STATUS_STATE_OFFLINE 1

extern const struct pp_shape pp_shape_echo;
enum pp_echo_field { PP_ECHO_V = 0, PP_ECHO_SRC = 1, PP_ECHO_CONN = 2, PP_ECHO_N = 3, PP_ECHO_AT = 4 };

extern const struct pp_shape pp_shape_trusted_key;
enum pp_trusted_key_field { PP_TRUSTED_KEY_KID = 1, PP_TRUSTED_KEY_ALG = 2, PP_TRUSTED_KEY_PUB = 3, PP_TRUSTED_KEY_ROLES = 4 };

extern const struct pp_shape pp_shape_trust;
enum pp_trust_field { PP_TRUST_V = 0, PP_TRUST_VERSION = 1, PP_TRUST_KEYS = 2 };

extern const struct pp_shape pp_shape_releases;
enum pp_releases_field { PP_RELEASES_V = 0, PP_RELEASES_VERSION = 1, PP_RELEASES_MODULES = 2, PP_RELEASES_NOT_AFTER = 3 };

extern const struct pp_shape pp_shape_log;
enum pp_log_field { PP_LOG_V = 0, PP_LOG_ID = 1, PP_LOG_BOOT = 2, PP_LOG_N = 3, PP_LOG_STREAM = 4, PP_LOG_TEXT = 5, PP_LOG_UID = 6, PP_LOG_RUN = 7, PP_LOG_DROPPED = 8 };
#define PP_LOG_STREAM_STDOUT 0
#define PP_LOG_STREAM_STDERR 1
#define PP_LOG_STREAM_AGENT 2

extern const struct pp_shape pp_shape_metrics;
enum pp_metrics_field { PP_METRICS_V = 0, PP_METRICS_ID = 1, PP_METRICS_BOOT = 2, PP_METRICS_N = 3, PP_METRICS_AT = 4, PP_METRICS_VALUES = 5, PP_METRICS_DROPPED = 6 };
#endif
