/* batch_results: what each statement of a batch answered. */
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/log.h"
#include "pg/account.h"
#include "pg/batch_parts.h"
#include "pg/cells.h"
#include "pg/telling.h"

/* The columns of the query "settle". */
enum { WHAT, LEASE, OUTCOME, KEY, MODE, BODY };

static void note_close(struct batch *b, const PGresult *rows, int row)
{
	for (struct change *c = b->aboard.first; c; c = c->next) {
		if (!c->undecided || !c->lease || strcmp(c->lease, cell_text(rows, row, LEASE)) != 0)
			continue;
		c->undecided = false;
		c->outcome = outcome_of_word(cell_text(rows, row, OUTCOME));
		free(c->body);
		c->body = cell_copy(rows, row, BODY);
		return;
	}
}

static void note_settled(struct batch *b, const PGresult *rows, int i)
{
	const char *what = cell_text(rows, i, WHAT), *mode = cell_text(rows, i, MODE);
	int64_t key = cell_number(rows, i, KEY, -1);

	if (strcmp(what, "took") == 0)
		account_add(b->terms.account, key, *mode);
	else if (strcmp(what, "drop") == 0)
		aftermath_drop(b->behind, key, *mode);
	else if (strcmp(what, "close") == 0)
		note_close(b, rows, i);
	else if (strcmp(what, "changed") == 0)
		aftermath_announce(b->behind, cell_text(rows, i, LEASE));
	else
		b->terms.next_due(b->terms.context, key);
}

/* What says nothing about the changes: somebody was in the way of begin. */
static bool passes(const char *sqlstate)
{
	return *sqlstate && strstr("55P03 40P01 40001", sqlstate);
}

static void note_trouble(struct batch *b, unsigned index, const PGresult *result)
{
	const char *sqlstate = result_sqlstate(result);
	const char *change = !b->cursor ? "settle" : b->plain ? b->cursor->plain : b->cursor->statement;
	const char *statement = index == 0 ? "begin" : change;

	if (PQresultStatus(result) != PGRES_FATAL_ERROR)
		return;
	b->trouble = CHANGE_FAILED;
	if (passes(sqlstate) || (index == 0 && result_failure(result) != OUTCOME_INTERNAL))
		b->trouble = BEGIN_FAILED;
	/* What is behind begin may have taken locks, and those are not rolled back. */
	b->doubt |= index > 0;
	log_write(b->terms.log, b->trouble == BEGIN_FAILED ? LOG_INFO : LOG_ERROR, "batch_failed", "statement",
		statement, "sqlstate", sqlstate, "why", result_message(result), NULL);
	if (strcmp(sqlstate, "DG001") == 0)
		session_drop(b->terms.session, "superseded by another session");
	if (b->aboard.first)
		b->aboard.first->outcome = result_failure(result);
}

static void note_change(struct change *change, const PGresult *result, int row)
{
	const char *word = cell_text(result, row, 0);

	change->undecided = strcmp(word, "settling") == 0;
	change->outcome = change->undecided ? OUTCOME_INTERNAL : outcome_of_word(word);
	change->body = cell_copy(result, row, 1);
}

/* The columns of the plain statements; key and mode are those of the gate's lock, which is held now, or, where the gate is to be
 * announced, dropped afterwards. Without a mode it is another replica's, which hears of it. */
enum { PLAIN_LEASE, PLAIN_OUTCOME, TOLD, TOLD_AT, GATE_KEY, GATE_MODE, ANNOUNCED };

static void note_lock(struct batch *b, int64_t key, const char *mode, const char *announced)
{
	if (announced)
		aftermath_announce(b->behind, announced);
	if (announced && mode)
		aftermath_drop(b->behind, key, *mode);
	else if (mode)
		account_add(b->terms.account, key, *mode);
}

static void note_told(struct change *change, const PGresult *rows, int row)
{
	change->undecided = false;
	change->outcome = outcome_of_word(cell_text(rows, row, PLAIN_OUTCOME));
	change->body = telling_of_lease(cell_text(rows, row, TOLD), cell_text(rows, row, TOLD_AT));
}

static void note_run(struct batch *b, const PGresult *rows)
{
	struct change *end = b->cursor ? change_run_end(b->cursor) : NULL;

	for (int i = 0; i < PQntuples(rows); i++) {
		note_lock(b, cell_number(rows, i, GATE_KEY, 0), cell_text(rows, i, GATE_MODE),
			cell_text(rows, i, ANNOUNCED));
		for (struct change *c = b->cursor; c != end; c = c->next)
			if (strcmp(c->lease, cell_text(rows, i, PLAIN_LEASE)) == 0)
				note_told(c, rows, i);
	}
	b->cursor = end;
}

void batch_note(struct flight *flight, unsigned index, const PGresult *result)
{
	struct batch *b = container_of(flight, struct batch, flight);

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		note_trouble(b, index, result);
	} else if (index > b->statements) {
		for (int i = 0; i < PQntuples(result); i++)
			note_settled(b, result, i);
	} else if (index > 0 && b->plain) {
		note_run(b, result);
	} else if (index > 0 && b->cursor) {
		note_change(b->cursor, result, 0);
		b->cursor = b->cursor->next;
	}
}
