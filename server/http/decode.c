#include "http/decode.h"

#include <ctype.h>

static int hex_value(int digit)
{
	return isdigit(digit) ? digit - '0' : tolower(digit) - 'a' + 10;
}

enum outcome decode_percent(const char *what, char *text, bool plus_is_blank, struct fault *fault)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		const unsigned char *at = (const unsigned char *)from;
		int code = *at;

		from++;
		if (code == '%') {
			if (!isxdigit(at[1]) || !isxdigit(at[2]))
				return fault_set(fault, OUTCOME_BAD_REQUEST,
					"%s: %% wants two hex digits behind it (a plain %% is %%25)", what);
			code = hex_value(at[1]) * 16 + hex_value(at[2]);
			from += 2;
			if (code == 0 || (code == '/' && !plus_is_blank))
				return fault_set(
					fault, OUTCOME_BAD_REQUEST, "%s: %%%02X is not allowed", what, (unsigned)code);
		} else if (code == '+' && plus_is_blank) {
			code = ' ';
		}
		*to = (char)code;
	}
	*to = '\0';
	return OUTCOME_OK;
}
