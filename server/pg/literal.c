#include "pg/literal.h"

#include <string.h>

#include "base/text.h"

void literal_next(struct text *literal)
{
	text_say(literal, literal->length ? "," : "{");
}

void literal_add_quoted(struct text *literal, const char *string)
{
	text_say(literal, "\"");
	for (size_t plain; *string; string += plain) {
		plain = strcspn(string, "\"\\");
		text_add(literal, string, plain);
		if (string[plain]) {
			text_add(literal, (char[]){ '\\', string[plain] }, 2);
			plain++;
		}
	}
	text_say(literal, "\"");
}

char *literal_end(struct text *literal)
{
	text_say(literal, literal->length ? "}" : "{}");
	return text_end(literal);
}
