/* chaos: clients, faults, and the verdict. See usage. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/die.h"
#include "chaos/arena.h"
#include "chaos/breakages.h"
#include "chaos/check.h"
#include "chaos/crew.h"
#include "chaos/faults.h"
#include "chaos/places.h"
#include "chaos/report.h"
#include "chaos/wrapped.h"

enum {
	EXIT_BROKEN = 1,
	EXIT_TOO_LITTLE = 2,
	EXIT_USAGE = 64,
	EXIT_HARNESS = 70,
	REPLICAS = 3,
	MENU_MAX = 64,
	WELL_MS = 60000
};

struct plan {
	long seconds, slack_ms;
	uint64_t seed;
	const char *breakage, *faults; /* faults by commas; NULL: the whole menu */
	bool keep;
};

static _Noreturn void explain_usage(void)
{
	fputs("usage: chaos [--seconds N] [--seed N] [--faults NAME,…|none] [--break NAME] [--slack MS] [--keep]\n"
	      "       chaos check HISTORY\n"
	      "       chaos breakages\n"
	      "Exits with 0 where the rules held, 1 where one was broken, 2 where too little happened to tell.\n"
	      "The history is kept where a rule was broken, or with --keep. What may take a certain time may take the "
	      "slack\n"
	      "longer: for machines that do much else.\n",
		stderr);
	exit(EXIT_USAGE);
}

/* Faults. */

static bool is_wanted(const char *list, const struct fault *fault)
{
	size_t length = strlen(fault->name);

	for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == length && memcmp(at, fault->name, length) == 0)
			return true;
	return !list;
}

static size_t gather_menu(const struct plan *plan, const struct arena *arena, const struct fault *menu[static MENU_MAX])
{
	const struct fault *fault;
	size_t count = 0;

	for (unsigned i = 0; (fault = fault_number(i)); i++)
		if (is_wanted(plan->faults, fault) && (!fault->possible || fault->possible(arena)) && count < MENU_MAX)
			menu[count++] = fault;
	return count;
}

/* Puts the one that is struck next at its place, out of those that were not struck in this round. */
static const struct fault *draw(const struct fault *menu[], size_t count, size_t place, struct dice *dice)
{
	size_t other = (size_t)dice_between(dice, (int)place, (int)count - 1);
	const struct fault *drawn = menu[other];

	menu[other] = menu[place];
	menu[place] = drawn;
	return drawn;
}

static void note_strike(int fd, const struct strike *strike)
{
	struct strike_line line = { .begun_ns = strike->begun_ns,
		.effective_ns = strike->effective_ns,
		.healed_ns = strike->healed_ns,
		.well_ns = strike->well_ns };

	snprintf(line.name, sizeof(line.name), "%s", strike->fault->name);
	history_strike(fd, &line);
	fprintf(stderr, "%s: %s: effect after %lld ms, mended after %lld, well after %lld\n", line.name, strike->what,
		strike->effective_ns ? (long long)((strike->effective_ns - strike->begun_ns) / MS) : -1,
		(long long)((strike->healed_ns - strike->begun_ns) / MS),
		strike->well_ns ? (long long)((strike->well_ns - strike->begun_ns) / MS) : -1);
}

/* One fault after another until the time is over, each kind once before any comes again. */
static void strike_all(const struct plan *plan, struct arena *arena, const struct crew *crew, int fd)
{
	const struct fault *menu[MENU_MAX];
	struct dice dice = { plan->seed };
	size_t count = gather_menu(plan, arena, menu);

	if (!count)
		return;
	for (size_t place = 0; history_now() < crew->end_ns; place = (place + 1) % count) {
		struct strike strike;

		/* What is broken after a fault is hidden by the next. */
		places_pause(plan->breakage ? dice_between(&dice, 9000, 14000) : dice_between(&dice, 300, 2000));
		if (history_now() >= crew->end_ns)
			return;
		fault_strike(draw(menu, count, place, &dice), arena, &dice, &strike);
		note_strike(fd, &strike);
	}
}

/* A run. */

static void make_history(struct crew *crew, char path[static 64], char self[static PATH_MAX])
{
	ssize_t size = readlink("/proc/self/exe", self, PATH_MAX - 1);
	int fd;

	snprintf(path, 64, "/tmp/deploy-gate-chaos.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || size < 0)
		die("no history can be begun");
	close(fd);
	crew->path = path;
	crew->self = self;
}

static unsigned run(const struct plan *plan, struct arena *arena, struct crew *crew)
{
	struct crew_list list;
	unsigned bad;
	int fd = open(crew->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	int64_t left_ns;

	if (fd < 0)
		die("the history cannot be opened");
	crew->end_ns = history_now() + plan->seconds * 1000 * MS;
	crew_start(&list, crew);
	strike_all(plan, arena, crew, fd);
	left_ns = crew->end_ns - history_now();
	if (left_ns > 0)
		places_pause(left_ns / MS);
	bad = crew_finish(&list);
	close(fd);
	if (!arena_await_well(arena, WELL_MS))
		bad++;
	crew_look_back(crew);
	return bad;
}

static int judge(const char *path, const struct plan *plan)
{
	static struct findings found;
	struct history history;

	history_read(&history, path);
	check(&history, plan->slack_ms, &found);
	history_release(&history);
	report_tolls(stdout, &found);
	report_counts(stdout, &found);
	fputs(found.faults, stdout);
	if (findings_any(&found))
		return EXIT_BROKEN;
	return plan->seconds && !report_is_enough(stdout, &found, plan->seconds, !plan->faults) ? EXIT_TOO_LITTLE
												: EXIT_SUCCESS;
}

static int run_and_judge(const struct plan *plan)
{
	static struct arena arena;
	static char path[64], self[PATH_MAX];
	struct crew crew = { .arena = &arena, .seed = plan->seed };
	unsigned bad;
	int code;

	curl_global_init(CURL_GLOBAL_ALL);
	make_history(&crew, path, self);
	arena_start(&arena, &(struct arena_plan){ .replicas = REPLICAS, .breakage = plan->breakage });
	bad = run(plan, &arena, &crew);
	printf("chaos --seconds %ld --seed %llu%s%s: history in %s\n", plan->seconds, (unsigned long long)plan->seed,
		plan->breakage ? " --break " : "", plan->breakage ? plan->breakage : "", path);
	code = judge(path, plan);
	arena_stop(&arena, plan->keep || code == EXIT_BROKEN);
	if (code != EXIT_BROKEN && !plan->keep)
		unlink(path);
	if (bad)
		printf("%u clients, or the arena, did not come to a good end\n", bad);
	printf("chaos: %s\n",
		code == EXIT_BROKEN   ? "a rule was broken"
			: code || bad ? "does not count"
				      : "the rules held");
	return code ? code : bad ? EXIT_HARNESS : EXIT_SUCCESS;
}

static int list_breakages(void)
{
	for (const struct breakage *breakage = breakages; breakage->name; breakage++)
		printf("%s\n", breakage->name);
	return EXIT_SUCCESS;
}

static const struct option options[] = {
	{ "seconds", required_argument, NULL, 's' },
	{ "seed", required_argument, NULL, 'r' },
	{ "faults", required_argument, NULL, 'f' },
	{ "break", required_argument, NULL, 'b' },
	{ "slack", required_argument, NULL, 'l' },
	{ "keep", no_argument, NULL, 'k' },
	{ NULL, 0, NULL, 0 },
};

static void take_option(struct plan *plan, int option)
{
	switch (option) {
	case 's':
		plan->seconds = strtol(optarg, NULL, 10);
		break;
	case 'r':
		plan->seed = strtoull(optarg, NULL, 10);
		break;
	case 'f':
		plan->faults = optarg;
		break;
	case 'b':
		plan->breakage = optarg;
		break;
	case 'l':
		plan->slack_ms = strtol(optarg, NULL, 10);
		break;
	case 'k':
		plan->keep = true;
		break;
	default:
		explain_usage();
	}
}

int main(int argc, char **argv)
{
	struct plan plan = { .seconds = 60, .seed = (uint64_t)history_now() };

	if (wrapped_run(argc, argv))
		_exit(EXIT_SUCCESS);
	if (argc == 3 && strcmp(argv[1], "check") == 0)
		return judge(argv[2], &(struct plan){ .seconds = 0 });
	if (argc == 2 && strcmp(argv[1], "breakages") == 0)
		return list_breakages();
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		take_option(&plan, option);
	if (optind != argc || plan.seconds < 1 || (plan.breakage && !breakage_called(plan.breakage)))
		explain_usage();
	if (plan.breakage && !plan.faults)
		plan.faults = breakage_called(plan.breakage)->faults;
	return run_and_judge(&plan);
}
