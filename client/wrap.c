#include "wrap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "client.h"
#include "clock.h"
#include "keep.h"

enum { TICK_MS = 1000, GROUP_TICK_MS = 50 };

struct wrap {
	struct client *client;
	struct keep *keep; /* or NULL */
	struct child child;
	bool stop_in_silence;	  /* --on-silence stop */
	bool stop_at_closing;	  /* --on-close stop or rerun */
	bool told_of_silence, told_of_closing;
	int64_t kill_ms; /* when to kill it; 0: it was not told to end */
	bool killed;
	struct wrap_end *end;
};

static bool ends(int number)
{
	return number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
}

static void pass_signals_on(struct wrap *wrap)
{
	int number;

	while ((number = signals_next(&wrap->client->signals)) != 0) {
		if (number == SIGCHLD) {
			child_look(&wrap->child);
			continue;
		}
		if (number == SIGCONT)
			child_continue(&wrap->child);
		else
			child_signal(&wrap->child, number);
		wrap->end->interrupted |= ends(number);
	}
}

/* Tells the command to end. It is continued too, since one that is stopped would not hear. */
static void stop(struct wrap *wrap, enum wrap_cause cause, int64_t kill_ms, const char *why)
{
	if (wrap->kill_ms)
		return;
	wrap->kill_ms = kill_ms;
	wrap->end->cause = cause;
	snprintf(wrap->end->why, sizeof(wrap->end->why), "%s", why);
	report_say(&wrap->client->report, "ending the command: %s", why);
	child_signal(&wrap->child, SIGTERM);
	child_signal(&wrap->child, SIGCONT);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* What is said of a lease that runs out. */
static const char *silence_says(const struct keep *keep)
{
	return keep->max_reached ? "the lease has reached its max, and cannot be renewed"
				 : "no renewal was acknowledged, and the lease is about to run out";
}

/* Nobody acknowledged a renewal for long. A command that is ending already has no longer for it than any other. */
static void look_at_silence(struct wrap *wrap, int64_t now_ms)
{
	const struct silence *silence = &wrap->keep->silence;
	int64_t patience_ms = wrap->client->options.kill_after_ms;

	if (wrap->stop_in_silence && now_ms >= silence_term_at(silence)) {
		stop(wrap, WRAP_SILENT, now_ms + patience_ms, silence_says(wrap->keep));
		wrap->kill_ms = least(wrap->kill_ms, silence_kill_at(silence));
	} else if ((now_ms >= silence_over_at(silence)) != wrap->told_of_silence) {
		wrap->told_of_silence = !wrap->told_of_silence;
		report_say(&wrap->client->report,
			wrap->told_of_silence
				? "no renewal was acknowledged, and the lease may have run out; the command goes on"
				: "renewals are acknowledged again: the lease has not run out");
	}
}

/* A deploy waits for the command to end. */
static void look_at_closing(struct wrap *wrap, int64_t now_ms)
{
	const struct keep *keep = wrap->keep;
	int64_t kill_ms = now_ms + wrap->client->options.kill_after_ms;

	if (keep->stop)
		stop(wrap, WRAP_STOPPED, kill_ms, keep->why);
	else if (keep->closing && wrap->stop_at_closing)
		stop(wrap, WRAP_CLOSED, kill_ms, keep->why);
	else if (keep->closing && !wrap->told_of_closing)
		report_say(&wrap->client->report, "%s; the command goes on", keep->why);
	wrap->told_of_closing = keep->closing;
}

/* What is due now: the end of a command that is not to go on, the kill, what keeps the lease. */
static void do_what_is_due(struct wrap *wrap)
{
	struct keep *keep = wrap->keep;
	int64_t now_ms = clock_ms();

	if (keep && keep->lost) {
		stop(wrap, WRAP_LOST, now_ms + wrap->client->options.kill_after_ms, keep->why);
	} else if (keep) {
		look_at_silence(wrap, now_ms);
		look_at_closing(wrap, now_ms);
	}
	if (wrap->kill_ms && !wrap->killed && now_ms >= wrap->kill_ms) {
		wrap->killed = true;
		child_signal(&wrap->child, SIGKILL);
	}
	if (keep)
		keep_tick(keep, now_ms);
}

static void shorten(int64_t *pause_ms, int64_t due_ms, int64_t now_ms)
{
	*pause_ms = least(*pause_ms, due_ms > now_ms ? due_ms - now_ms : 0);
}

/* How long nothing is due. At most a second: the clock of poll stands still while the machine sleeps, ours does not. */
static int64_t pause_ms_of(const struct wrap *wrap)
{
	int64_t now_ms = clock_ms(), pause_ms = TICK_MS;

	if (wrap->kill_ms && !wrap->killed)
		shorten(&pause_ms, wrap->kill_ms, now_ms);
	if (wrap->keep)
		shorten(&pause_ms, keep_due_at(wrap->keep), now_ms);
	if (wrap->keep && !wrap->kill_ms && wrap->stop_in_silence)
		shorten(&pause_ms, silence_term_at(&wrap->keep->silence), now_ms);
	if (wrap->child.ended)
		shorten(&pause_ms, now_ms + GROUP_TICK_MS, now_ms);
	return pause_ms;
}

/* The command has ended. What it left running in its group goes on, unless the command was to end: then it gets the rest
 * of the time that the command would have had. */
static bool is_over(const struct wrap *wrap)
{
	if (!wrap->child.ended)
		return false;
	return !wrap->kill_ms || wrap->killed || !child_group_lives(&wrap->child);
}

static void tend(struct wrap *wrap)
{
	struct client *client = wrap->client;
	struct reply reply;

	for (;;) {
		pass_signals_on(wrap);
		child_look(&wrap->child);
		if (is_over(wrap))
			return;
		do_what_is_due(wrap);
		if (!http_drive(client->http, client->signals.fd, pause_ms_of(wrap), &reply))
			continue;
		if (wrap->keep)
			keep_heard(wrap->keep, &reply);
		else
			reply_release(&reply);
	}
}

void wrap_run(struct client *client, struct keep *keep, struct wrap_end *end)
{
	const char *on_silence = client->options.on_silence, *on_close = client->options.on_close;
	struct wrap wrap = {
		.client = client,
		.keep = keep,
		.stop_in_silence = on_silence && strcmp(on_silence, "stop") == 0,
		.stop_at_closing = on_close && strcmp(on_close, "finish") != 0,
		.end = end,
	};
	char **command = client->options.command;
	int error;

	*end = (struct wrap_end){ .started = false };
	signals_take_all(&client->signals);
	error = child_start(&wrap.child, command, &client->signals, &client->inherited);
	if (error) {
		bool missing = error == ENOENT;

		signals_take_few(&client->signals);
		end->code = report_command(&client->report, missing ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN,
			missing ? "not found" : "cannot run", "%s: %s", command[0], strerror(error));
		return;
	}
	end->started = true;
	tend(&wrap);
	end->code = wrap.child.status;
	if (keep)
		end->over_ms = silence_over_at(&keep->silence) + keep->silence.grace_ms;
	child_reap(&wrap.child);
	signals_take_few(&client->signals);
}
