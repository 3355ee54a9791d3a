#include "chaos/faults.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chaos/kinds.h"
#include "chaos/places.h"

enum { EFFECT_MS = 60000, WELL_MS = 60000, STEP_MS = 10 };

static const struct fault *const menus[] = { replica_faults, postgres_faults, way_faults };

const struct fault *fault_number(unsigned number)
{
	for (size_t i = 0; i < sizeof(menus) / sizeof(menus[0]); i++)
		for (const struct fault *fault = menus[i]; fault->name; fault++)
			if (number-- == 0)
				return fault;
	return NULL;
}

const struct fault *fault_called(const char *name)
{
	const struct fault *fault;

	for (unsigned i = 0; (fault = fault_number(i)); i++)
		if (strcmp(fault->name, name) == 0)
			return fault;
	return NULL;
}

static void await_effect(struct strike *strike)
{
	int64_t deadline_ns = clock_ns() + EFFECT_MS * 1000000LL;

	while (!strike->effective_ns && clock_ns() < deadline_ns) {
		if (strike->fault->effective(strike))
			strike->effective_ns = clock_ns();
		else
			places_pause(STEP_MS);
	}
}

void fault_strike(const struct fault *fault, struct arena *arena, struct dice *dice, struct strike *strike)
{
	*strike = (struct strike){ .fault = fault, .arena = arena, .dice = dice, .begun_ns = clock_ns() };
	fault->inject(strike);
	await_effect(strike);
	if (fault->most_ms)
		places_pause(dice_between(dice, fault->least_ms, fault->most_ms));
	if (fault->heal)
		fault->heal(strike);
	strike->healed_ns = clock_ns();
	if (arena_await_well(arena, WELL_MS))
		strike->well_ns = clock_ns();
}

struct post *strike_post(struct strike *strike)
{
	return strike->post = &strike->arena->posts[dice_between(strike->dice, 0, (int)strike->arena->count - 1)];
}

void strike_say(struct strike *strike, const char *form, ...)
{
	va_list arguments;

	va_start(arguments, form);
	vsnprintf(strike->what, sizeof(strike->what), form, arguments);
	va_end(arguments);
}

void strike_note(struct strike *strike, const char *sql)
{
	const char *value = arena_value(strike->arena, "%s", sql);

	snprintf(strike->before, sizeof(strike->before), "%s", value ? value : "");
}

bool strike_differs(struct strike *strike, const char *sql)
{
	const char *value = arena_value(strike->arena, "%s", sql);

	return value && strcmp(value, strike->before) != 0;
}

int strike_backend(struct strike *strike)
{
	static const char *const roles[] = { "locks", "reads", "listen" };
	const char *role = roles[dice_between(strike->dice, 0, 2)], *name = strike_post(strike)->name, *pid;

	strike_say(strike, "%s of %s", role, name);
	pid = arena_value(strike->arena,
		"select pid from deploy_gate.session where name = '%s' and role = '%s' and ended_at is null"
		" order by number desc limit 1",
		name, role);
	strike->pid = pid ? (int)strtol(pid, NULL, 10) : 0;
	return strike->pid;
}

void strike_freeze(struct strike *strike, int pid)
{
	strike->pid = pid;
	if (pid > 0)
		kill(pid, SIGSTOP);
}

bool strike_is_frozen(struct strike *strike)
{
	char path[32], line[256] = "";
	const char *end;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", strike->pid);
	in = fopen(path, "r");
	if (!in)
		return false;
	if (!fgets(line, sizeof(line), in))
		line[0] = 0;
	fclose(in);
	end = strrchr(line, ')');
	return end && strncmp(end, ") T", 3) == 0;
}

void strike_thaw(struct strike *strike)
{
	if (strike->pid > 0)
		kill(strike->pid, SIGCONT);
}
