/* sql: the SQL of this release, compiled in from sql/ by scripts/embed. */
#ifndef PG_SQL_H
#define PG_SQL_H

struct sql_file {
	const char *name;	/* file name without .sql: "0001_foundation", "close" */
	const char *text;	/* in queries :'word' has become $1, $2 … in the order of first appearance */
	int parameters;		/* how many different ones a query has */
};

/* Each ends with a row whose name is NULL and is sorted by name. */
extern const struct sql_file sql_schema[];
extern const struct sql_file sql_functions[];
extern const struct sql_file sql_queries[];

#endif
