#include "sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

static const char byte_order_mark[] = "\xEF\xBB\xBF";

void sse_init(struct sse *sse, void (*on_event)(void *context, const char *name, const char *data), void *context)
{
	*sse = (struct sse){ .on_event = on_event, .context = context };
}

void sse_release(struct sse *sse)
{
	free(sse->line.text);
	free(sse->data.text);
	sse->line = sse->data = (struct sse_text){ NULL, 0, 0 };
}

/* False: it would be too long. Always leaves room for, and sets, the 0 behind. */
static bool append(struct sse_text *text, const char *piece, size_t size)
{
	if (size > SSE_LINE_MAX - text->size)
		return false;
	if (text->size + size >= text->room) {
		text->room = 2 * (text->size + size) + 256;
		text->text = or_die(realloc(text->text, text->room));
	}
	memcpy(text->text + text->size, piece, size);
	text->size += size;
	text->text[text->size] = '\0';
	return true;
}

/* The end of an event. One without data is none. */
static void dispatch(struct sse *sse)
{
	if (sse->has_data)
		sse->on_event(sse->context, sse->name[0] ? sse->name : "message", sse->data.text);
	sse->name[0] = '\0';
	sse->data.size = 0;
	sse->has_data = false;
}

static bool add_data(struct sse *sse, const char *value)
{
	if (sse->has_data && !append(&sse->data, "\n", 1))
		return false;
	sse->has_data = true;
	return append(&sse->data, value, strlen(value));
}

/* One line without its end: "field: value", a comment, or nothing. */
static bool take_line(struct sse *sse, char *line)
{
	char *value;

	if (!sse->begun && strncmp(line, byte_order_mark, 3) == 0)
		line += 3;
	sse->begun = true;
	if (!*line) {
		dispatch(sse);
		return true;
	}
	value = line + strcspn(line, ":");
	if (*value)
		*value++ = '\0';
	if (*value == ' ')
		value++;
	if (strcmp(line, "event") == 0)
		snprintf(sse->name, sizeof(sse->name), "%s", value);
	else if (strcmp(line, "data") == 0)
		return add_data(sse, value);
	return true; /* id and retry mean nothing to us, nor does what nobody knows */
}

static bool end_line(struct sse *sse)
{
	bool taken = append(&sse->line, "", 0) && take_line(sse, sse->line.text);

	sse->line.size = 0;
	return taken;
}

bool sse_feed(struct sse *sse, const char *piece, size_t size)
{
	const char *end = piece + size;

	while (piece < end) {
		size_t plain = 0;

		if (sse->after_cr && *piece == '\n') /* one line end that came as two */
			piece++;
		sse->after_cr = false;
		while (piece + plain < end && piece[plain] != '\r' && piece[plain] != '\n')
			plain++;
		if (!append(&sse->line, piece, plain))
			return false;
		piece += plain;
		if (piece == end)
			return true;
		sse->after_cr = *piece++ == '\r';
		if (!end_line(sse))
			return false;
	}
	return true;
}
