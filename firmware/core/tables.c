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

static const struct pp_kind kind_0 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_0};
static const struct pp_kind kind_1 = {PP_INT, 0, INT64_C(1), INT64_C(64), NULL};
static const struct pp_kind kind_2 = {PP_INT, 0, INT64_C(0), INT64_C(1024), NULL};
static const struct pp_kind kind_3 = {PP_INT, 0, INT64_C(0), INT64_C(64), NULL};
static const struct pp_kind kind_4 = {PP_INT, 0, INT64_C(1), INT64_C(1000000), NULL};
static const struct pp_kind kind_5 = {PP_HEX, 2, INT64_C(0), INT64_C(32), NULL};
static const struct pp_kind kind_6 = {PP_INT, 0, INT64_C(0), INT64_C(9007199254740991), NULL};
static const struct pp_kind kind_7 = {PP_TEXT, 0, INT64_C(0), INT64_C(512), NULL};
static const struct pp_kind kind_8 = {PP_TEXT, 0, INT64_C(0), INT64_C(256), NULL};
static const struct pp_kind kind_9 = {PP_ID, 0, INT64_C(0), INT64_C(0), NULL};
static const struct pp_kind kind_10 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_blob_ref};
static const struct pp_kind kind_11 = {PP_TEXT, 0, INT64_C(0), INT64_C(64), NULL};
static const struct pp_kind kind_12 = {PP_ENUM, 0, INT64_C(0), INT64_C(2), words_1};
static const struct pp_kind kind_13 = {PP_ENUM, 0, INT64_C(0), INT64_C(2), words_2};
static const struct pp_kind kind_14 = {PP_INT, 0, INT64_C(1), INT64_C(65536), NULL};
static const struct pp_kind kind_15 = {PP_INT, 0, INT64_C(1), INT64_C(1000), NULL};
static const struct pp_kind kind_16 = {PP_INT, 0, INT64_C(1), INT64_C(4096), NULL};
static const struct pp_kind kind_17 = {PP_TEXT, 0, INT64_C(0), INT64_C(128), NULL};
static const struct pp_kind kind_18 = {PP_ENUM, 0, INT64_C(0), INT64_C(2), words_3};
static const struct pp_kind kind_19 = {PP_TEXT, 0, INT64_C(0), INT64_C(40), NULL};
static const struct pp_kind kind_20 = {PP_INT, 0, INT64_C(2), INT64_C(31), NULL};
static const struct pp_kind kind_21 = {PP_INT, 0, INT64_C(1), INT64_C(4294967295), NULL};
static const struct pp_kind kind_22 = {PP_HEX, 1, INT64_C(0), INT64_C(16), NULL};
static const struct pp_kind kind_23 = {PP_ENUM, 0, INT64_C(0), INT64_C(5), words_4};
static const struct pp_kind kind_24 = {PP_HEX, 0, INT64_C(0), INT64_C(16), NULL};
static const struct pp_kind kind_25 = {PP_HEX, 0, INT64_C(0), INT64_C(8), NULL};
static const struct pp_kind kind_26 = {PP_TEXT, 0, INT64_C(0), INT64_C(1024), NULL};
static const struct pp_kind kind_27 = {PP_NAMED, 0, INT64_C(128), INT64_C(64), &kind_26};
static const struct pp_kind kind_28 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_5};
static const struct pp_kind kind_29 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_secure};
static const struct pp_kind kind_30 = {PP_REF, 0, INT64_C(0), INT64_C(0), NULL};
static const struct pp_kind kind_31 = {PP_ENUM, 0, INT64_C(0), INT64_C(4), words_6};
static const struct pp_kind kind_32 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_module};
static const struct pp_kind kind_33 = {PP_TEXT, 0, INT64_C(0), INT64_C(65536), NULL};
static const struct pp_kind kind_34 = {PP_LIST, 0, INT64_C(0), INT64_C(128), &kind_33};
static const struct pp_kind kind_35 = {PP_ENV, 0, INT64_C(393216), INT64_C(128), NULL};
static const struct pp_kind kind_36 = {PP_TEXT, 1, INT64_C(0), INT64_C(65536), NULL};
static const struct pp_kind kind_37 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_mount};
static const struct pp_kind kind_38 = {PP_LIST, 0, INT64_C(0), INT64_C(16), &kind_37};
static const struct pp_kind kind_39 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_7};
static const struct pp_kind kind_40 = {PP_INT, 0, INT64_C(0), INT64_C(4294967295), NULL};
static const struct pp_kind kind_41 = {PP_PACKED, 0, INT64_C(0), INT64_C(67584), NULL};
static const struct pp_kind kind_42 = {PP_NAMED, 0, INT64_C(128), INT64_C(128), &kind_41};
static const struct pp_kind kind_43 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_training};
static const struct pp_kind kind_44 = {PP_ENUM, 0, INT64_C(0), INT64_C(2), words_8};
static const struct pp_kind kind_45 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_serve};
static const struct pp_kind kind_46 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_model};
static const struct pp_kind kind_47 = {PP_LIST, 0, INT64_C(0), INT64_C(8), &kind_46};
static const struct pp_kind kind_48 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_topic};
static const struct pp_kind kind_49 = {PP_LIST, 0, INT64_C(0), INT64_C(16), &kind_48};
static const struct pp_kind kind_50 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_wire_schedule};
static const struct pp_kind kind_51 = {PP_INT, 0, INT64_C(1), INT64_C(1), NULL};
static const struct pp_kind kind_52 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_9};
static const struct pp_kind kind_53 = {PP_TEXT, 0, INT64_C(0), INT64_C(2048), NULL};
static const struct pp_kind kind_54 = {PP_TEXT, 0, INT64_C(0), INT64_C(8192), NULL};
static const struct pp_kind kind_55 = {PP_TEXT, 0, INT64_C(0), INT64_C(16384), NULL};
static const struct pp_kind kind_56 = {PP_NAMED, 0, INT64_C(128), INT64_C(64), &kind_55};
static const struct pp_kind kind_57 = {PP_PACKED, 0, INT64_C(0), INT64_C(131073), NULL};
static const struct pp_kind kind_58 = {PP_INT, 0, INT64_C(0), INT64_C(262144), NULL};
static const struct pp_kind kind_59 = {PP_ENUM, 0, INT64_C(0), INT64_C(5), words_10};
static const struct pp_kind kind_60 = {PP_INT, 0, INT64_C(0), INT64_C(599), NULL};
static const struct pp_kind kind_61 = {PP_TEXT, 1, INT64_C(0), INT64_C(1024), NULL};
static const struct pp_kind kind_62 = {PP_TEXT, 1, INT64_C(0), INT64_C(16384), NULL};
static const struct pp_kind kind_63 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_entry};
static const struct pp_kind kind_64 = {PP_LIST, 0, INT64_C(0), INT64_C(1024), &kind_63};
static const struct pp_kind kind_65 = {PP_TEXT, 0, INT64_C(0), INT64_C(71), NULL};
static const struct pp_kind kind_66 = {PP_ENUM, 0, INT64_C(0), INT64_C(9), words_11};
static const struct pp_kind kind_67 = {PP_INT, 0, INT64_C(-2147483648), INT64_C(4294967295), NULL};
static const struct pp_kind kind_68 = {PP_TEXT, 1, INT64_C(0), INT64_C(256), NULL};
static const struct pp_kind kind_69 = {PP_BOOL, 0, INT64_C(0), INT64_C(0), NULL};
static const struct pp_kind kind_70 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_past_run};
static const struct pp_kind kind_71 = {PP_LIST, 0, INT64_C(0), INT64_C(65), &kind_70};
static const struct pp_kind kind_72 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_observed};
static const struct pp_kind kind_73 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_run_report};
static const struct pp_kind kind_74 = {PP_LIST, 0, INT64_C(0), INT64_C(1024), &kind_73};
static const struct pp_kind kind_75 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_refused};
static const struct pp_kind kind_76 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_free};
static const struct pp_kind kind_77 = {PP_INT, 0, INT64_C(-9007199254740991), INT64_C(9007199254740991), NULL};
static const struct pp_kind kind_78 = {PP_NAMED, 0, INT64_C(128), INT64_C(64), &kind_77};
static const struct pp_kind kind_79 = {PP_ENUM, 0, INT64_C(0), INT64_C(2), words_12};
static const struct pp_kind kind_80 = {PP_ENUM, 0, INT64_C(0), INT64_C(2), words_13};
static const struct pp_kind kind_81 = {PP_LIST, 0, INT64_C(0), INT64_C(512), &kind_17};
static const struct pp_kind kind_82 = {PP_LIST, 0, INT64_C(0), INT64_C(64), &kind_17};
static const struct pp_kind kind_83 = {PP_LIST, 0, INT64_C(0), INT64_C(8), &kind_11};
static const struct pp_kind kind_84 = {PP_NAMED, 0, INT64_C(128), INT64_C(64), &kind_8};
static const struct pp_kind kind_85 = {PP_LIST, 0, INT64_C(0), INT64_C(16), &kind_40};
static const struct pp_kind kind_86 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_14};
static const struct pp_kind kind_87 = {PP_ENUM, 0, INT64_C(0), INT64_C(4), words_15};
static const struct pp_kind kind_88 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_16};
static const struct pp_kind kind_89 = {PP_TEXT, 1, INT64_C(0), INT64_C(4096), NULL};
static const struct pp_kind kind_90 = {PP_INT, 0, INT64_C(1), INT64_C(1048576), NULL};
static const struct pp_kind kind_91 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_17};
static const struct pp_kind kind_92 = {PP_INT, 0, INT64_C(0), INT64_C(255), NULL};
static const struct pp_kind kind_93 = {PP_LIST, 0, INT64_C(0), INT64_C(16), &kind_11};
static const struct pp_kind kind_94 = {PP_INT, 0, INT64_C(1), INT64_C(9007199254740991), NULL};
static const struct pp_kind kind_95 = {PP_SHAPE, 0, INT64_C(0), INT64_C(0), &pp_shape_trusted_key};
static const struct pp_kind kind_96 = {PP_LIST, 0, INT64_C(0), INT64_C(64), &kind_95};
static const struct pp_kind kind_97 = {PP_LIST, 0, INT64_C(0), INT64_C(800), &kind_5};
static const struct pp_kind kind_98 = {PP_ENUM, 0, INT64_C(0), INT64_C(3), words_18};
static const struct pp_kind kind_99 = {PP_TEXT, 1, INT64_C(0), INT64_C(8192), NULL};
static const struct pp_kind kind_100 = {PP_NAMED, 0, INT64_C(128), INT64_C(256), &kind_77};

const struct pp_kind pp_kind_tasks = {PP_LIST, 0, 0, INT64_C(1024), &kind_63};
const struct pp_kind pp_kind_inventory = {PP_LIST, 0, 0, INT64_C(1024), &kind_73};

static const struct pp_field wire_serve_fields[] = {
	{1, 1, "interface", &kind_0, NULL, 0},
	{2, 0, "concurrency", &kind_1, (const uint8_t *)"\x01", 1},
	{3, 0, "queue", &kind_2, (const uint8_t *)"\x00", 1},
	{4, 0, "ready", &kind_3, (const uint8_t *)"\x00", 1},
	{5, 0, "invocations", &kind_4, (const uint8_t *)"\x01", 1},
};
static const uint8_t wire_serve_sorted[] = {1, 0, 4, 2, 3};
const struct pp_shape pp_shape_wire_serve = {
	"WireServe", wire_serve_fields, wire_serve_sorted, 5, 0, 0, 0,
};

static const struct pp_field blob_ref_fields[] = {
	{1, 1, "digest", &kind_5, NULL, 0},
	{2, 1, "size", &kind_6, NULL, 0},
};
static const uint8_t blob_ref_sorted[] = {0, 1};
const struct pp_shape pp_shape_blob_ref = {
	"BlobRef", blob_ref_fields, blob_ref_sorted, 2, 0, 0, 0,
};

static const struct pp_field wire_module_fields[] = {
	{1, 1, "digest", &kind_5, NULL, 0},
	{2, 1, "size", &kind_6, NULL, 0},
	{3, 0, "image", &kind_7, NULL, 0},
	{4, 0, "plain", &kind_5, NULL, 0},
	{5, 0, "key", &kind_8, NULL, 0},
};
static const uint8_t wire_module_sorted[] = {0, 2, 4, 3, 1};
const struct pp_shape pp_shape_wire_module = {
	"WireModule", wire_module_fields, wire_module_sorted, 5, 0, 0, 0,
};

static const struct pp_field wire_model_fields[] = {
	{1, 1, "name", &kind_9, NULL, 0},
	{2, 1, "blob", &kind_10, NULL, 0},
};
static const uint8_t wire_model_sorted[] = {1, 0};
const struct pp_shape pp_shape_wire_model = {
	"WireModel", wire_model_fields, wire_model_sorted, 2, 0, 0, 0,
};

static const struct pp_field wire_schedule_fields[] = {
	{1, 1, "cron", &kind_8, NULL, 0},
	{2, 0, "zone", &kind_11, (const uint8_t *)"\x63\x55\x54\x43", 4},
	{3, 0, "missed", &kind_12, (const uint8_t *)"\x00", 1},
	{4, 0, "overlap", &kind_13, (const uint8_t *)"\x00", 1},
	{5, 0, "deadline", &kind_6, (const uint8_t *)"\x1a\x00\x09\x27\xc0", 5},
	{6, 0, "jitter", &kind_6, (const uint8_t *)"\x00", 1},
	{7, 0, "keep", &kind_1, (const uint8_t *)"\x10", 1},
};
static const uint8_t wire_schedule_sorted[] = {0, 4, 5, 6, 2, 3, 1};
const struct pp_shape pp_shape_wire_schedule = {
	"WireSchedule", wire_schedule_fields, wire_schedule_sorted, 7, 0, 0, 0,
};

static const struct pp_field wire_topic_fields[] = {
	{1, 1, "name", &kind_9, NULL, 0},
	{2, 0, "publish", &kind_8, NULL, 0},
	{3, 0, "subscribe", &kind_8, NULL, 0},
	{4, 0, "size", &kind_14, (const uint8_t *)"\x19\x10\x00", 3},
	{5, 0, "rate", &kind_15, (const uint8_t *)"\x0a", 1},
	{6, 0, "keep", &kind_16, (const uint8_t *)"\x19\x01\x00", 3},
};
static const uint8_t wire_topic_sorted[] = {5, 0, 1, 4, 3, 2};
const struct pp_shape pp_shape_wire_topic = {
	"WireTopic", wire_topic_fields, wire_topic_sorted, 6, 2, 3, 1,
};

static const struct pp_field wire_mount_fields[] = {
	{1, 1, "name", &kind_17, NULL, 0},
	{2, 1, "path", &kind_8, NULL, 0},
	{3, 1, "access", &kind_18, NULL, 0},
};
static const uint8_t wire_mount_sorted[] = {2, 0, 1};
const struct pp_shape pp_shape_wire_mount = {
	"WireMount", wire_mount_fields, wire_mount_sorted, 3, 0, 0, 0,
};

static const struct pp_field wire_secure_fields[] = {
	{1, 1, "range", &kind_19, NULL, 0},
	{2, 1, "bits", &kind_20, NULL, 0},
	{3, 1, "most", &kind_21, NULL, 0},
	{4, 1, "members", &kind_21, NULL, 0},
	{5, 0, "blob", &kind_10, NULL, 0},
};
static const uint8_t wire_secure_sorted[] = {1, 4, 3, 2, 0};
const struct pp_shape pp_shape_wire_secure = {
	"WireSecure", wire_secure_fields, wire_secure_sorted, 5, 0, 0, 0,
};

static const struct pp_field wire_training_fields[] = {
	{1, 1, "job", &kind_22, NULL, 0},
	{2, 1, "round", &kind_21, NULL, 0},
	{3, 1, "attempt", &kind_21, NULL, 0},
	{4, 1, "step", &kind_23, NULL, 0},
	{5, 1, "format", &kind_11, NULL, 0},
	{6, 1, "nonce", &kind_24, NULL, 0},
	{7, 1, "seed", &kind_25, NULL, 0},
	{8, 0, "model", &kind_10, NULL, 0},
	{9, 0, "layout", &kind_10, NULL, 0},
	{10, 0, "params", &kind_27, (const uint8_t *)"\xa0", 1},
	{11, 0, "guest", &kind_28, (const uint8_t *)"\x01", 1},
	{12, 0, "samples", &kind_6, NULL, 0},
	{13, 0, "clip", &kind_19, NULL, 0},
	{14, 0, "noise", &kind_19, NULL, 0},
	{15, 0, "secure", &kind_29, NULL, 0},
	{16, 0, "control", &kind_10, NULL, 0},
	{17, 0, "image", &kind_7, NULL, 0},
};
static const uint8_t wire_training_sorted[] = {2, 12, 15, 4, 10, 16, 0, 8, 7, 13, 5, 9, 1, 11, 14, 6, 3};
const struct pp_shape pp_shape_wire_training = {
	"WireTraining", wire_training_fields, wire_training_sorted, 17, 0, 0, 0,
};

static const struct pp_field entry_fields[] = {
	{1, 1, "uid", &kind_22, NULL, 0},
	{2, 1, "ref", &kind_30, NULL, 0},
	{3, 1, "run", &kind_24, NULL, 0},
	{4, 1, "cause", &kind_11, NULL, 0},
	{5, 1, "mode", &kind_31, NULL, 0},
	{6, 1, "digest", &kind_5, NULL, 0},
	{7, 1, "module", &kind_32, NULL, 0},
	{8, 1, "entrypoint", &kind_17, NULL, 0},
	{9, 0, "args", &kind_34, (const uint8_t *)"\x80", 1},
	{10, 0, "env", &kind_35, (const uint8_t *)"\x80", 1},
	{11, 0, "stdin", &kind_36, NULL, 0},
	{12, 0, "mounts", &kind_38, (const uint8_t *)"\x80", 1},
	{13, 0, "memory", &kind_6, NULL, 0},
	{14, 0, "fuel", &kind_6, NULL, 0},
	{15, 0, "timeout", &kind_6, NULL, 0},
	{16, 0, "output", &kind_6, (const uint8_t *)"\x1a\x00\x01\x00\x00", 5},
	{17, 0, "restart", &kind_39, (const uint8_t *)"\x00", 1},
	{18, 0, "backoffBase", &kind_6, (const uint8_t *)"\x19\x03\xe8", 3},
	{19, 0, "backoffCap", &kind_6, (const uint8_t *)"\x1a\x00\x04\x93\xe0", 5},
	{20, 0, "maxRestarts", &kind_40, NULL, 0},
	{21, 0, "readyAfter", &kind_6, (const uint8_t *)"\x00", 1},
	{22, 0, "sealed", &kind_42, (const uint8_t *)"\xa0", 1},
	{23, 0, "fl", &kind_43, NULL, 0},
	{24, 0, "update", &kind_44, NULL, 0},
	{25, 0, "serve", &kind_45, NULL, 0},
	{26, 0, "models", &kind_47, (const uint8_t *)"\x80", 1},
	{27, 0, "topics", &kind_49, (const uint8_t *)"\x80", 1},
	{28, 0, "autonomy", &kind_6, NULL, 0},
	{29, 0, "external", &kind_9, NULL, 0},
	{30, 0, "schedule", &kind_50, NULL, 0},
};
static const uint8_t entry_sorted[] = {8, 27, 17, 18, 3, 5, 7, 9, 28, 22, 13, 19, 12, 4, 25, 6, 11, 15, 20, 1, 16, 2, 29, 21, 24, 10, 14, 26, 0, 23};
const struct pp_shape pp_shape_entry = {
	"Entry", entry_fields, entry_sorted, 30, 0, 0, 0,
};

static const struct pp_field call_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "verb", &kind_52, NULL, 0},
	{3, 1, "to", &kind_9, NULL, 0},
	{4, 1, "inst", &kind_24, NULL, 0},
	{5, 1, "boot", &kind_40, NULL, 0},
	{6, 1, "conn", &kind_40, NULL, 0},
	{7, 1, "src", &kind_9, NULL, 0},
	{8, 1, "n", &kind_40, NULL, 0},
	{9, 1, "uid", &kind_22, NULL, 0},
	{10, 1, "run", &kind_24, NULL, 0},
	{11, 0, "timeout", &kind_6, (const uint8_t *)"\x19\x75\x30", 3},
	{12, 0, "method", &kind_11, (const uint8_t *)"\x64\x50\x4f\x53\x54", 5},
	{13, 0, "path", &kind_53, (const uint8_t *)"\x60", 1},
	{14, 0, "query", &kind_54, (const uint8_t *)"\x60", 1},
	{15, 0, "headers", &kind_56, (const uint8_t *)"\xa0", 1},
	{16, 0, "body", &kind_57, (const uint8_t *)"\x40", 1},
	{17, 0, "trace", &kind_11, (const uint8_t *)"\x60", 1},
	{18, 0, "follow", &kind_58, (const uint8_t *)"\x00", 1},
};
static const uint8_t call_sorted[] = {16, 5, 6, 18, 15, 1, 4, 12, 8, 13, 14, 10, 7, 11, 3, 17, 9, 0, 2};
const struct pp_shape pp_shape_call = {
	"Call", call_fields, call_sorted, 19, 0, 0, 0,
};

static const struct pp_field call_answer_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "call", &kind_9, NULL, 0},
	{3, 1, "inst", &kind_24, NULL, 0},
	{4, 1, "boot", &kind_40, NULL, 0},
	{5, 1, "state", &kind_59, NULL, 0},
	{6, 0, "cause", &kind_11, (const uint8_t *)"\x60", 1},
	{7, 0, "status", &kind_60, (const uint8_t *)"\x00", 1},
	{8, 0, "headers", &kind_56, (const uint8_t *)"\xa0", 1},
	{9, 0, "body", &kind_57, (const uint8_t *)"\x40", 1},
	{10, 0, "error", &kind_61, (const uint8_t *)"\x60", 1},
	{11, 0, "wait", &kind_6, (const uint8_t *)"\x00", 1},
	{12, 0, "took", &kind_6, (const uint8_t *)"\x00", 1},
	{13, 0, "log", &kind_62, (const uint8_t *)"\x60", 1},
	{14, 0, "lost", &kind_6, (const uint8_t *)"\x00", 1},
	{15, 0, "n", &kind_40, (const uint8_t *)"\x00", 1},
};
static const uint8_t call_answer_sorted[] = {9, 4, 2, 6, 10, 8, 1, 3, 13, 14, 15, 5, 7, 12, 0, 11};
const struct pp_shape pp_shape_call_answer = {
	"CallAnswer", call_answer_fields, call_answer_sorted, 16, 0, 0, 0,
};

static const struct pp_field desired_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "to", &kind_9, NULL, 0},
	{2, 1, "inst", &kind_24, NULL, 0},
	{3, 1, "fence", &kind_6, NULL, 0},
	{4, 1, "gen", &kind_6, NULL, 0},
	{5, 1, "iat", &kind_6, NULL, 0},
	{6, 1, "digest", &kind_5, NULL, 0},
	{7, 0, "tasks", &kind_64, NULL, 0},
	{8, 0, "body", &kind_10, NULL, 0},
	{9, 0, "notAfter", &kind_6, NULL, 0},
	{10, 0, "trace", &kind_11, (const uint8_t *)"\x60", 1},
};
static const uint8_t desired_sorted[] = {8, 6, 3, 4, 5, 2, 9, 7, 1, 10, 0};
const struct pp_shape pp_shape_desired = {
	"Desired", desired_fields, desired_sorted, 11, 8, 9, 1,
};

static const struct pp_field observed_fields[] = {
	{1, 0, "fence", &kind_6, (const uint8_t *)"\x00", 1},
	{2, 0, "gen", &kind_6, (const uint8_t *)"\x00", 1},
	{3, 0, "digest", &kind_5, NULL, 0},
};
static const uint8_t observed_sorted[] = {2, 0, 1};
const struct pp_shape pp_shape_observed = {
	"Observed", observed_fields, observed_sorted, 3, 0, 0, 0,
};

static const struct pp_field refused_fields[] = {
	{1, 1, "fence", &kind_6, NULL, 0},
	{2, 1, "gen", &kind_6, NULL, 0},
	{3, 1, "digest", &kind_65, NULL, 0},
	{4, 1, "reason", &kind_11, NULL, 0},
};
static const uint8_t refused_sorted[] = {2, 0, 1, 3};
const struct pp_shape pp_shape_refused = {
	"Refused", refused_fields, refused_sorted, 4, 0, 0, 0,
};

static const struct pp_field past_run_fields[] = {
	{1, 1, "slot", &kind_6, NULL, 0},
	{2, 1, "state", &kind_66, NULL, 0},
	{3, 0, "attempt", &kind_21, (const uint8_t *)"\x01", 1},
	{4, 0, "exit", &kind_67, NULL, 0},
	{5, 0, "result", &kind_68, NULL, 0},
	{6, 0, "resultBlob", &kind_10, NULL, 0},
	{7, 0, "error", &kind_68, (const uint8_t *)"\x60", 1},
	{8, 0, "started", &kind_6, (const uint8_t *)"\x00", 1},
	{9, 0, "ended", &kind_6, (const uint8_t *)"\x00", 1},
};
static const uint8_t past_run_sorted[] = {2, 8, 6, 3, 4, 5, 0, 7, 1};
const struct pp_shape pp_shape_past_run = {
	"PastRun", past_run_fields, past_run_sorted, 9, 5, 6, 0,
};

static const struct pp_field run_report_fields[] = {
	{1, 1, "uid", &kind_22, NULL, 0},
	{2, 1, "run", &kind_24, NULL, 0},
	{3, 1, "digest", &kind_5, NULL, 0},
	{4, 1, "cause", &kind_11, NULL, 0},
	{5, 1, "state", &kind_66, NULL, 0},
	{6, 0, "exit", &kind_67, NULL, 0},
	{7, 0, "result", &kind_68, NULL, 0},
	{8, 0, "resultBlob", &kind_10, NULL, 0},
	{9, 0, "error", &kind_68, (const uint8_t *)"\x60", 1},
	{10, 0, "restarts", &kind_40, (const uint8_t *)"\x00", 1},
	{11, 0, "ready", &kind_69, (const uint8_t *)"\xf4", 1},
	{12, 0, "started", &kind_6, (const uint8_t *)"\x00", 1},
	{13, 0, "ended", &kind_6, (const uint8_t *)"\x00", 1},
	{14, 0, "spent", &kind_6, (const uint8_t *)"\x00", 1},
	{15, 0, "past", &kind_71, (const uint8_t *)"\x80", 1},
	{16, 0, "lost", &kind_40, (const uint8_t *)"\x00", 1},
};
static const uint8_t run_report_sorted[] = {3, 2, 12, 8, 5, 15, 14, 10, 9, 6, 7, 1, 13, 11, 4, 0};
const struct pp_shape pp_shape_run_report = {
	"RunReport", run_report_fields, run_report_sorted, 16, 7, 8, 0,
};

static const struct pp_field free_fields[] = {
	{1, 0, "memory", &kind_6, (const uint8_t *)"\x00", 1},
	{2, 0, "tasks", &kind_40, (const uint8_t *)"\x00", 1},
	{3, 0, "storage", &kind_6, (const uint8_t *)"\x00", 1},
};
static const uint8_t free_sorted[] = {0, 2, 1};
const struct pp_shape pp_shape_free = {
	"Free", free_fields, free_sorted, 3, 0, 0, 0,
};

static const struct pp_field report_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "inst", &kind_24, NULL, 0},
	{3, 1, "boot", &kind_40, NULL, 0},
	{4, 1, "seq", &kind_40, NULL, 0},
	{5, 1, "conn", &kind_40, NULL, 0},
	{6, 1, "observed", &kind_72, NULL, 0},
	{7, 1, "inventory", &kind_5, NULL, 0},
	{8, 0, "tasks", &kind_74, NULL, 0},
	{9, 0, "body", &kind_10, NULL, 0},
	{10, 0, "refused", &kind_75, NULL, 0},
	{11, 0, "free", &kind_76, (const uint8_t *)"\xa0", 1},
	{12, 0, "metrics", &kind_78, (const uint8_t *)"\xa0", 1},
	{13, 0, "clock", &kind_79, (const uint8_t *)"\x00", 1},
};
static const uint8_t report_sorted[] = {9, 3, 13, 5, 11, 1, 2, 7, 12, 6, 10, 4, 8, 0};
const struct pp_shape pp_shape_report = {
	"Report", report_fields, report_sorted, 14, 9, 10, 0,
};

static const struct pp_field status_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "state", &kind_80, NULL, 0},
	{3, 1, "inst", &kind_24, NULL, 0},
	{4, 1, "boot", &kind_40, NULL, 0},
	{5, 1, "conn", &kind_40, NULL, 0},
};
static const uint8_t status_sorted[] = {4, 5, 1, 3, 2, 0};
const struct pp_shape pp_shape_status = {
	"Status", status_fields, status_sorted, 6, 0, 0, 0,
};

static const struct pp_field hello_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "inst", &kind_24, NULL, 0},
	{3, 1, "boot", &kind_40, NULL, 0},
	{4, 1, "arch", &kind_11, NULL, 0},
	{5, 1, "os", &kind_11, NULL, 0},
	{6, 1, "runtime", &kind_11, NULL, 0},
	{7, 1, "runtimeVersion", &kind_11, NULL, 0},
	{8, 1, "agent", &kind_11, NULL, 0},
	{9, 1, "memory", &kind_6, NULL, 0},
	{10, 1, "storage", &kind_6, NULL, 0},
	{11, 1, "tasks", &kind_40, NULL, 0},
	{12, 1, "maxModule", &kind_6, NULL, 0},
	{13, 1, "maxPayload", &kind_6, NULL, 0},
	{14, 1, "minRunInterval", &kind_6, NULL, 0},
	{15, 1, "heartbeat", &kind_6, NULL, 0},
	{16, 1, "imports", &kind_81, NULL, 0},
	{17, 1, "components", &kind_69, NULL, 0},
	{18, 1, "mounts", &kind_82, NULL, 0},
	{19, 1, "encodings", &kind_83, NULL, 0},
	{20, 1, "algs", &kind_83, NULL, 0},
	{21, 1, "fetch", &kind_83, NULL, 0},
	{22, 1, "labels", &kind_84, NULL, 0},
	{23, 1, "key", &kind_17, NULL, 0},
	{24, 0, "versions", &kind_85, (const uint8_t *)"\x81\x01", 2},
	{25, 0, "box", &kind_17, (const uint8_t *)"\x60", 1},
};
static const uint8_t hello_sorted[] = {8, 20, 4, 3, 25, 17, 19, 21, 15, 1, 16, 2, 23, 22, 12, 13, 9, 14, 18, 5, 6, 7, 10, 11, 0, 24};
const struct pp_shape pp_shape_hello = {
	"Hello", hello_fields, hello_sorted, 26, 0, 0, 0,
};

static const struct pp_field op_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "verb", &kind_11, NULL, 0},
	{3, 1, "to", &kind_9, NULL, 0},
	{4, 1, "inst", &kind_24, NULL, 0},
	{5, 1, "boot", &kind_40, NULL, 0},
	{6, 1, "conn", &kind_40, NULL, 0},
	{7, 1, "src", &kind_9, NULL, 0},
	{8, 1, "n", &kind_40, NULL, 0},
	{9, 0, "uid", &kind_22, NULL, 0},
	{10, 0, "run", &kind_24, NULL, 0},
	{11, 0, "stream", &kind_86, (const uint8_t *)"\x00", 1},
	{12, 0, "tail", &kind_6, (const uint8_t *)"\x1a\x00\x01\x00\x00", 5},
	{13, 0, "follow", &kind_6, (const uint8_t *)"\x00", 1},
	{14, 0, "notAfter", &kind_6, NULL, 0},
};
static const uint8_t op_sorted[] = {5, 6, 13, 1, 4, 8, 14, 10, 7, 11, 12, 3, 9, 0, 2};
const struct pp_shape pp_shape_op = {
	"Op", op_fields, op_sorted, 15, 0, 0, 0,
};

static const struct pp_field op_answer_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "op", &kind_9, NULL, 0},
	{3, 1, "inst", &kind_24, NULL, 0},
	{4, 1, "boot", &kind_40, NULL, 0},
	{5, 1, "n", &kind_40, NULL, 0},
	{6, 1, "state", &kind_87, NULL, 0},
	{7, 0, "stream", &kind_88, (const uint8_t *)"\x00", 1},
	{8, 0, "text", &kind_89, (const uint8_t *)"\x60", 1},
	{9, 0, "blob", &kind_10, NULL, 0},
	{10, 0, "dropped", &kind_6, (const uint8_t *)"\x00", 1},
};
static const uint8_t op_answer_sorted[] = {9, 4, 10, 1, 3, 5, 2, 6, 7, 8, 0};
const struct pp_shape pp_shape_op_answer = {
	"OpAnswer", op_answer_fields, op_answer_sorted, 11, 0, 0, 0,
};

static const struct pp_field blob_get_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "digest", &kind_5, NULL, 0},
	{3, 1, "off", &kind_6, NULL, 0},
	{4, 1, "len", &kind_90, NULL, 0},
	{5, 1, "req", &kind_40, NULL, 0},
};
static const uint8_t blob_get_sorted[] = {2, 1, 4, 3, 5, 0};
const struct pp_shape pp_shape_blob_get = {
	"BlobGet", blob_get_fields, blob_get_sorted, 6, 0, 0, 0,
};

static const struct pp_field blob_ack_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "digest", &kind_5, NULL, 0},
	{3, 1, "have", &kind_6, NULL, 0},
	{4, 1, "state", &kind_91, NULL, 0},
	{5, 0, "reason", &kind_8, (const uint8_t *)"\x60", 1},
};
static const uint8_t blob_ack_sorted[] = {2, 3, 1, 5, 4, 0};
const struct pp_shape pp_shape_blob_ack = {
	"BlobAck", blob_ack_fields, blob_ack_sorted, 6, 0, 0, 0,
};

static const struct pp_field manager_status_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "state", &kind_80, NULL, 0},
	{2, 1, "fence", &kind_6, NULL, 0},
	{3, 1, "src", &kind_9, NULL, 0},
	{4, 1, "conn", &kind_40, NULL, 0},
};
static const uint8_t manager_status_sorted[] = {4, 2, 3, 1, 0};
const struct pp_shape pp_shape_manager_status = {
	"ManagerStatus", manager_status_fields, manager_status_sorted, 5, 0, 0, 0,
};

static const struct pp_field echo_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "src", &kind_9, NULL, 0},
	{2, 1, "conn", &kind_6, NULL, 0},
	{3, 1, "n", &kind_6, NULL, 0},
	{4, 0, "at", &kind_6, (const uint8_t *)"\x00", 1},
};
static const uint8_t echo_sorted[] = {4, 2, 3, 1, 0};
const struct pp_shape pp_shape_echo = {
	"Echo", echo_fields, echo_sorted, 5, 0, 0, 0,
};

static const struct pp_field trusted_key_fields[] = {
	{1, 1, "kid", &kind_25, NULL, 0},
	{2, 1, "alg", &kind_92, NULL, 0},
	{3, 1, "pub", &kind_17, NULL, 0},
	{4, 1, "roles", &kind_93, NULL, 0},
};
static const uint8_t trusted_key_sorted[] = {1, 0, 2, 3};
const struct pp_shape pp_shape_trusted_key = {
	"TrustedKey", trusted_key_fields, trusted_key_sorted, 4, 0, 0, 0,
};

static const struct pp_field trust_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "version", &kind_94, NULL, 0},
	{2, 0, "keys", &kind_96, (const uint8_t *)"\x80", 1},
};
static const uint8_t trust_sorted[] = {2, 0, 1};
const struct pp_shape pp_shape_trust = {
	"Trust", trust_fields, trust_sorted, 3, 0, 0, 0,
};

static const struct pp_field releases_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "version", &kind_94, NULL, 0},
	{2, 0, "modules", &kind_97, (const uint8_t *)"\x80", 1},
	{3, 0, "notAfter", &kind_6, NULL, 0},
};
static const uint8_t releases_sorted[] = {2, 3, 0, 1};
const struct pp_shape pp_shape_releases = {
	"Releases", releases_fields, releases_sorted, 4, 0, 0, 0,
};

static const struct pp_field log_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "boot", &kind_40, NULL, 0},
	{3, 1, "n", &kind_40, NULL, 0},
	{4, 1, "stream", &kind_98, NULL, 0},
	{5, 1, "text", &kind_99, NULL, 0},
	{6, 0, "uid", &kind_22, NULL, 0},
	{7, 0, "run", &kind_24, NULL, 0},
	{8, 0, "dropped", &kind_6, (const uint8_t *)"\x00", 1},
};
static const uint8_t log_sorted[] = {2, 8, 1, 3, 7, 4, 5, 6, 0};
const struct pp_shape pp_shape_log = {
	"Log", log_fields, log_sorted, 9, 0, 0, 0,
};

static const struct pp_field metrics_fields[] = {
	{0, 1, "v", &kind_51, NULL, 0},
	{1, 1, "id", &kind_9, NULL, 0},
	{2, 1, "boot", &kind_40, NULL, 0},
	{3, 1, "n", &kind_40, NULL, 0},
	{4, 1, "at", &kind_6, NULL, 0},
	{5, 1, "values", &kind_100, NULL, 0},
	{6, 0, "dropped", &kind_6, (const uint8_t *)"\x00", 1},
};
static const uint8_t metrics_sorted[] = {4, 2, 6, 1, 3, 0, 5};
const struct pp_shape pp_shape_metrics = {
	"Metrics", metrics_fields, metrics_sorted, 7, 0, 0, 0,
};
