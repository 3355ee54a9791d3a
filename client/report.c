#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/duration.h"
#include "clock.h"

enum { MINUTE_MS = 60 * 1000, LINE_MAX_BYTES = 1400, COLUMNS_DEFAULT = 80 };

void report_init(struct report *report)
{
	const char *kind = getenv("TERM");

	*report = (struct report){
		.terminal = isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0,
		.exit_code = -1,
	};
}

/* What others wrote must not move the cursor of whoever reads it. */
static void make_harmless(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = ' ';
}

static void clear_line(struct report *report)
{
	if (report->line_open)
		fputs("\r\033[K", stderr);
	report->line_open = false;
}

static void print_line(struct report *report, const char *format, va_list arguments)
{
	char text[LINE_MAX_BYTES];

	vsnprintf(text, sizeof(text), format, arguments);
	make_harmless(text);
	clear_line(report);
	fflush(stdout); /* the last line stays the last where both go to one place */
	fprintf(stderr, "deploy-gate: %s\n", text);
	fflush(stderr);
}

static void say_always(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say_always(struct report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line(report, format, arguments);
	va_end(arguments);
}

void report_say(struct report *report, const char *format, ...)
{
	va_list arguments;

	if (report->quiet)
		return;
	va_start(arguments, format);
	print_line(report, format, arguments);
	va_end(arguments);
}

static unsigned columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : COLUMNS_DEFAULT;
}

/* Bytes of text that fill at most so many columns, taking each character for one. */
static size_t cut(const char *text, unsigned width)
{
	size_t size = 0;

	for (; text[size]; size++)
		if (((unsigned char)text[size] & 0xC0) != 0x80 && width-- == 0)
			break;
	return size;
}

static void draw_progress(struct report *report)
{
	char elapsed[DURATION_TEXT_MAX], line[LINE_MAX_BYTES];

	duration_say((clock_ms() - report->since_ms) / 1000 * 1000 + 1000, elapsed);
	snprintf(line, sizeof(line), "waiting (%s): %s", elapsed, report->waiting);
	make_harmless(line);
	fprintf(stderr, "\r\033[K%.*s", (int)cut(line, columns() - 1), line);
	fflush(stderr);
	report->line_open = true;
}

void report_waiting(struct report *report, const char *key, const char *sentence, const char *brief)
{
	bool is_new = !report->said_ms || strcmp(report->key, key) != 0;
	int64_t now_ms = clock_ms();

	if (!report->said_ms)
		report->since_ms = now_ms;
	snprintf(report->key, sizeof(report->key), "%s", key);
	snprintf(report->waiting, sizeof(report->waiting), "%s", brief);
	if (is_new || (!report->terminal && now_ms - report->said_ms >= MINUTE_MS)) {
		report_say(report, "waiting: %s", sentence);
		report->said_ms = now_ms;
	}
	report_tick(report);
}

void report_waited(struct report *report)
{
	clear_line(report);
	fflush(stderr);
	report->said_ms = 0;
}

void report_tick(struct report *report)
{
	if (report->quiet || !report->said_ms)
		return;
	if (report->terminal) {
		draw_progress(report);
	} else if (clock_ms() - report->said_ms >= MINUTE_MS) {
		report_say(report, "still waiting: %s", report->waiting);
		report->said_ms = clock_ms();
	}
}

/* The last line. */
static void say_end(struct report *report, int code, const char *word, const char *format, va_list arguments)
{
	char sentence[LINE_MAX_BYTES - 100];

	vsnprintf(sentence, sizeof(sentence), format, arguments);
	say_always(report, "exit %d (%s): %s", code, word, sentence);
}

int report_end(struct report *report, int code, const char *word, const char *format, ...)
{
	va_list arguments;

	if (report->exit_code >= 0)
		code = report->exit_code;
	va_start(arguments, format);
	say_end(report, code, word, format, arguments);
	va_end(arguments);
	return code;
}

int report_command(struct report *report, int code, const char *word, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say_end(report, code, word, format, arguments);
	va_end(arguments);
	return code;
}

int report_answer(struct report *report, int code, const char *word, const char *sentence)
{
	if (!report->quiet)
		return report_end(report, code, word, "%s", sentence);
	return report->exit_code >= 0 ? report->exit_code : code;
}
