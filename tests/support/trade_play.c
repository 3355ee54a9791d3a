#include "support/trade_play.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "support/trade_check.h"

enum { TURN_MS = 5, PATIENCE_MS = 120 * 1000, WORDS_MAX = 32 };

int trade_chance(struct trade *trade, int least, int most)
{
	uint64_t mixed = trade->seed += 0x9e3779b97f4a7c15;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
	return least + (int)((mixed ^ (mixed >> 31)) % (uint64_t)(most - least + 1));
}

void trade_open(struct trade *trade, struct stage *stage, uint64_t seed)
{
	*trade = (struct trade){ .stage = stage, .seed = seed, .path = "/tmp/deploy-gate-trade.XXXXXX" };
	trade->fd = mkostemp(trade->path, O_APPEND | O_CLOEXEC);
	assert_true(trade->fd >= 0);
	assert_true(readlink("/proc/self/exe", trade->self, sizeof(trade->self) - 1) > 0);
	assert_non_null(getenv("DEPLOY_GATE_BIN"));
	unsetenv("DEPLOY_GATE_TOKEN");
}

void trade_close(struct trade *trade, bool keep)
{
	close(trade->fd);
	if (keep)
		print_message("the history is in %s\n", trade->path);
	else
		unlink(trade->path);
}

/* Clients. */

struct words {
	const char *at[WORDS_MAX];
	size_t count;
};

static void add_words(struct words *words, const char *const *more)
{
	for (; *more; more++) {
		assert_true(words->count < WORDS_MAX - 1);
		words->at[words->count++] = *more;
	}
}

#define ADD(words, ...) add_words(words, (const char *const[]){ __VA_ARGS__, NULL })

/* In the child: becomes the client. Every other one asks the second server first. */
static _Noreturn void become(const struct trade *trade, const struct trade_order *order, int output)
{
	const struct stage *stage = trade->stage;
	bool turned = trade->started % 2;
	char urls[128], takes[16], number[16], drain[16];
	struct words words = { .count = 0 };

	snprintf(urls, sizeof(urls), "%s,%s", turned ? stage->two.url : stage->one.url,
		turned ? stage->one.url : stage->two.url);
	snprintf(takes, sizeof(takes), "%d", order->takes_ms);
	snprintf(number, sizeof(number), "%d", order->number);
	snprintf(drain, sizeof(drain), "%dms", order->number);
	ADD(&words, getenv("DEPLOY_GATE_BIN"), "-v", "--url", urls, order->is_deploy ? "deploy" : "run", order->gates,
		"--wait", "5m", "--holder", order->name, "--reason", order->name);
	if (order->is_deploy)
		ADD(&words, "--drain", drain, "--on-drain",
			strcmp(order->terms, TERMS_PROCEED) == 0 ? "proceed" : "abort");
	else
		ADD(&words, "--tries", number, "--on-close",
			strcmp(order->terms, TERMS_RERUN) == 0 ? "rerun" : "finish");
	ADD(&words, "--", trade->self, TRADE_COMMAND, trade->path, order->is_deploy ? "deploy" : "job", order->name,
		order->gates, order->terms, takes);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(output, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	execv(words.at[0], (char *const *)(uintptr_t)words.at);
	_exit(99);
}

static struct trade_player *free_place(struct trade *trade)
{
	for (size_t i = 0; i < TRADE_PLAYERS; i++)
		if (!trade->players[i].pid)
			return &trade->players[i];
	fail_msg("too many clients at once");
	return NULL;
}

void trade_start(struct trade *trade, const struct trade_order *order)
{
	struct trade_player *player = free_place(trade);
	struct trade_line *about = &player->about;
	int ends[2];

	*player = (struct trade_player){
		.about = { .event = TRADE_ASKED, .is_deploy = order->is_deploy, .number = order->number },
	};
	snprintf(about->name, sizeof(about->name), "%s", order->name);
	snprintf(about->gates, sizeof(about->gates), "%s", order->gates);
	snprintf(about->mark, sizeof(about->mark), "%s", order->terms);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	trade_write(trade->fd, about);
	player->pid = fork();
	assert_true(player->pid >= 0);
	if (player->pid == 0)
		become(trade, order, ends[1]);
	close(ends[1]);
	player->output = ends[0];
	trade->live++;
	trade->started++;
}

static void write_of(struct trade *trade, const struct trade_player *player, enum trade_event event, int number)
{
	struct trade_line line = player->about;

	line.event = event;
	line.number = number;
	snprintf(line.mark, sizeof(line.mark), "-");
	trade_write(trade->fd, &line);
}

/* Reads what the client says. The first refusal tells when it, and the service, knew that it had to wait. */
static void hear(struct trade *trade, struct trade_player *player)
{
	size_t room = sizeof(player->said) - 1 - player->size;
	char rest[512];
	ssize_t got = read(player->output, room ? player->said + player->size : rest, room ? room : sizeof(rest));

	if (got <= 0 || !room)
		return;
	player->size += (size_t)got;
	player->said[player->size] = '\0';
	if (player->is_shut || player->about.is_deploy || !strstr(player->said, ": 423 "))
		return;
	player->is_shut = true;
	write_of(trade, player, TRADE_SHUT, 0);
}

static void see_end(struct trade *trade, struct trade_player *player)
{
	int status, code;

	if (waitpid(player->pid, &status, WNOHANG) != player->pid)
		return;
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	write_of(trade, player, TRADE_EXITED, code);
	if (code != 0)
		print_error("%s ended with %d: %s\n", player->about.name, code, player->said);
	close(player->output);
	player->pid = 0;
	trade->live--;
}

void trade_turn(struct trade *trade)
{
	struct pollfd fds[TRADE_PLAYERS];

	for (size_t i = 0; i < TRADE_PLAYERS; i++)
		fds[i] = (struct pollfd){ .fd = trade->players[i].pid ? trade->players[i].output : -1,
			.events = POLLIN };
	poll(fds, TRADE_PLAYERS, TURN_MS);
	for (size_t i = 0; i < TRADE_PLAYERS; i++) {
		if (fds[i].revents & POLLIN)
			hear(trade, &trade->players[i]);
		if (trade->players[i].pid)
			see_end(trade, &trade->players[i]);
	}
}

static bool has_begun(const struct trade *trade, const char *name)
{
	struct trade_history history;
	bool found = false;

	trade_read(&history, trade->path);
	for (size_t i = 0; i < history.count; i++)
		found |= history.lines[i].event == TRADE_BEGAN && strcmp(history.lines[i].name, name) == 0;
	trade_history_release(&history);
	return found;
}

void trade_await(struct trade *trade, const char *name)
{
	int64_t end_ns = clock_ns() + PATIENCE_MS * 1000000LL;

	while (!has_begun(trade, name)) {
		if (clock_ns() > end_ns)
			fail_msg("%s does not begin", name);
		trade_turn(trade);
	}
}

void trade_finish(struct trade *trade)
{
	int64_t end_ns = clock_ns() + PATIENCE_MS * 1000000LL;

	while (trade->live) {
		if (clock_ns() > end_ns)
			fail_msg("%u clients do not end", trade->live);
		trade_turn(trade);
	}
}

unsigned trade_deploys(const struct trade *trade)
{
	unsigned count = 0;

	for (size_t i = 0; i < TRADE_PLAYERS; i++)
		count += trade->players[i].pid && trade->players[i].about.is_deploy;
	return count;
}

/* What the service knows. */

static void write_again(struct trade *trade, const struct trade_line *begun, enum trade_event event, long long number)
{
	struct trade_line line = *begun;

	line.event = event;
	line.number = number;
	trade_write(trade->fd, &line);
}

static void gather_overrun(struct trade *trade, const struct trade_history *history)
{
	char target[96];

	for (size_t i = 0; i < history->count; i++) {
		const struct trade_line *line = &history->lines[i];
		const struct ask *lease;

		if (line->event != TRADE_BEGAN || line->is_deploy)
			continue;
		snprintf(target, sizeof(target), "/v1/leases/%s", line->mark);
		lease = get(trade->stage, target);
		assert_answer(lease, 200, NULL);
		if (ask_true(lease, "overrun"))
			write_again(trade, line, TRADE_OVERRUN, 0);
		http_forget(&trade->stage->http);
	}
}

/* Milliseconds since 1970 of a time as the service writes it. */
static long long instant_ms(const char *text)
{
	struct tm parts = { .tm_isdst = 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);

	assert_true(rest && *rest == '.');
	return (long long)timegm(&parts) * 1000 + strtoll(rest + 1, NULL, 10);
}

/* When that happened to a lease; -1: it did not. */
static long long happened_ms(const struct ask *events, const char *lease)
{
	const cJSON *event;

	cJSON_ArrayForEach (event, cJSON_GetObjectItem(events->body, "events"))
		if (strcmp(json_text(event, "lease"), lease) == 0)
			return instant_ms(json_text(event, "at"));
	return -1;
}

static void gather_drained(struct trade *trade, const struct trade_history *history)
{
	const struct ask *draining = get(trade->stage, "/v1/events?kind=draining&limit=1000");
	const struct ask *closed = get(trade->stage, "/v1/events?kind=closed&limit=1000");

	for (size_t i = 0; i < history->count; i++) {
		const struct trade_line *line = &history->lines[i];
		long long from_ms, until_ms;

		if (line->event != TRADE_BEGAN || !line->is_deploy)
			continue;
		from_ms = happened_ms(draining, line->mark);
		until_ms = happened_ms(closed, line->mark);
		assert_true(until_ms >= 0);
		if (from_ms >= 0)
			write_again(trade, line, TRADE_DRAINED, until_ms - from_ms);
	}
	http_forget(&trade->stage->http);
}

void trade_gather(struct trade *trade, struct trade_history *history)
{
	trade_read(history, trade->path);
	gather_overrun(trade, history);
	gather_drained(trade, history);
	trade_history_release(history);
	trade_read(history, trade->path);
}
