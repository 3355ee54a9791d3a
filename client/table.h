/* table: rows of texts in columns as wide as their widest, for people. */
#ifndef CLIENT_TABLE_H
#define CLIENT_TABLE_H

enum { COLUMNS_MAX = 9 };

struct table {
	unsigned columns, rows;
	char **cells; /* row by row */
};

void table_init(struct table *, unsigned columns);

/* Adds one row of that many texts, which are copied; NULL is an empty cell. */
void table_add(struct table *, const char *const *texts);

/* Prints on standard output and releases. */
void table_print(struct table *);

/* Characters of a text, each taken for one column wide. */
unsigned text_width(const char *);

#endif
