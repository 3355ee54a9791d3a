#include "base/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/die.h"
#include "base/utf8.h"

/* By hand instead of isalnum, which asks the locale, and strspn, which sets up a table at each call: every check comes
 * through here. */
static size_t segment_length(const char *name)
{
	const char *at = name;

	while ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || *at == '_' ||
		*at == '-')
		at++;
	return (size_t)(at - name);
}

const char *gates_name(const struct gates *gates, unsigned i)
{
	return gates->text + gates->offset[i];
}

/* Checks the length bytes at name, which need not end in NUL. */
static enum outcome name_check(const char *name, size_t length, struct fault *fault)
{
	int shown = length < 60 ? (int)length : 60;
	unsigned segments = 0;
	size_t at = 0;

	if (length == 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "a gate's name must not be empty");
	if (length > GATE_NAME_MAX)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "gate \"%.*s…\" is too long: a name has at most %d bytes",
			shown, name, GATE_NAME_MAX);
	while (at <= length) {
		size_t segment = segment_length(name + at);

		if (segment == 0 || at + segment > length || (at + segment < length && name[at + segment] != '.'))
			return fault_set(fault, OUTCOME_BAD_REQUEST,
				"gate \"%.*s\" is not a name: names are letters, digits, _ and -, "
				"in segments joined by single dots",
				shown, name);
		at += segment + 1;
		segments++;
	}
	if (segments > GATE_SEGMENTS_MAX)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "gate \"%.*s\" has %u segments: at most %d are allowed",
			shown, name, segments, GATE_SEGMENTS_MAX);
	return OUTCOME_OK;
}

enum outcome gate_name_check(const char *name, struct fault *fault)
{
	return name_check(name, strlen(name), fault);
}

static bool gates_has(const struct gates *gates, const char *name, size_t length)
{
	for (unsigned i = 0; i < gates->count; i++)
		if (strncmp(gates_name(gates, i), name, length) == 0 && gates_name(gates, i)[length] == '\0')
			return true;
	return false;
}

/* Adds a name that has been checked; false if there is no room for one more. */
static bool gates_add(struct gates *gates, size_t *used, const char *name, size_t length)
{
	if (gates_has(gates, name, length))
		return true;
	if (gates->count == GATES_MAX)
		return false;
	gates->offset[gates->count++] = (uint16_t)*used;
	memcpy(gates->text + *used, name, length);
	gates->text[*used + length] = '\0';
	*used += length + 1;
	return true;
}

enum outcome gates_parse(const char *text, struct gates **result, struct fault *fault)
{
	size_t used = 0, room = strlen(text) + 1, most = GATES_MAX * (GATE_NAME_MAX + 1);
	struct gates *gates = calloc(1, sizeof(*gates) + (room < most ? room : most));
	enum outcome outcome;

	if (!gates)
		return fault_set(fault, OUTCOME_UNAVAILABLE, "the service is out of memory");
	for (;;) {
		size_t length = strcspn(text, ",");

		outcome = name_check(text, length, fault);
		if (outcome == OUTCOME_OK && !gates_add(gates, &used, text, length))
			outcome = fault_set(
				fault, OUTCOME_BAD_REQUEST, "too many gates: at most %d in one set", GATES_MAX);
		if (outcome != OUTCOME_OK || text[length] == '\0')
			break;
		text += length + 1;
	}
	if (outcome != OUTCOME_OK) {
		free(gates);
		return outcome;
	}
	*result = gates;
	return OUTCOME_OK;
}

bool gate_covers(const char *ancestor, const char *gate)
{
	size_t length = strlen(ancestor);

	return strncmp(ancestor, gate, length) == 0 && (gate[length] == '\0' || gate[length] == '.');
}

unsigned gate_depth(const char *gate)
{
	unsigned depth = 1;

	for (; *gate; gate++)
		depth += *gate == '.';
	return depth;
}

size_t gate_parent_len(const char *gate, size_t length)
{
	const char *dot = memrchr(gate, '.', length);

	return dot ? (size_t)(dot - gate) : 0;
}

enum outcome text_check(const char *what, const char *text, struct fault *fault)
{
	size_t size = strlen(text);

	if (size > TEXT_MAX_BYTES)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s: %zu bytes are too many: at most %d", what, size,
			TEXT_MAX_BYTES);
	for (size_t at = 0; at < size;) {
		size_t length = utf8_length(text + at, size - at);

		if (length == 0)
			return fault_set(fault, OUTCOME_BAD_REQUEST, "%s: not valid UTF-8 at byte %zu", what, at + 1);
		if (utf8_is_control(text + at))
			return fault_set(fault, OUTCOME_BAD_REQUEST,
				"%s: control character at byte %zu: line breaks, tabs and the like "
				"are not allowed",
				what, at + 1);
		at += length;
	}
	return OUTCOME_OK;
}

enum outcome url_check(const char *what, const char *text, struct fault *fault)
{
	enum outcome outcome = text_check(what, text, fault);
	const char *host = text;

	if (outcome != OUTCOME_OK)
		return outcome;
	if (strncmp(text, "http://", 7) == 0)
		host = text + 7;
	else if (strncmp(text, "https://", 8) == 0)
		host = text + 8;
	if (host == text || strchr("/?#:@", *host) != NULL || strpbrk(text, " \"<>"))
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"%s: not a web address: it begins with http:// or https:// and a host, "
			"without blanks",
			what);
	return OUTCOME_OK;
}

enum outcome token_check(const char *token, struct fault *fault)
{
	size_t length = strlen(token);

	if (length < TOKEN_MIN || length > TOKEN_MAX || segment_length(token) != length)
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"token: a lease token has %d to %d characters, letters, digits, _ and - "
			"(make one with: od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')",
			TOKEN_MIN, TOKEN_MAX);
	return OUTCOME_OK;
}

void token_make(char token[static TOKEN_MADE_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[TOKEN_MADE_LEN / 2];
	ssize_t got;

	do
		got = getrandom(bytes, sizeof(bytes), 0);
	while (got < 0 && errno == EINTR);
	if (got != sizeof(bytes))
		die("the kernel has no random numbers");
	for (size_t i = 0; i < sizeof(bytes); i++) {
		token[2 * i] = digits[bytes[i] >> 4];
		token[2 * i + 1] = digits[bytes[i] & 15];
	}
	token[TOKEN_MADE_LEN] = '\0';
}
