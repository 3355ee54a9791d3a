#include "pg/cells.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "pg/sql.h"

const char *cell_text(const PGresult *rows, int row, int column)
{
	return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

int64_t cell_number(const PGresult *rows, int row, int column, int64_t fallback)
{
	const char *text = cell_text(rows, row, column);

	return text ? strtoll(text, NULL, 10) : fallback;
}

char *cell_copy(const PGresult *rows, int row, int column)
{
	const char *text = cell_text(rows, row, column);

	return text ? or_die(strdup(text)) : NULL;
}

bool cell_true(const PGresult *rows, int row, int column)
{
	const char *text = cell_text(rows, row, column);

	return text && *text == 't';
}

static const char *field(const PGresult *result, int code)
{
	const char *text = PQresultErrorField(result, code);

	return text ? text : "";
}

const char *result_sqlstate(const PGresult *result)
{
	return field(result, PG_DIAG_SQLSTATE);
}

const char *result_message(const PGresult *result)
{
	return field(result, PG_DIAG_MESSAGE_PRIMARY);
}

enum outcome result_failure(const PGresult *result)
{
	const char *sqlstate = result_sqlstate(result);

	if (strcmp(sqlstate, "53200") == 0)
		return OUTCOME_TOO_MANY;
	return strncmp(sqlstate, "53", 2) == 0 ? OUTCOME_UNAVAILABLE : OUTCOME_INTERNAL;
}

const char *query_text(const char *name)
{
	const struct sql_file *file = sql_queries;

	while (file->name && strcmp(file->name, name) != 0)
		file++;
	if (!file->name)
		die(name);
	return file->text;
}
