#include "http/moment.h"

#include <ctype.h>
#include <string.h>

/* Reads count digits at *text into *number and moves behind them. */
static bool read_digits(const char **text, int count, int *number)
{
	*number = 0;
	for (; count > 0; count--) {
		if (!isdigit((unsigned char)**text))
			return false;
		*number = *number * 10 + (*(*text)++ - '0');
	}
	return true;
}

static bool read_char(const char **text, const char *any_of)
{
	if (**text == '\0' || !strchr(any_of, **text))
		return false;
	++*text;
	return true;
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool read_date(const char **text)
{
	int year, month, day;

	return read_digits(text, 4, &year) && read_char(text, "-") && read_digits(text, 2, &month) &&
		read_char(text, "-") && read_digits(text, 2, &day) && year >= 1 && month >= 1 && month <= 12 &&
		day >= 1 && day <= days_in(year, month);
}

static bool read_clock(const char **text)
{
	int hour, minute, second, fraction = 0;

	if (!read_digits(text, 2, &hour) || !read_char(text, ":") || !read_digits(text, 2, &minute) ||
		!read_char(text, ":") || !read_digits(text, 2, &second) || hour > 23 || minute > 59 || second > 59)
		return false;
	if (!read_char(text, "."))
		return true;
	while (isdigit((unsigned char)**text) && fraction < 9) {
		++*text;
		fraction++;
	}
	return fraction > 0;
}

static bool read_zone(const char **text)
{
	int hour, minute;

	if (read_char(text, "Zz"))
		return true;
	return read_char(text, "+-") && read_digits(text, 2, &hour) && read_char(text, ":") &&
		read_digits(text, 2, &minute) && hour <= 15 && minute <= 59;
}

bool moment_is_valid(const char *text)
{
	return read_date(&text) && read_char(&text, "Tt") && read_clock(&text) && read_zone(&text) && *text == '\0';
}
