#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

enum { GAP = 2 };

void table_init(struct table *table, unsigned columns)
{
	*table = (struct table){ .columns = columns };
}

/* A copy without what would move the cursor. */
static char *harmless(const char *text)
{
	char *copy = or_die(strdup(text ? text : ""));

	for (char *at = copy; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			*at = ' ';
	return copy;
}

void table_add(struct table *table, const char *const *texts)
{
	size_t count = (size_t)table->rows * table->columns;

	table->cells = or_die(realloc(table->cells, (count + table->columns) * sizeof(*table->cells)));
	for (unsigned i = 0; i < table->columns; i++)
		table->cells[count + i] = harmless(texts[i]);
	table->rows++;
}

unsigned text_width(const char *text)
{
	unsigned width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xC0) != 0x80;
	return width;
}

static void print_row(const struct table *table, char *const *row, const unsigned *widths)
{
	unsigned pending = 0;

	for (unsigned i = 0; i < table->columns; i++) {
		if (*row[i])
			printf("%*s%s", (int)pending, "", row[i]);
		pending = *row[i] ? widths[i] - text_width(row[i]) + GAP : pending + widths[i] + GAP;
	}
	putchar('\n');
}

void table_print(struct table *table)
{
	unsigned widths[COLUMNS_MAX] = { 0 };

	for (unsigned i = 0; i < table->rows * table->columns; i++) {
		unsigned width = text_width(table->cells[i]), *widest = &widths[i % table->columns];

		if (width > *widest)
			*widest = width;
	}
	for (unsigned row = 0; row < table->rows; row++)
		print_row(table, table->cells + (size_t)row * table->columns, widths);
	for (unsigned i = 0; i < table->rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
}
