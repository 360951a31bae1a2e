/*
 * Operations: which are heard, and what becomes of their answers. The twin of proplet/operations.py.
 */
#include "inside.h"

#define FOLLOWS 4
#define MOST_TAIL (256 * 1024)
#define MOST_FOLLOW 600000
#define PIECE 4096
#define ROOM 768 /* bytes of the scratch's end, for what a device tells of itself */

/* state: the place of its word in the tables */
static void answer(struct pp_agent *a, struct pp_op *op, int64_t state, struct proplet_text text,
		   uint8_t stream, int64_t dropped)
{
	struct pp_out out;
	const size_t count = 7u + (stream != 0) + (text.len > 0) + (dropped > 0);

	pp_message_begin(a, &out);
	pp_put_map(&out, count);
	pp_put_int_in(&out, 0, 1);
	pp_put_word_in(&out, PP_OP_ANSWER_ID, a->id);
	pp_put_word_in(&out, PP_OP_ANSWER_OP, op->id);
	pp_put_bytes_in(&out, PP_OP_ANSWER_INST, a->inst, 16);
	pp_put_int_in(&out, PP_OP_ANSWER_BOOT, a->boot);
	pp_put_int_in(&out, PP_OP_ANSWER_N, op->answered++);
	pp_put_int_in(&out, PP_OP_ANSWER_STATE, state);
	if (stream != 0) {
		pp_put_int_in(&out, PP_OP_ANSWER_STREAM, stream);
	}
	if (text.len > 0) {
		pp_put_text_in(&out, PP_OP_ANSWER_TEXT, text.at, text.len < PIECE ? text.len : PIECE);
	}
	if (dropped > 0) {
		pp_put_int_in(&out, PP_OP_ANSWER_DROPPED, dropped);
	}
	(void)pp_publish(a, &pp_shape_op_answer, &out, false, op->id);
}

static void plain_answer(struct pp_agent *a, struct pp_op *op, int64_t state)
{
	answer(a, op, state, pp_words_of(""), 0, 0);
}

static void close_op(struct pp_agent *a, unsigned place)
{
	a->op_count--;
	memmove(&a->ops[place], &a->ops[place + 1], (a->op_count - place) * sizeof a->ops[0]);
}

static unsigned find_op(const struct pp_agent *a, struct proplet_text id)
{
	unsigned i;

	for (i = 0; i < a->op_count; i++) {
		if (strlen(a->ops[i].id) == id.len && memcmp(a->ops[i].id, id.at, id.len) == 0) {
			break;
		}
	}
	return i;
}

/* -- what is heard -------------------------------------------------------------------------- */

static bool text_is(struct proplet_text text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

/* Counts the op for its source. NULL, or why it is dropped. */
static const char *count_source(struct pp_agent *a, struct proplet_text src, int64_t n)
{
	unsigned i;

	for (i = 0; i < a->source_count && !text_is(src, a->sources[i].src); i++) {
	}
	if (i < a->source_count && n <= a->sources[i].n) {
		return "repeated";
	}
	if (i == a->source_count) {
		if (i == PP_SOURCES) {
			return "too_many_sources";
		}
		memcpy(a->sources[i].src, src.at, src.len);
		a->sources[i].src[src.len] = 0;
		a->source_count++;
	}
	a->sources[i].n = n;
	return NULL;
}

static const char *dropped_why(struct pp_agent *a, struct pp_view op, struct pp_now now)
{
	const int64_t not_after = pp_int(pp_field(op, PP_OP_NOT_AFTER), -1);
	const char *why;
	size_t len;

	if (!text_is(pp_text_in(op, PP_OP_TO), a->id)) {
		return "foreign";
	}
	if (memcmp(pp_bytes_in(op, PP_OP_INST, &len), a->inst, 16) != 0 ||
	    pp_int(pp_field(op, PP_OP_BOOT), -1) != a->boot ||
	    pp_int(pp_field(op, PP_OP_CONN), -1) != a->conn) {
		return "other_connection";
	}
	why = count_source(a, pp_text_in(op, PP_OP_SRC), pp_int_in(op, PP_OP_N));
	if (why != NULL) {
		return why;
	}
	if (not_after >= 0 && now.synced && now.wall > not_after) {
		return "expired";
	}
	return find_op(a, pp_text_in(op, PP_OP_ID)) < a->op_count ? "repeated" : NULL;
}

static const char *refuse_log(const struct pp_agent *a, const struct pp_op *op)
{
	const struct pp_run *const run = pp_runs_find(a, op->uid, op->run);
	unsigned reading = 0;

	if (run == NULL) {
		return "no such run";
	}
	if (run->plan.trains && !a->config.ship_training) {
		return "it trains on this device's data: its owner keeps its logs (flLogs: Ship)";
	}
	for (unsigned i = 0; i < a->op_count; i++) {
		reading += a->ops[i].log;
	}
	return reading >= FOLLOWS ? "too many logs are being read" : NULL;
}

static void tail(struct pp_agent *a, const struct pp_op *op, int64_t most, int64_t follow,
		 uint8_t stream)
{
	struct pp_effect effect = {
		.what = PP_DO_TAIL_LOG,
		.op = op->id,
		.uid = op->uid,
		.run_id = op->run,
		.run = pp_runs_find(a, op->uid, op->run),
		.stream = stream,
		.tail = pp_min(most, MOST_TAIL),
		.follow = pp_min(follow, MOST_FOLLOW),
	};

	if (effect.run != NULL) {
		effect.run_id = pp_times_log(a, effect.run);
	}
	(void)pp_emit(a, &effect);
}

static const char *unknown(struct proplet_text verb, struct pp_words *words)
{
	pp_words_init(words);
	pp_words_add(words, "verb '");
	pp_words_text(words, verb);
	pp_words_add(words, "' is not known here");
	return words->at;
}

/* An op that the run itself answers: opened before the run is touched, so that what was accepted is
 * said before what follows from it. */
static PP_APART void act_on_run(struct pp_agent *a, struct pp_op *op)
{
	struct pp_words words;
	const struct pp_run *const run = pp_runs_find(a, op->uid, op->run);
	const char *why = NULL;

	/* What would be refused changes nothing, so it may be asked first. */
	if (run == NULL || (!op->cancel && !run->wanted) ||
	    (op->cancel && run->phase == PP_PHASE_ENDED) ||
	    (!op->cancel && !pp_lasts(run))) {
		why = op->cancel ? pp_runs_cancel(a, op->uid, op->run, &words)
				 : pp_runs_restart(a, op->uid, op->run);
	} else if (a->op_count == PP_OPEN) {
		why = "too many operations under way";
	}
	if (why != NULL) {
		answer(a, op, PP_OP_ANSWER_STATE_REFUSED, pp_words_of(why), 0, 0);
		return;
	}
	plain_answer(a, op, PP_OP_ANSWER_STATE_ACCEPTED);
	a->ops[a->op_count++] = *op;
	if (op->cancel) {
		(void)pp_runs_cancel(a, op->uid, op->run, &words);
	} else {
		(void)pp_runs_restart(a, op->uid, op->run);
	}
	pp_operations_settle(a);
}

static void read_log(struct pp_agent *a, struct pp_op *op, struct pp_view message)
{
	const int64_t most = pp_int(pp_field(message, PP_OP_TAIL), 65536);
	const int64_t follow = pp_int_in(message, PP_OP_FOLLOW);
	const uint8_t stream = (uint8_t)pp_int_in(message, PP_OP_STREAM);
	const char *const why = refuse_log(a, op);

	if (why != NULL || a->op_count == PP_OPEN) {
		answer(a, op, PP_OP_ANSWER_STATE_REFUSED,
		       pp_words_of(why != NULL ? why : "too many operations under way"), 0, 0);
		return;
	}
	op->log = true;
	plain_answer(a, op, PP_OP_ANSWER_STATE_ACCEPTED);
	a->ops[a->op_count++] = *op;
	tail(a, op, most, follow, stream);
}

static void read_key(struct pp_op *op, struct pp_view message)
{
	const struct proplet_text id = pp_text_in(message, PP_OP_ID);
	size_t len;
	const uint8_t *bytes = pp_bytes_in(message, PP_OP_UID, &len);

	memset(op, 0, sizeof *op);
	memcpy(op->id, id.at, id.len);
	if (len == 16) {
		memcpy(op->uid, bytes, 16);
	}
	bytes = pp_bytes_in(message, PP_OP_RUN, &len);
	if (len == 16) {
		memcpy(op->run, bytes, 16);
	}
}

/* A verb of this device alone, or one that nobody knows. */
static PP_APART void other_verb(struct pp_agent *a, struct pp_op *op, struct proplet_text verb)
{
	struct pp_words words;
	/* Behind the answer that is put together, in front of records that are read. */
	char *const text = (char *)a->memory.scratch + a->memory.scratch_size - ROOM;
	const size_t len = a->shell.tell == NULL
				   ? 0
				   : a->shell.tell(a->shell.ctx, verb.at, verb.len, text, ROOM);

	if (len > 0) {
		answer(a, op, PP_OP_ANSWER_STATE_DONE, (struct proplet_text){text, len}, 0, 0);
		return;
	}
	answer(a, op, PP_OP_ANSWER_STATE_REFUSED, pp_words_of(unknown(verb, &words)), 0, 0);
}

void pp_operations_hear(struct pp_agent *a, struct pp_view message, struct pp_now now)
{
	const struct proplet_text verb = pp_text_in(message, PP_OP_VERB);
	const char *const dropped = dropped_why(a, message, now);
	struct pp_op op;

	if (dropped != NULL) {
		pp_agent_count(a, dropped);
		return;
	}
	read_key(&op, message);
	op.cancel = text_is(verb, "cancel");
	if (text_is(verb, "collect")) {
		a->collect = true;
		plain_answer(a, &op, PP_OP_ANSWER_STATE_DONE);
	} else if (text_is(verb, "logs")) {
		read_log(a, &op, message);
	} else if (op.cancel || text_is(verb, "restart")) {
		act_on_run(a, &op);
	} else {
		other_verb(a, &op, verb);
	}
}

/* -- what follows ----------------------------------------------------------------------------- */

void pp_operations_settle(struct pp_agent *a)
{
	for (unsigned i = 0; i < a->op_count;) {
		struct pp_op op = a->ops[i];
		const struct pp_run *const run = pp_runs_find(a, op.uid, op.run);
		const bool over = run == NULL ||
				  (op.cancel ? run->phase == PP_PHASE_ENDED
					     : run->phase != PP_PHASE_STOPPING ||
						       run->why != PP_WHY_RESTARTED);

		if (op.log || !over) {
			i++;
			continue;
		}
		close_op(a, i);
		plain_answer(a, &op, PP_OP_ANSWER_STATE_DONE);
	}
}

static void log_piece(struct pp_agent *a, const char *id, uint8_t stream, struct proplet_text text,
		      int64_t dropped, bool last)
{
	const unsigned place = find_op(a, pp_words_of(id));
	struct pp_op op;

	if (place == a->op_count) {
		return;
	}
	if (text.len > 0 || dropped > 0) {
		answer(a, &a->ops[place], PP_OP_ANSWER_STATE_PROGRESS, text, stream, dropped);
	}
	if (last) {
		op = a->ops[place];
		close_op(a, place);
		plain_answer(a, &op, PP_OP_ANSWER_STATE_DONE);
	}
}

void pp_agent_log_piece(struct pp_agent *a, const char *op, uint8_t stream, struct proplet_text text,
			int64_t dropped, bool last, struct pp_now now)
{
	log_piece(a, op, stream, text, dropped, last);
	pp_agent_tick(a, now);
}
