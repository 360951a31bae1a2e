/* Made by tests/firmware/make_tables.py from propeller/wire: change it there. */
#include "proplet/tables.h"

#include <stddef.h>

static const char *const rejects[] = {
	"",
	"not_map",
	"too_big",
	"malformed",
	"too_deep",
	"duplicate_key",
	"float",
	"integer_range",
	"unsupported_version",
	"missing_field",
	"wrong_type",
	"bad_id",
	"bad_text",
	"bad_enum",
	"too_long",
	"too_many",
	"conflicting_fields",
	"not_framed",
	"bad_frame",
	"unknown_alg",
	"unknown_kid",
	"bad_signature",
	"not_allowed",
	"bad_key",
	"bad_seal",
	"digest_mismatch",
};

const char *pp_reject_word(enum pp_reject reject)
{
	return rejects[reject];
}

const int64_t pp_limits[] = {
	INT64_C(0),
	INT64_C(3),
	INT64_C(1),
	INT64_C(64),
	INT64_C(1024),
	INT64_C(1000000),
	INT64_C(32),
	INT64_C(9007199254740991),
	INT64_C(512),
	INT64_C(256),
	INT64_C(8),
	INT64_C(16777215),
	INT64_C(4294967295),
	INT64_C(8191),
	INT64_C(127),
	INT64_C(-1440),
	INT64_C(1440),
	INT64_C(2880),
	INT64_C(4),
	INT64_C(2),
	INT64_C(65536),
	INT64_C(1000),
	INT64_C(4096),
	INT64_C(120),
	INT64_C(16),
	INT64_C(1048576),
	INT64_C(128),
	INT64_C(40),
	INT64_C(31),
	INT64_C(5),
	INT64_C(393216),
	INT64_C(67584),
	INT64_C(2048),
	INT64_C(8192),
	INT64_C(16384),
	INT64_C(131073),
	INT64_C(262144),
	INT64_C(599),
	INT64_C(71),
	INT64_C(9),
	INT64_C(-2147483648),
	INT64_C(65),
	INT64_C(-9007199254740991),
	INT64_C(80),
	INT64_C(255),
	INT64_C(800),
};

const uint8_t pp_absents[][6] = {
	{0},
	{1, 0x01},
	{1, 0x00},
	{1, 0xf4},
	{1, 0x80},
	{4, 0x63, 0x55, 0x54, 0x43},
	{5, 0x1a, 0x00, 0x09, 0x27, 0xc0},
	{1, 0x10},
	{3, 0x19, 0x10, 0x00},
	{1, 0x0a},
	{3, 0x19, 0x01, 0x00},
	{1, 0xa0},
	{5, 0x1a, 0x00, 0x01, 0x00, 0x00},
	{3, 0x19, 0x03, 0xe8},
	{5, 0x1a, 0x00, 0x04, 0x93, 0xe0},
	{3, 0x19, 0x75, 0x30},
	{5, 0x64, 0x50, 0x4f, 0x53, 0x54},
	{1, 0x60},
	{1, 0x40},
	{2, 0x81, 0x01},
};

static const char *const words_0[] = {"Command", "Values", "Bytes"};
static const char *const words_1[] = {"RunLatest", "Skip"};
static const char *const words_2[] = {"Forbid", "Replace"};
static const char *const words_3[] = {"ReadOnly", "ReadWrite"};
static const char *const words_4[] = {"train", "evaluate", "keys", "shares", "open"};
static const char *const words_5[] = {"Imports", "Env", "File"};
static const char *const words_6[] = {"once", "daemon", "serve", "timed"};
static const char *const words_7[] = {"Never", "OnFailure", "Always"};
static const char *const words_8[] = {"KillThenDownload", "HandOver"};
static const char *const words_9[] = {"run", "recall", "cancel"};
static const char *const words_10[] = {"done", "failed", "refused", "unknown", "running"};
static const char *const words_11[] = {"Pending", "Fetching", "Running", "BackOff", "Stopping", "Succeeded", "Failed", "Interrupted", "Refused"};
static const char *const words_12[] = {"Synced", "Unsynced"};
static const char *const words_13[] = {"online", "offline"};
static const char *const words_14[] = {"both", "stdout", "stderr"};
static const char *const words_15[] = {"accepted", "progress", "done", "refused"};
static const char *const words_16[] = {"", "stdout", "stderr"};
static const char *const words_17[] = {"open", "stored", "refused"};
static const char *const words_18[] = {"stdout", "stderr", "agent"};

static const struct pp_kind kind_0 = {PP_ENUM, 0, 0, 1, words_0};
static const struct pp_kind kind_1 = {PP_INT, 0, 2, 3, NULL};
static const struct pp_kind kind_2 = {PP_INT, 0, 0, 4, NULL};
static const struct pp_kind kind_3 = {PP_INT, 0, 0, 3, NULL};
static const struct pp_kind kind_4 = {PP_INT, 0, 2, 5, NULL};
static const struct pp_kind kind_5 = {PP_HEX, 2, 0, 6, NULL};
static const struct pp_kind kind_6 = {PP_INT, 0, 0, 7, NULL};
static const struct pp_kind kind_7 = {PP_TEXT, 0, 0, 3, NULL};
static const struct pp_kind kind_8 = {PP_TEXT, 0, 0, 8, NULL};
static const struct pp_kind kind_9 = {PP_TEXT, 0, 0, 9, NULL};
static const struct pp_kind kind_10 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_aot};
static const struct pp_kind kind_11 = {PP_ID, 0, 0, 0, NULL};
static const struct pp_kind kind_12 = {PP_SHAPE, 0, 0, 0, &pp_shape_blob_ref};
static const struct pp_kind kind_13 = {PP_HEX, 0, 0, 10, NULL};
static const struct pp_kind kind_14 = {PP_INT, 0, 0, 11, NULL};
static const struct pp_kind kind_15 = {PP_INT, 0, 0, 12, NULL};
static const struct pp_kind kind_16 = {PP_INT, 0, 0, 13, NULL};
static const struct pp_kind kind_17 = {PP_INT, 0, 0, 14, NULL};
static const struct pp_kind kind_18 = {PP_BOOL, 0, 0, 0, NULL};
static const struct pp_kind kind_19 = {PP_INT, 0, 15, 16, NULL};
static const struct pp_kind kind_20 = {PP_INT, 0, 0, 17, NULL};
static const struct pp_kind kind_21 = {PP_LIST, 0, 0, 18, &kind_20};
static const struct pp_kind kind_22 = {PP_ENUM, 0, 0, 19, words_1};
static const struct pp_kind kind_23 = {PP_ENUM, 0, 0, 19, words_2};
static const struct pp_kind kind_24 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_slots};
static const struct pp_kind kind_25 = {PP_INT, 0, 2, 20, NULL};
static const struct pp_kind kind_26 = {PP_INT, 0, 2, 21, NULL};
static const struct pp_kind kind_27 = {PP_INT, 0, 2, 22, NULL};
static const struct pp_kind kind_28 = {PP_TEXT, 0, 0, 23, NULL};
static const struct pp_kind kind_29 = {PP_LIST, 0, 0, 24, &kind_28};
static const struct pp_kind kind_30 = {PP_INT, 0, 2, 25, NULL};
static const struct pp_kind kind_31 = {PP_TEXT, 0, 0, 26, NULL};
static const struct pp_kind kind_32 = {PP_ENUM, 0, 0, 19, words_3};
static const struct pp_kind kind_33 = {PP_TEXT, 0, 0, 27, NULL};
static const struct pp_kind kind_34 = {PP_INT, 0, 19, 28, NULL};
static const struct pp_kind kind_35 = {PP_INT, 0, 2, 12, NULL};
static const struct pp_kind kind_36 = {PP_HEX, 1, 0, 24, NULL};
static const struct pp_kind kind_37 = {PP_ENUM, 0, 0, 29, words_4};
static const struct pp_kind kind_38 = {PP_HEX, 0, 0, 24, NULL};
static const struct pp_kind kind_39 = {PP_TEXT, 0, 0, 4, NULL};
static const struct pp_kind kind_40 = {PP_NAMED, 0, 26, 3, &kind_39};
static const struct pp_kind kind_41 = {PP_ENUM, 0, 0, 1, words_5};
static const struct pp_kind kind_42 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_secure};
static const struct pp_kind kind_43 = {PP_REF, 0, 0, 0, NULL};
static const struct pp_kind kind_44 = {PP_ENUM, 0, 0, 18, words_6};
static const struct pp_kind kind_45 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_module};
static const struct pp_kind kind_46 = {PP_TEXT, 0, 0, 20, NULL};
static const struct pp_kind kind_47 = {PP_LIST, 0, 0, 26, &kind_46};
static const struct pp_kind kind_48 = {PP_ENV, 0, 30, 26, NULL};
static const struct pp_kind kind_49 = {PP_TEXT, 1, 0, 20, NULL};
static const struct pp_kind kind_50 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_mount};
static const struct pp_kind kind_51 = {PP_LIST, 0, 0, 24, &kind_50};
static const struct pp_kind kind_52 = {PP_ENUM, 0, 0, 1, words_7};
static const struct pp_kind kind_53 = {PP_PACKED, 0, 0, 31, NULL};
static const struct pp_kind kind_54 = {PP_NAMED, 0, 26, 26, &kind_53};
static const struct pp_kind kind_55 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_training};
static const struct pp_kind kind_56 = {PP_ENUM, 0, 0, 19, words_8};
static const struct pp_kind kind_57 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_serve};
static const struct pp_kind kind_58 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_model};
static const struct pp_kind kind_59 = {PP_LIST, 0, 0, 10, &kind_58};
static const struct pp_kind kind_60 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_topic};
static const struct pp_kind kind_61 = {PP_LIST, 0, 0, 24, &kind_60};
static const struct pp_kind kind_62 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_schedule};
static const struct pp_kind kind_63 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_point};
static const struct pp_kind kind_64 = {PP_LIST, 0, 0, 24, &kind_63};
static const struct pp_kind kind_65 = {PP_SHAPE, 0, 0, 0, &pp_shape_wire_http};
static const struct pp_kind kind_66 = {PP_INT, 0, 2, 2, NULL};
static const struct pp_kind kind_67 = {PP_ENUM, 0, 0, 1, words_9};
static const struct pp_kind kind_68 = {PP_TEXT, 0, 0, 32, NULL};
static const struct pp_kind kind_69 = {PP_TEXT, 0, 0, 33, NULL};
static const struct pp_kind kind_70 = {PP_TEXT, 0, 0, 34, NULL};
static const struct pp_kind kind_71 = {PP_NAMED, 0, 26, 3, &kind_70};
static const struct pp_kind kind_72 = {PP_PACKED, 0, 0, 35, NULL};
static const struct pp_kind kind_73 = {PP_INT, 0, 0, 36, NULL};
static const struct pp_kind kind_74 = {PP_ENUM, 0, 0, 29, words_10};
static const struct pp_kind kind_75 = {PP_INT, 0, 0, 37, NULL};
static const struct pp_kind kind_76 = {PP_TEXT, 1, 0, 4, NULL};
static const struct pp_kind kind_77 = {PP_TEXT, 1, 0, 34, NULL};
static const struct pp_kind kind_78 = {PP_SHAPE, 0, 0, 0, &pp_shape_entry};
static const struct pp_kind kind_79 = {PP_LIST, 0, 0, 4, &kind_78};
static const struct pp_kind kind_80 = {PP_TEXT, 0, 0, 38, NULL};
static const struct pp_kind kind_81 = {PP_ENUM, 0, 0, 39, words_11};
static const struct pp_kind kind_82 = {PP_INT, 0, 40, 12, NULL};
static const struct pp_kind kind_83 = {PP_TEXT, 1, 0, 9, NULL};
static const struct pp_kind kind_84 = {PP_SHAPE, 0, 0, 0, &pp_shape_past_run};
static const struct pp_kind kind_85 = {PP_LIST, 0, 0, 41, &kind_84};
static const struct pp_kind kind_86 = {PP_SHAPE, 0, 0, 0, &pp_shape_observed};
static const struct pp_kind kind_87 = {PP_SHAPE, 0, 0, 0, &pp_shape_run_report};
static const struct pp_kind kind_88 = {PP_LIST, 0, 0, 4, &kind_87};
static const struct pp_kind kind_89 = {PP_SHAPE, 0, 0, 0, &pp_shape_refused};
static const struct pp_kind kind_90 = {PP_SHAPE, 0, 0, 0, &pp_shape_free};
static const struct pp_kind kind_91 = {PP_INT, 0, 42, 7, NULL};
static const struct pp_kind kind_92 = {PP_NAMED, 0, 26, 3, &kind_91};
static const struct pp_kind kind_93 = {PP_ENUM, 0, 0, 19, words_12};
static const struct pp_kind kind_94 = {PP_ENUM, 0, 0, 19, words_13};
static const struct pp_kind kind_95 = {PP_LIST, 0, 0, 8, &kind_31};
static const struct pp_kind kind_96 = {PP_LIST, 0, 0, 3, &kind_31};
static const struct pp_kind kind_97 = {PP_LIST, 0, 0, 10, &kind_7};
static const struct pp_kind kind_98 = {PP_NAMED, 0, 26, 3, &kind_9};
static const struct pp_kind kind_99 = {PP_LIST, 0, 0, 24, &kind_15};
static const struct pp_kind kind_100 = {PP_TEXT, 0, 0, 43, NULL};
static const struct pp_kind kind_101 = {PP_LIST, 0, 0, 3, &kind_100};
static const struct pp_kind kind_102 = {PP_ENUM, 0, 0, 1, words_14};
static const struct pp_kind kind_103 = {PP_ENUM, 0, 0, 18, words_15};
static const struct pp_kind kind_104 = {PP_ENUM, 0, 0, 1, words_16};
static const struct pp_kind kind_105 = {PP_TEXT, 1, 0, 22, NULL};
static const struct pp_kind kind_106 = {PP_ENUM, 0, 0, 1, words_17};
static const struct pp_kind kind_107 = {PP_INT, 0, 0, 44, NULL};
static const struct pp_kind kind_108 = {PP_LIST, 0, 0, 24, &kind_7};
static const struct pp_kind kind_109 = {PP_INT, 0, 2, 7, NULL};
static const struct pp_kind kind_110 = {PP_SHAPE, 0, 0, 0, &pp_shape_trusted_key};
static const struct pp_kind kind_111 = {PP_LIST, 0, 0, 3, &kind_110};
static const struct pp_kind kind_112 = {PP_LIST, 0, 0, 45, &kind_5};
static const struct pp_kind kind_113 = {PP_ENUM, 0, 0, 1, words_18};
static const struct pp_kind kind_114 = {PP_TEXT, 1, 0, 33, NULL};
static const struct pp_kind kind_115 = {PP_NAMED, 0, 26, 9, &kind_91};

const struct pp_kind pp_kind_tasks = {PP_LIST, 0, 0, 4, &kind_78};
const struct pp_kind pp_kind_inventory = {PP_LIST, 0, 0, 4, &kind_87};

static const struct pp_field wire_serve_fields[] = {
	{1, 1, 0, "interface", &kind_0},
	{2, 0, 1, "concurrency", &kind_1},
	{3, 0, 2, "queue", &kind_2},
	{4, 0, 2, "ready", &kind_3},
	{5, 0, 1, "invocations", &kind_4},
};
static const uint8_t wire_serve_sorted[] = {1, 0, 4, 2, 3};
const struct pp_shape pp_shape_wire_serve = {
	"WireServe", wire_serve_fields, wire_serve_sorted, 5, 0, 0, 0,
};

static const struct pp_field blob_ref_fields[] = {
	{1, 1, 0, "digest", &kind_5},
	{2, 1, 0, "size", &kind_6},
};
static const uint8_t blob_ref_sorted[] = {0, 1};
const struct pp_shape pp_shape_blob_ref = {
	"BlobRef", blob_ref_fields, blob_ref_sorted, 2, 0, 0, 0,
};

static const struct pp_field wire_aot_fields[] = {
	{1, 1, 0, "digest", &kind_5},
	{2, 1, 0, "size", &kind_6},
	{3, 1, 0, "target", &kind_7},
};
static const uint8_t wire_aot_sorted[] = {0, 1, 2};
const struct pp_shape pp_shape_wire_aot = {
	"WireAot", wire_aot_fields, wire_aot_sorted, 3, 0, 0, 0,
};

static const struct pp_field wire_module_fields[] = {
	{1, 1, 0, "digest", &kind_5},
	{2, 1, 0, "size", &kind_6},
	{3, 0, 0, "image", &kind_8},
	{4, 0, 0, "plain", &kind_5},
	{5, 0, 0, "key", &kind_9},
	{6, 0, 0, "aot", &kind_10},
};
static const uint8_t wire_module_sorted[] = {5, 0, 2, 4, 3, 1};
const struct pp_shape pp_shape_wire_module = {
	"WireModule", wire_module_fields, wire_module_sorted, 6, 0, 0, 0,
};

static const struct pp_field wire_model_fields[] = {
	{1, 1, 0, "name", &kind_11},
	{2, 1, 0, "blob", &kind_12},
};
static const uint8_t wire_model_sorted[] = {1, 0};
const struct pp_shape pp_shape_wire_model = {
	"WireModel", wire_model_fields, wire_model_sorted, 2, 0, 0, 0,
};

static const struct pp_field wire_slots_fields[] = {
	{1, 1, 0, "minutes", &kind_13},
	{2, 1, 0, "hours", &kind_14},
	{3, 1, 0, "days", &kind_15},
	{4, 1, 0, "months", &kind_16},
	{5, 1, 0, "weekdays", &kind_17},
	{6, 0, 3, "either", &kind_18},
	{7, 0, 3, "once", &kind_18},
	{8, 0, 2, "offset", &kind_19},
	{9, 0, 0, "summer", &kind_19},
	{10, 0, 4, "starts", &kind_21},
	{11, 0, 4, "ends", &kind_21},
};
static const uint8_t wire_slots_sorted[] = {2, 5, 10, 1, 0, 3, 7, 6, 9, 8, 4};
const struct pp_shape pp_shape_wire_slots = {
	"WireSlots", wire_slots_fields, wire_slots_sorted, 11, 0, 0, 0,
};

static const struct pp_field wire_schedule_fields[] = {
	{1, 1, 0, "cron", &kind_9},
	{2, 0, 5, "zone", &kind_7},
	{3, 0, 2, "missed", &kind_22},
	{4, 0, 2, "overlap", &kind_23},
	{5, 0, 6, "deadline", &kind_6},
	{6, 0, 2, "jitter", &kind_6},
	{7, 0, 7, "keep", &kind_1},
	{8, 0, 0, "slots", &kind_24},
};
static const uint8_t wire_schedule_sorted[] = {0, 4, 5, 6, 2, 3, 7, 1};
const struct pp_shape pp_shape_wire_schedule = {
	"WireSchedule", wire_schedule_fields, wire_schedule_sorted, 8, 0, 0, 0,
};

static const struct pp_field wire_topic_fields[] = {
	{1, 1, 0, "name", &kind_11},
	{2, 0, 0, "publish", &kind_9},
	{3, 0, 0, "subscribe", &kind_9},
	{4, 0, 8, "size", &kind_25},
	{5, 0, 9, "rate", &kind_26},
	{6, 0, 10, "keep", &kind_27},
};
static const uint8_t wire_topic_sorted[] = {5, 0, 1, 4, 3, 2};
const struct pp_shape pp_shape_wire_topic = {
	"WireTopic", wire_topic_fields, wire_topic_sorted, 6, 2, 3, 1,
};

static const struct pp_field wire_point_fields[] = {
	{1, 1, 0, "name", &kind_11},
	{2, 0, 0, "read", &kind_11},
	{3, 0, 0, "write", &kind_11},
	{4, 0, 9, "rate", &kind_26},
};
static const uint8_t wire_point_sorted[] = {0, 3, 1, 2};
const struct pp_shape pp_shape_wire_point = {
	"WirePoint", wire_point_fields, wire_point_sorted, 4, 2, 3, 1,
};

static const struct pp_field wire_http_fields[] = {
	{1, 1, 0, "allow", &kind_29},
	{2, 1, 0, "requests", &kind_26},
	{3, 1, 0, "timeout", &kind_6},
	{4, 1, 0, "body", &kind_30},
};
static const uint8_t wire_http_sorted[] = {0, 3, 1, 2};
const struct pp_shape pp_shape_wire_http = {
	"WireHttp", wire_http_fields, wire_http_sorted, 4, 0, 0, 0,
};

static const struct pp_field wire_mount_fields[] = {
	{1, 1, 0, "name", &kind_31},
	{2, 1, 0, "path", &kind_9},
	{3, 1, 0, "access", &kind_32},
};
static const uint8_t wire_mount_sorted[] = {2, 0, 1};
const struct pp_shape pp_shape_wire_mount = {
	"WireMount", wire_mount_fields, wire_mount_sorted, 3, 0, 0, 0,
};

static const struct pp_field wire_secure_fields[] = {
	{1, 1, 0, "range", &kind_33},
	{2, 1, 0, "bits", &kind_34},
	{3, 1, 0, "most", &kind_35},
	{4, 1, 0, "members", &kind_35},
	{5, 0, 0, "blob", &kind_12},
};
static const uint8_t wire_secure_sorted[] = {1, 4, 3, 2, 0};
const struct pp_shape pp_shape_wire_secure = {
	"WireSecure", wire_secure_fields, wire_secure_sorted, 5, 0, 0, 0,
};

static const struct pp_field wire_training_fields[] = {
	{1, 1, 0, "job", &kind_36},
	{2, 1, 0, "round", &kind_35},
	{3, 1, 0, "attempt", &kind_35},
	{4, 1, 0, "step", &kind_37},
	{5, 1, 0, "format", &kind_7},
	{6, 1, 0, "nonce", &kind_38},
	{7, 1, 0, "seed", &kind_13},
	{8, 0, 0, "model", &kind_12},
	{9, 0, 0, "layout", &kind_12},
	{10, 0, 11, "params", &kind_40},
	{11, 0, 1, "guest", &kind_41},
	{12, 0, 0, "samples", &kind_6},
	{13, 0, 0, "clip", &kind_33},
	{14, 0, 0, "noise", &kind_33},
	{15, 0, 0, "secure", &kind_42},
	{16, 0, 0, "control", &kind_12},
	{17, 0, 0, "image", &kind_8},
};
static const uint8_t wire_training_sorted[] = {2, 12, 15, 4, 10, 16, 0, 8, 7, 13, 5, 9, 1, 11, 14, 6, 3};
const struct pp_shape pp_shape_wire_training = {
	"WireTraining", wire_training_fields, wire_training_sorted, 17, 0, 0, 0,
};

static const struct pp_field entry_fields[] = {
	{1, 1, 0, "uid", &kind_36},
	{2, 1, 0, "ref", &kind_43},
	{3, 1, 0, "run", &kind_38},
	{4, 1, 0, "cause", &kind_7},
	{5, 1, 0, "mode", &kind_44},
	{6, 1, 0, "digest", &kind_5},
	{7, 1, 0, "module", &kind_45},
	{8, 1, 0, "entrypoint", &kind_31},
	{9, 0, 4, "args", &kind_47},
	{10, 0, 4, "env", &kind_48},
	{11, 0, 0, "stdin", &kind_49},
	{12, 0, 4, "mounts", &kind_51},
	{13, 0, 0, "memory", &kind_6},
	{14, 0, 0, "fuel", &kind_6},
	{15, 0, 0, "timeout", &kind_6},
	{16, 0, 12, "output", &kind_6},
	{17, 0, 2, "restart", &kind_52},
	{18, 0, 13, "backoffBase", &kind_6},
	{19, 0, 14, "backoffCap", &kind_6},
	{20, 0, 0, "maxRestarts", &kind_15},
	{21, 0, 2, "readyAfter", &kind_6},
	{22, 0, 11, "sealed", &kind_54},
	{23, 0, 0, "fl", &kind_55},
	{24, 0, 0, "update", &kind_56},
	{25, 0, 0, "serve", &kind_57},
	{26, 0, 4, "models", &kind_59},
	{27, 0, 4, "topics", &kind_61},
	{28, 0, 0, "autonomy", &kind_6},
	{29, 0, 0, "external", &kind_11},
	{30, 0, 0, "schedule", &kind_62},
	{32, 0, 4, "points", &kind_64},
	{33, 0, 0, "http", &kind_65},
};
static const uint8_t entry_sorted[] = {8, 27, 17, 18, 3, 5, 7, 9, 28, 22, 13, 31, 19, 12, 4, 25, 6, 11, 15, 30, 20, 1, 16, 2, 29, 21, 24, 10, 14, 26, 0, 23};
const struct pp_shape pp_shape_entry = {
	"Entry", entry_fields, entry_sorted, 32, 0, 0, 0,
};

static const struct pp_field call_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "verb", &kind_67},
	{3, 1, 0, "to", &kind_11},
	{4, 1, 0, "inst", &kind_38},
	{5, 1, 0, "boot", &kind_15},
	{6, 1, 0, "conn", &kind_15},
	{7, 1, 0, "src", &kind_11},
	{8, 1, 0, "n", &kind_15},
	{9, 1, 0, "uid", &kind_36},
	{10, 1, 0, "run", &kind_38},
	{11, 0, 15, "timeout", &kind_6},
	{12, 0, 16, "method", &kind_7},
	{13, 0, 17, "path", &kind_68},
	{14, 0, 17, "query", &kind_69},
	{15, 0, 11, "headers", &kind_71},
	{16, 0, 18, "body", &kind_72},
	{17, 0, 17, "trace", &kind_7},
	{18, 0, 2, "follow", &kind_73},
};
static const uint8_t call_sorted[] = {16, 5, 6, 18, 15, 1, 4, 12, 8, 13, 14, 10, 7, 11, 3, 17, 9, 0, 2};
const struct pp_shape pp_shape_call = {
	"Call", call_fields, call_sorted, 19, 0, 0, 0,
};

static const struct pp_field call_answer_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "call", &kind_11},
	{3, 1, 0, "inst", &kind_38},
	{4, 1, 0, "boot", &kind_15},
	{5, 1, 0, "state", &kind_74},
	{6, 0, 17, "cause", &kind_7},
	{7, 0, 2, "status", &kind_75},
	{8, 0, 11, "headers", &kind_71},
	{9, 0, 18, "body", &kind_72},
	{10, 0, 17, "error", &kind_76},
	{11, 0, 2, "wait", &kind_6},
	{12, 0, 2, "took", &kind_6},
	{13, 0, 17, "log", &kind_77},
	{14, 0, 2, "lost", &kind_6},
	{15, 0, 2, "n", &kind_15},
};
static const uint8_t call_answer_sorted[] = {9, 4, 2, 6, 10, 8, 1, 3, 13, 14, 15, 5, 7, 12, 0, 11};
const struct pp_shape pp_shape_call_answer = {
	"CallAnswer", call_answer_fields, call_answer_sorted, 16, 0, 0, 0,
};

static const struct pp_field desired_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "to", &kind_11},
	{2, 1, 0, "inst", &kind_38},
	{3, 1, 0, "fence", &kind_6},
	{4, 1, 0, "gen", &kind_6},
	{5, 1, 0, "iat", &kind_6},
	{6, 1, 0, "digest", &kind_5},
	{7, 0, 0, "tasks", &kind_79},
	{8, 0, 0, "body", &kind_12},
	{9, 0, 0, "notAfter", &kind_6},
	{10, 0, 17, "trace", &kind_7},
};
static const uint8_t desired_sorted[] = {8, 6, 3, 4, 5, 2, 9, 7, 1, 10, 0};
const struct pp_shape pp_shape_desired = {
	"Desired", desired_fields, desired_sorted, 11, 8, 9, 1,
};

static const struct pp_field observed_fields[] = {
	{1, 0, 2, "fence", &kind_6},
	{2, 0, 2, "gen", &kind_6},
	{3, 0, 0, "digest", &kind_5},
};
static const uint8_t observed_sorted[] = {2, 0, 1};
const struct pp_shape pp_shape_observed = {
	"Observed", observed_fields, observed_sorted, 3, 0, 0, 0,
};

static const struct pp_field refused_fields[] = {
	{1, 1, 0, "fence", &kind_6},
	{2, 1, 0, "gen", &kind_6},
	{3, 1, 0, "digest", &kind_80},
	{4, 1, 0, "reason", &kind_7},
};
static const uint8_t refused_sorted[] = {2, 0, 1, 3};
const struct pp_shape pp_shape_refused = {
	"Refused", refused_fields, refused_sorted, 4, 0, 0, 0,
};

static const struct pp_field past_run_fields[] = {
	{1, 1, 0, "slot", &kind_6},
	{2, 1, 0, "state", &kind_81},
	{3, 0, 1, "attempt", &kind_35},
	{4, 0, 0, "exit", &kind_82},
	{5, 0, 0, "result", &kind_83},
	{6, 0, 0, "resultBlob", &kind_12},
	{7, 0, 17, "error", &kind_83},
	{8, 0, 2, "started", &kind_6},
	{9, 0, 2, "ended", &kind_6},
};
static const uint8_t past_run_sorted[] = {2, 8, 6, 3, 4, 5, 0, 7, 1};
const struct pp_shape pp_shape_past_run = {
	"PastRun", past_run_fields, past_run_sorted, 9, 5, 6, 0,
};

static const struct pp_field run_report_fields[] = {
	{1, 1, 0, "uid", &kind_36},
	{2, 1, 0, "run", &kind_38},
	{3, 1, 0, "digest", &kind_5},
	{4, 1, 0, "cause", &kind_7},
	{5, 1, 0, "state", &kind_81},
	{6, 0, 0, "exit", &kind_82},
	{7, 0, 0, "result", &kind_83},
	{8, 0, 0, "resultBlob", &kind_12},
	{9, 0, 17, "error", &kind_83},
	{10, 0, 2, "restarts", &kind_15},
	{11, 0, 3, "ready", &kind_18},
	{12, 0, 2, "started", &kind_6},
	{13, 0, 2, "ended", &kind_6},
	{14, 0, 2, "spent", &kind_6},
	{15, 0, 4, "past", &kind_85},
	{16, 0, 2, "lost", &kind_15},
};
static const uint8_t run_report_sorted[] = {3, 2, 12, 8, 5, 15, 14, 10, 9, 6, 7, 1, 13, 11, 4, 0};
const struct pp_shape pp_shape_run_report = {
	"RunReport", run_report_fields, run_report_sorted, 16, 7, 8, 0,
};

static const struct pp_field free_fields[] = {
	{1, 0, 2, "memory", &kind_6},
	{2, 0, 2, "tasks", &kind_15},
	{3, 0, 2, "storage", &kind_6},
};
static const uint8_t free_sorted[] = {0, 2, 1};
const struct pp_shape pp_shape_free = {
	"Free", free_fields, free_sorted, 3, 0, 0, 0,
};

static const struct pp_field report_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "inst", &kind_38},
	{3, 1, 0, "boot", &kind_15},
	{4, 1, 0, "seq", &kind_15},
	{5, 1, 0, "conn", &kind_15},
	{6, 1, 0, "observed", &kind_86},
	{7, 1, 0, "inventory", &kind_5},
	{8, 0, 0, "tasks", &kind_88},
	{9, 0, 0, "body", &kind_12},
	{10, 0, 0, "refused", &kind_89},
	{11, 0, 11, "free", &kind_90},
	{12, 0, 11, "metrics", &kind_92},
	{13, 0, 2, "clock", &kind_93},
};
static const uint8_t report_sorted[] = {9, 3, 13, 5, 11, 1, 2, 7, 12, 6, 10, 4, 8, 0};
const struct pp_shape pp_shape_report = {
	"Report", report_fields, report_sorted, 14, 9, 10, 0,
};

static const struct pp_field status_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "state", &kind_94},
	{3, 1, 0, "inst", &kind_38},
	{4, 1, 0, "boot", &kind_15},
	{5, 1, 0, "conn", &kind_15},
};
static const uint8_t status_sorted[] = {4, 5, 1, 3, 2, 0};
const struct pp_shape pp_shape_status = {
	"Status", status_fields, status_sorted, 6, 0, 0, 0,
};

static const struct pp_field hello_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "inst", &kind_38},
	{3, 1, 0, "boot", &kind_15},
	{4, 1, 0, "arch", &kind_7},
	{5, 1, 0, "os", &kind_7},
	{6, 1, 0, "runtime", &kind_7},
	{7, 1, 0, "runtimeVersion", &kind_7},
	{8, 1, 0, "agent", &kind_7},
	{9, 1, 0, "memory", &kind_6},
	{10, 1, 0, "storage", &kind_6},
	{11, 1, 0, "tasks", &kind_15},
	{12, 1, 0, "maxModule", &kind_6},
	{13, 1, 0, "maxPayload", &kind_6},
	{14, 1, 0, "minRunInterval", &kind_6},
	{15, 1, 0, "heartbeat", &kind_6},
	{16, 1, 0, "imports", &kind_95},
	{17, 1, 0, "components", &kind_18},
	{18, 1, 0, "mounts", &kind_96},
	{19, 1, 0, "encodings", &kind_97},
	{20, 1, 0, "algs", &kind_97},
	{21, 1, 0, "fetch", &kind_97},
	{22, 1, 0, "labels", &kind_98},
	{23, 1, 0, "key", &kind_31},
	{24, 0, 19, "versions", &kind_99},
	{25, 0, 17, "box", &kind_31},
	{26, 0, 4, "points", &kind_101},
};
static const uint8_t hello_sorted[] = {8, 20, 4, 3, 25, 17, 19, 21, 15, 1, 16, 2, 23, 22, 12, 13, 9, 14, 18, 5, 26, 6, 7, 10, 11, 0, 24};
const struct pp_shape pp_shape_hello = {
	"Hello", hello_fields, hello_sorted, 27, 0, 0, 0,
};

static const struct pp_field op_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "verb", &kind_7},
	{3, 1, 0, "to", &kind_11},
	{4, 1, 0, "inst", &kind_38},
	{5, 1, 0, "boot", &kind_15},
	{6, 1, 0, "conn", &kind_15},
	{7, 1, 0, "src", &kind_11},
	{8, 1, 0, "n", &kind_15},
	{9, 0, 0, "uid", &kind_36},
	{10, 0, 0, "run", &kind_38},
	{11, 0, 2, "stream", &kind_102},
	{12, 0, 12, "tail", &kind_6},
	{13, 0, 2, "follow", &kind_6},
	{14, 0, 0, "notAfter", &kind_6},
};
static const uint8_t op_sorted[] = {5, 6, 13, 1, 4, 8, 14, 10, 7, 11, 12, 3, 9, 0, 2};
const struct pp_shape pp_shape_op = {
	"Op", op_fields, op_sorted, 15, 0, 0, 0,
};

static const struct pp_field op_answer_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "op", &kind_11},
	{3, 1, 0, "inst", &kind_38},
	{4, 1, 0, "boot", &kind_15},
	{5, 1, 0, "n", &kind_15},
	{6, 1, 0, "state", &kind_103},
	{7, 0, 2, "stream", &kind_104},
	{8, 0, 17, "text", &kind_105},
	{9, 0, 0, "blob", &kind_12},
	{10, 0, 2, "dropped", &kind_6},
};
static const uint8_t op_answer_sorted[] = {9, 4, 10, 1, 3, 5, 2, 6, 7, 8, 0};
const struct pp_shape pp_shape_op_answer = {
	"OpAnswer", op_answer_fields, op_answer_sorted, 11, 0, 0, 0,
};

static const struct pp_field blob_get_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "digest", &kind_5},
	{3, 1, 0, "off", &kind_6},
	{4, 1, 0, "len", &kind_30},
	{5, 1, 0, "req", &kind_15},
};
static const uint8_t blob_get_sorted[] = {2, 1, 4, 3, 5, 0};
const struct pp_shape pp_shape_blob_get = {
	"BlobGet", blob_get_fields, blob_get_sorted, 6, 0, 0, 0,
};

static const struct pp_field blob_ack_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "digest", &kind_5},
	{3, 1, 0, "have", &kind_6},
	{4, 1, 0, "state", &kind_106},
	{5, 0, 17, "reason", &kind_9},
};
static const uint8_t blob_ack_sorted[] = {2, 3, 1, 5, 4, 0};
const struct pp_shape pp_shape_blob_ack = {
	"BlobAck", blob_ack_fields, blob_ack_sorted, 6, 0, 0, 0,
};

static const struct pp_field manager_status_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "state", &kind_94},
	{2, 1, 0, "fence", &kind_6},
	{3, 1, 0, "src", &kind_11},
	{4, 1, 0, "conn", &kind_15},
};
static const uint8_t manager_status_sorted[] = {4, 2, 3, 1, 0};
const struct pp_shape pp_shape_manager_status = {
	"ManagerStatus", manager_status_fields, manager_status_sorted, 5, 0, 0, 0,
};

static const struct pp_field echo_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "src", &kind_11},
	{2, 1, 0, "conn", &kind_6},
	{3, 1, 0, "n", &kind_6},
	{4, 0, 2, "at", &kind_6},
};
static const uint8_t echo_sorted[] = {4, 2, 3, 1, 0};
const struct pp_shape pp_shape_echo = {
	"Echo", echo_fields, echo_sorted, 5, 0, 0, 0,
};

static const struct pp_field trusted_key_fields[] = {
	{1, 1, 0, "kid", &kind_13},
	{2, 1, 0, "alg", &kind_107},
	{3, 1, 0, "pub", &kind_31},
	{4, 1, 0, "roles", &kind_108},
};
static const uint8_t trusted_key_sorted[] = {1, 0, 2, 3};
const struct pp_shape pp_shape_trusted_key = {
	"TrustedKey", trusted_key_fields, trusted_key_sorted, 4, 0, 0, 0,
};

static const struct pp_field trust_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "version", &kind_109},
	{2, 0, 4, "keys", &kind_111},
};
static const uint8_t trust_sorted[] = {2, 0, 1};
const struct pp_shape pp_shape_trust = {
	"Trust", trust_fields, trust_sorted, 3, 0, 0, 0,
};

static const struct pp_field releases_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "version", &kind_109},
	{2, 0, 4, "modules", &kind_112},
	{3, 0, 0, "notAfter", &kind_6},
};
static const uint8_t releases_sorted[] = {2, 3, 0, 1};
const struct pp_shape pp_shape_releases = {
	"Releases", releases_fields, releases_sorted, 4, 0, 0, 0,
};

static const struct pp_field log_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "boot", &kind_15},
	{3, 1, 0, "n", &kind_15},
	{4, 1, 0, "stream", &kind_113},
	{5, 1, 0, "text", &kind_114},
	{6, 0, 0, "uid", &kind_36},
	{7, 0, 0, "run", &kind_38},
	{8, 0, 2, "dropped", &kind_6},
};
static const uint8_t log_sorted[] = {2, 8, 1, 3, 7, 4, 5, 6, 0};
const struct pp_shape pp_shape_log = {
	"Log", log_fields, log_sorted, 9, 0, 0, 0,
};

static const struct pp_field metrics_fields[] = {
	{0, 1, 0, "v", &kind_66},
	{1, 1, 0, "id", &kind_11},
	{2, 1, 0, "boot", &kind_15},
	{3, 1, 0, "n", &kind_15},
	{4, 1, 0, "at", &kind_6},
	{5, 1, 0, "values", &kind_115},
	{6, 0, 2, "dropped", &kind_6},
};
static const uint8_t metrics_sorted[] = {4, 2, 6, 1, 3, 0, 5};
const struct pp_shape pp_shape_metrics = {
	"Metrics", metrics_fields, metrics_sorted, 7, 0, 0, 0,
};
