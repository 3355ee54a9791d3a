/* cells: what stands in a result, and the text of a query. */
#ifndef PG_CELLS_H
#define PG_CELLS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

/* The text of a cell, NULL for SQL's null; valid as long as the result. */
const char *cell_text(const PGresult *, int row, int column);

/* A cell as a number, a null as fallback. */
int64_t cell_number(const PGresult *, int row, int column, int64_t fallback);

/* A copy of a cell, NULL for null; the caller's (free). */
char *cell_copy(const PGresult *, int row, int column);

bool cell_true(const PGresult *, int row, int column);

/* SQLSTATE and first line of a result that failed; "" where there is none. */
const char *result_sqlstate(const PGresult *);
const char *result_message(const PGresult *);

/* What a result that failed makes of the change that raised it: where PostgreSQL has too little of something, that passes. */
enum outcome result_failure(const PGresult *);

/* The compiled-in query of that name; dies for one that is not there. */
const char *query_text(const char *name);

#endif
