/* Server-sent events, whole and in whatever pieces they may come. */
#include "cases.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "sse.h"

enum { HEARD_MAX = 512 };

static const struct row {
	const char *stream, *heard; /* heard: "name=data;" for each event */
} rows[] = {
	{ "event: renewed\ndata: {\"a\":1}\n\n", "renewed={\"a\":1};" },
	{ "event: renewed\r\ndata: {\"a\":1}\r\n\r\n", "renewed={\"a\":1};" },
	{ "event: renewed\rdata: {\"a\":1}\r\r", "renewed={\"a\":1};" },
	{ "event: a\r\ndata: 1\n\r\nevent: b\ndata: 2\r\n\n", "a=1;b=2;" },
	{ "data: x\n\n", "message=x;" },
	{ "event:tight\ndata:x\n\n", "tight=x;" },
	{ "event: e\ndata:  one blank stays\n\n", "e= one blank stays;" },
	{ ": a comment\n\n: another\nevent: e\n: between\ndata: x\n\n", "e=x;" },
	{ "event: e\ndata: one\ndata: two\ndata\n\n", "e=one\ntwo\n;" },
	{ "event: without data\n\ndata: x\n\n", "message=x;" },
	{ "event: e\ndata:\n\n", "e=;" },
	{ "id: 7\nretry: 100\nunknown: x\nevent: e\ndata: x\n\n", "e=x;" },
	{ "event: first\nevent: second\ndata: x\n\n", "second=x;" },
	{ "data: a:b: c\n\n", "message=a:b: c;" },
	{ "\xEF\xBB\xBF\nevent: e\ndata: x\n\n", "e=x;" },
	{ "event: e\ndata: cut off\n", "" },
	{ "event: e\ndata: cut off", "" },
	{ "", "" },
};

static void note(void *context, const char *name, const char *data)
{
	char *heard = context;
	size_t size = strlen(heard);

	snprintf(heard + size, HEARD_MAX - size, "%s=%s;", name, data);
}

/* Feeds a stream in pieces of so many bytes, the first of another size. */
static void check_in_pieces(const struct row *row, size_t first, size_t piece)
{
	size_t size = strlen(row->stream);
	char heard[HEARD_MAX] = "";
	struct sse sse;

	sse_init(&sse, note, heard);
	for (size_t at = 0, next = first; at < size; at += next, next = piece) {
		next = next < size - at ? next : size - at;
		assert_true(sse_feed(&sse, row->stream + at, next));
	}
	sse_release(&sse);
	assert_string_equal(heard, row->heard);
}

static void test_sse__whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_in_pieces(&rows[i], strlen(rows[i].stream), 1);
}

static void test_sse__split_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t first = 0; first < strlen(rows[i].stream); first++)
			check_in_pieces(&rows[i], first, strlen(rows[i].stream));
}

static void test_sse__byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_in_pieces(&rows[i], 1, 1);
}

/* Feeds the text over and over; whether so much of it was taken. */
static bool takes(const char *text, size_t times)
{
	char heard[HEARD_MAX] = "";
	struct sse sse;
	bool taken = true;

	sse_init(&sse, note, heard);
	for (size_t i = 0; taken && i < times; i++)
		taken = sse_feed(&sse, text, strlen(text));
	sse_release(&sse);
	return taken;
}

static void test_sse__what_is_too_long_is_refused(void **state)
{
	(void)state;
	assert_true(takes("0123456789", SSE_LINE_MAX / 10));
	assert_false(takes("0123456789", SSE_LINE_MAX / 10 + 1));
	assert_true(takes("data: 678\n", SSE_LINE_MAX / 10));
	assert_false(takes("data: 678\n", SSE_LINE_MAX / 3));
	assert_true(takes("data: 678\n\n", SSE_LINE_MAX));
	assert_true(takes(": a stream that goes on and on\n", SSE_LINE_MAX));
}

static void test_sse__long_names_are_cut(void **state)
{
	static const char stream[] = "event: 0123456789012345678901234567890123456789\ndata: x\n\n";
	char heard[HEARD_MAX] = "";
	struct sse sse;

	(void)state;
	sse_init(&sse, note, heard);
	assert_true(sse_feed(&sse, stream, strlen(stream)));
	sse_release(&sse);
	assert_string_equal(heard, "0123456789012345678901234567890=x;");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sse__whole),
		cmocka_unit_test(test_sse__split_at_every_byte),
		cmocka_unit_test(test_sse__byte_by_byte),
		cmocka_unit_test(test_sse__what_is_too_long_is_refused),
		cmocka_unit_test(test_sse__long_names_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
