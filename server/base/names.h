/* names: gate names, sets of gates, lease tokens and free texts, checked where they enter. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "outcome.h"

enum {
	GATE_NAME_MAX = 128,		/* bytes */
	GATE_SEGMENTS_MAX = 8,
	GATES_MAX = 16,			/* gates in one set */
	TEXT_MAX_BYTES = 1024,		/* holder, reason, release, job, url */
	TOKEN_MIN = 22,
	TOKEN_MAX = 128,
	TOKEN_MADE_LEN = 32,		/* hex digits of 128 random bits */
	LEASE_ID_LEN = 32,
	DIGEST_HEX_LEN = 64
};

/* A set of gates in one allocation, in the order given, without doubles. Free with free(). */
struct gates {
	unsigned count;
	uint16_t offset[GATES_MAX];	/* of each name in text */
	char text[];			/* the names, each ended by NUL */
};

/* The name at index i, which is below count. */
const char *gates_name(const struct gates *, unsigned i);

/* Parses "a,b.c". The result is the caller's. OUTCOME_BAD_REQUEST says which name is bad and why. */
MUST_CHECK enum outcome gates_parse(const char *text, struct gates **, struct fault *);

/* Whether one gate is the other, or its ancestor. */
bool gate_covers(const char *ancestor, const char *gate);

/* How many segments a name has: 3 for "a.b.c". */
unsigned gate_depth(const char *gate);

/* Length of the parent's name of the gate that is the first length bytes ("a.b.c": 3); 0 for a top-level gate. */
size_t gate_parent_len(const char *gate, size_t length);

MUST_CHECK enum outcome gate_name_check(const char *name, struct fault *);

/* UTF-8, at most TEXT_MAX_BYTES, no control characters. what names the parameter in the fault. */
MUST_CHECK enum outcome text_check(const char *what, const char *text, struct fault *);

/* As text_check, and begins with http:// or https:// and has a host. */
MUST_CHECK enum outcome url_check(const char *what, const char *text, struct fault *);

MUST_CHECK enum outcome token_check(const char *token, struct fault *);

/* 128 random bits in hex. Dies if the kernel has none. */
void token_make(char token[static TOKEN_MADE_LEN + 1]);

#endif
