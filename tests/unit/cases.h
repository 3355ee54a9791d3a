/* cases: what the unit tests share. Includes cmocka with what it wants before it. */
#ifndef UNIT_CASES_H
#define UNIT_CASES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Whether a text contains another; shows both where it does not. */
#define assert_contains(text, part)                                                                                    \
	do {                                                                                                           \
		if (!strstr(text, part))                                                                               \
			fail_msg("\"%s\" is not in \"%s\"", part, text);                                               \
	} while (0)

#endif
