#include "support/gates.h"

#include <string.h>

/* How two names stand to each other: the whole of both lists is looked at. */
typedef bool relation(const char *one, size_t length, const char *other, size_t other_length);

/* Whether a gate is the other, or above it. */
static bool covers(const char *above, size_t length, const char *gate, size_t gate_length)
{
	return length <= gate_length && memcmp(above, gate, length) == 0 &&
		(length == gate_length || gate[length] == '.');
}

static bool is_same(const char *one, size_t length, const char *other, size_t other_length)
{
	return length == other_length && memcmp(one, other, length) == 0;
}

static bool any_pair(const char *list, const char *others, relation *holds)
{
	for (const char *a = list; *a; a += strcspn(a, ","), a += *a == ',')
		for (const char *b = others; *b; b += strcspn(b, ","), b += *b == ',')
			if (holds(a, strcspn(a, ","), b, strcspn(b, ",")))
				return true;
	return false;
}

bool gates_shut(const char *closed, const char *gates)
{
	return any_pair(closed, gates, covers);
}

bool gates_conflict(const char *one, const char *other)
{
	return gates_shut(one, other) || gates_shut(other, one);
}

bool gates_meet(const char *one, const char *other)
{
	return any_pair(one, other, is_same);
}
