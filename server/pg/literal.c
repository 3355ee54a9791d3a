#include "pg/literal.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"

void literal_add(struct literal *literal, const char *bytes, size_t size)
{
	if (literal->length + size > literal->room) {
		literal->room = 2 * literal->room + size;
		literal->text = or_die(realloc(literal->text, literal->room));
	}
	memcpy(literal->text + literal->length, bytes, size);
	literal->length += size;
}

void literal_next(struct literal *literal)
{
	literal_add(literal, literal->length ? "," : "{", 1);
}

char *literal_end(struct literal *literal)
{
	if (!literal->length)
		literal_add(literal, "{", 1);
	literal_add(literal, "}", sizeof("}"));
	literal->length = 0;
	return literal->text;
}
