#include "base/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

static const char *const level_words[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

enum { LINE_MAX_BYTES = 4096, VALUE_MAX_BYTES = 1100 };

/* A line in the making. A pair that does not fit is left out as a whole, so what is there is always well-formed. */
struct line {
	bool json;
	size_t length;
	char text[LINE_MAX_BYTES];
};

static bool line_add(struct line *line, const char *bytes, size_t size)
{
	if (size > sizeof(line->text) - 2 - line->length)	/* room for the closing brace and the line's end */
		return false;
	memcpy(line->text + line->length, bytes, size);
	line->length += size;
	return true;
}

static bool line_add_text(struct line *line, const char *text)
{
	return line_add(line, text, strlen(text));
}

/* Adds one character of a quoted value: both formats escape as JSON does. */
static bool line_add_char(struct line *line, const char *at, size_t length)
{
	char escape[8];

	if (length == 0)
		return line_add_text(line, "\xEF\xBF\xBD");
	if (*at == '"' || *at == '\\')
		snprintf(escape, sizeof(escape), "\\%c", *at);
	else if (*at == '\n')
		return line_add_text(line, "\\n");
	else if (length == 1 && utf8_is_control(at))
		snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)*at);
	else
		return line_add(line, at, length);
	return line_add_text(line, escape);
}

static bool line_add_quoted(struct line *line, const char *value)
{
	size_t size = strlen(value), most = size < VALUE_MAX_BYTES ? size : VALUE_MAX_BYTES;
	bool fits = line_add_text(line, "\"");

	for (size_t at = 0; fits && at < most;) {
		size_t length = utf8_length(value + at, size - at);

		fits = line_add_char(line, value + at, length);
		at += length ? length : 1;
	}
	if (size > most)
		fits = fits && line_add_text(line, "…");
	return fits && line_add_text(line, "\"");
}

static bool is_plain_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-.:/,+@?&%", c));
}

/* By hand instead of strspn, which sets up a table at each call. */
static bool is_plain(const char *value)
{
	size_t length = 0;

	while (is_plain_char(value[length]))
		length++;
	return length > 0 && length < VALUE_MAX_BYTES && value[length] == '\0';
}

static void line_add_pair(struct line *line, const char *key, const char *value)
{
	size_t before = line->length;
	bool fits = line_add_text(line, before == 0 ? (line->json ? "{" : "") : line->json ? "," : " ");

	if (line->json)
		fits = fits && line_add_quoted(line, key) && line_add_text(line, ":") && line_add_quoted(line, value);
	else
		fits = fits && line_add_text(line, key) && line_add_text(line, "=") &&
			(is_plain(value) ? line_add_text(line, value) : line_add_quoted(line, value));
	if (!fits)
		line->length = before;
}

static void line_end(struct line *line)
{
	if (line->json)
		line->text[line->length++] = '}';
	line->text[line->length++] = '\n';
}

/* Writes now as RFC 3339 in UTC with milliseconds. */
static void time_format(char text[static 32])
{
	struct timespec now;
	struct tm parts;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	length = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text + length, 32 - length, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

void log_write(const struct log *log, enum log_level level, const char *event, ...)
{
	struct line line;
	char time[32];
	va_list pairs;

	if (level < log->level)
		return;
	line.json = log->json;
	line.length = 0;
	time_format(time);
	line_add_pair(&line, "time", time);
	line_add_pair(&line, "level", level_words[level]);
	line_add_pair(&line, "event", event);
	va_start(pairs, event);
	for (const char *key; (key = va_arg(pairs, const char *)) != NULL;) {
		const char *value = va_arg(pairs, const char *);

		if (value)
			line_add_pair(&line, key, value);
	}
	va_end(pairs);
	line_end(&line);
	/* One write a line, so that lines of several processes do not mix. A log that cannot be written stops nothing. */
	if (write(log->fd, line.text, line.length) < 0)
		return;
}

const char *log_number(long long number, char text[static 24])
{
	snprintf(text, 24, "%lld", number);
	return text;
}

bool log_level_parse(const char *word, enum log_level *level)
{
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
		if (strcmp(word, level_words[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}
