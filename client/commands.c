#include <string.h>

#include "command.h"

/* Tables stand in rows. */
/* clang-format off */

#define MEMBER(name) .offset = offsetof(struct options, name)
#define TABLE(rows) { (rows), sizeof(rows) / sizeof(*(rows)) }

/* Options that several commands have. */
#define WAIT(fallback_, help_) \
	{ .name = "wait", .alias = "timeout", .argument = "DURATION", .type = OPTION_DURATION, MEMBER(wait_ms), \
	  .fallback = (fallback_), .help = (help_) }
#define HOLDER \
	{ .name = "holder", .argument = "TEXT", .type = OPTION_TEXT, MEMBER(holder), \
	  .help = "who you are, for others to see; default user@host" }
#define JOB \
	{ .name = "job", .argument = "TEXT", .type = OPTION_TEXT, MEMBER(job), \
	  .help = "what waits; default the name of the command" }
#define REASON(help_) { .name = "reason", .argument = "TEXT", .type = OPTION_TEXT, MEMBER(reason), .help = (help_) }
#define TTL(fallback_, help_) \
	{ .name = "ttl", .argument = "DURATION", .type = OPTION_LIFE, MEMBER(ttl_ms), .fallback = (fallback_), \
	  .help = (help_) }
#define TOKEN_FILE(help_) \
	{ .name = "token-file", .argument = "FILE", .type = OPTION_PATH, MEMBER(token_file), .help = (help_) }

#define ON_SILENCE(fallback_) \
	{ .name = "on-silence", .argument = "stop|finish", .type = OPTION_CHOICE, MEMBER(on_silence), \
	  .fallback = (fallback_), .help = "what becomes of the command if no renewal is acknowledged" }
#define KILL_AFTER(help_) \
	{ .name = "kill-after", .argument = "DURATION", .type = OPTION_DURATION, MEMBER(kill_after_ms), \
	  .fallback = "10s", .help = (help_) }

/* What says how to close, and what a gate may have settings for. */
#define TERMS \
	{ .name = "max", .argument = "DURATION", .type = OPTION_LIFE, MEMBER(max_ms), \
	  .help = "renewals cannot pass it; default 4h" }, \
	{ .name = "drain", .argument = "DURATION", .type = OPTION_DURATION, MEMBER(drain_ms), \
	  .help = "how long jobs inside may take to leave; default 10m" }, \
	{ .name = "on-drain", .argument = "abort|proceed|stop", .type = OPTION_CHOICE, MEMBER(on_drain), \
	  .help = "what if they do not; default abort" }, \
	{ .name = "on-expiry", .argument = "open|hold", .type = OPTION_CHOICE, MEMBER(on_expiry), \
	  .help = "what becomes of the gate if the lease runs out; default open" }, \
	{ .name = "grace", .argument = "DURATION", .type = OPTION_DURATION, MEMBER(grace_ms), \
	  .help = "how much later it opens then" }

#define CLOSING \
	{ .name = "release", .argument = "TEXT", .type = OPTION_TEXT, MEMBER(release), .help = "what is deployed" }, \
	{ .name = "link", .argument = "URL", .type = OPTION_LINK, MEMBER(link), .help = "where to read more" }, \
	TERMS

static const struct option_row global_rows[] = {
	{ .name = "url", .argument = "URLS", .type = OPTION_PATH, MEMBER(url),
	  .help = "http://…, https://… or unix:/path, several by commas; else DEPLOY_GATE_URL, else port 7433 here" },
	{ .name = "reach", .argument = "DURATION", .type = OPTION_DURATION, MEMBER(reach_ms),
	  .help = "how long to look for a server; default 1m; check, status, explain: 5s; run and wait: that of --wait" },
	{ .name = "access-token-file", .argument = "FILE", .type = OPTION_PATH, MEMBER(access_token_file),
	  .help = "the access token is its first line; else DEPLOY_GATE_ACCESS_TOKEN" },
	{ .name = "plain-http", .type = OPTION_FLAG, MEMBER(plain_http),
	  .help = "send it over http to other hosts too" },
	{ .name = "require-known", .type = OPTION_FLAG, MEMBER(require_known),
	  .help = "end with 64 if nobody ever closed or declared the gate" },
	{ .name = "json", .type = OPTION_FLAG, MEMBER(json), .help = "print answers as JSON" },
	{ .letter = 'q', .name = "quiet", .type = OPTION_FLAG, MEMBER(quiet),
	  .help = "print no messages but that of a failure" },
	{ .letter = 'v', .name = "verbose", .type = OPTION_FLAG, MEMBER(verbose),
	  .help = "print each exchange with the service" },
	{ .letter = 'E', .name = "exit-code", .argument = "N", .type = OPTION_CODE, MEMBER(exit_code),
	  .help = "exit with N wherever the end is ours and not the command's, as 126 and 127 are" },
	{ .letter = 'h', .name = "help", .type = OPTION_FLAG, MEMBER(help), .help = "print this" },
	{ .name = "version", .type = OPTION_FLAG, MEMBER(version), .help = "print the version" },
};

static const struct option_row wait_rows[] = {
	WAIT("30m", "how long to wait"),
	HOLDER,
	JOB,
};

static const struct option_row run_rows[] = {
	WAIT("30m", "how long to wait"),
	{ .name = "on-unreachable", .argument = "fail|run", .type = OPTION_CHOICE, MEMBER(on_unreachable),
	  .fallback = "fail", .help = "run the command all the same if no server answers within --reach" },
	TTL("30s", "how long a deploy waits for us if we vanish"),
	{ .name = "on-close", .argument = "finish|stop|rerun", .type = OPTION_CHOICE, MEMBER(on_close),
	  .fallback = "finish", .help = "what becomes of the command if a deploy wants in; rerun: ended, and run again behind it" },
	{ .name = "tries", .argument = "N", .type = OPTION_NUMBER, MEMBER(tries),
	  .help = "how often to run a command at most that a deploy ended or broke; default 1, with rerun 3" },
	ON_SILENCE("finish"),
	KILL_AFTER("how long after TERM a command is killed that is to end"),
	HOLDER,
	JOB,
	REASON("why, for others to see"),
};

static const struct option_row deploy_rows[] = {
	REASON("why, for others to see"),
	WAIT("0s", "how long to stand in the queue if the gate is held"),
	TTL("15s", "how long the gate stays shut if we vanish"),
	{ .name = "on-failure", .argument = "open|hold", .type = OPTION_CHOICE, MEMBER(on_failure), .fallback = "open",
	  .help = "what becomes of the gate if the command fails" },
	ON_SILENCE("stop"),
	KILL_AFTER("how long after TERM a command whose lease is lost is killed"),
	HOLDER,
	CLOSING,
};

static const struct option_row close_rows[] = {
	REASON("why, for others to see"),
	WAIT("0s", "how long to stand in the queue if the gate is held"),
	TTL(NULL, "how long the gate stays shut unless renewed; default 30m, with --while-pid 15s"),
	{ .name = "while-pid", .argument = "PID", .type = OPTION_PID, MEMBER(while_pid),
	  .help = "renew as long as that process lives, then open" },
	{ .name = "on-lost", .argument = "stop|nothing", .type = OPTION_CHOICE, MEMBER(on_lost),
	  .help = "what becomes of it if the lease is lost; default stop" },
	TOKEN_FILE("write the token there instead of printing it"),
	HOLDER,
	CLOSING,
};

static const struct option_row open_rows[] = {
	TOKEN_FILE("the token is its first line"),
	{ .name = "failed", .type = OPTION_FLAG, MEMBER(failed),
	  .help = "the deploy failed: leave the gate shut, for a person or the next deploy to take over" },
	{ .name = "force", .type = OPTION_FLAG, MEMBER(force),
	  .help = "end whatever window shuts the gate; wants --reason" },
	REASON("why by force"),
	HOLDER,
};

static const struct option_row renew_rows[] = {
	TTL(NULL, "how long from now; default as before"),
	TOKEN_FILE("the token is its first line"),
};

static const struct option_row reason_rows[] = {
	TOKEN_FILE("the token is its first line"),
};

static const struct option_row history_rows[] = {
	{ .name = "limit", .argument = "N", .type = OPTION_NUMBER, MEMBER(limit), .fallback = "30",
	  .help = "how many events" },
	{ .name = "kind", .argument = "KIND", .type = OPTION_TEXT, MEMBER(kind), .help = "only events of that kind" },
};

static const struct option_row gate_rows[] = {
	{ .name = "limit", .argument = "N", .type = OPTION_COUNT, MEMBER(limit), .help = "jobs inside at once" },
	{ .name = "gap", .argument = "DURATION", .type = OPTION_DURATION, MEMBER(gap_ms),
	  .help = "how long it stays open between two deploys where jobs wait; default 500ms" },
	TTL(NULL, "how long it stays shut unless renewed; default 30m"),
	TERMS,
	{ .name = "reset", .type = OPTION_FLAG, MEMBER(reset), .help = "what is not named goes back to its default" },
	REASON("why, for the history"),
	HOLDER,
};

static const struct option_row reap_rows[] = {
	{ .name = "older-than", .argument = "DURATION", .type = OPTION_LIFE, MEMBER(older_than_ms),
	  .help = "what was made longer ago than that" },
	{ .name = "all", .type = OPTION_FLAG, MEMBER(all), .help = "everything, however young" },
	{ .name = "kind", .argument = "window|pass", .type = OPTION_CHOICE, MEMBER(kind),
	  .help = "only what deploys hold, or only what jobs hold" },
	{ .name = "gates", .argument = "GATES", .type = OPTION_TEXT, MEMBER(gates),
	  .help = "only over these gates and what is below them" },
	REASON("why, which is recorded; must be said"),
	HOLDER,
};

static const char reap_note[] =
	"Ends windows and passes, the oldest first, and prints what it ended; their holders are told that they lost it. Deploys\n"
	"that stand in line stay there, and what crashed stays shut: `open GATE --force --reason WHY` opens that.\n";

static const char gate_note[] =
	"Without options shows them. --limit and --gap are the gate's, the rest is what a close has that says nothing else.\n"
	"What is not named stays as it is. A gate whose settings were changed is known.\n";

static const char remembered_note[] =
	"The token is remembered for each gate and session (DEPLOY_GATE_SESSION, else the job of the CI, else the user)\n"
	"in DEPLOY_GATE_STATE_DIR, XDG_STATE_HOME/deploy-gate or ~/.local/state/deploy-gate.\n";

static const char wrapped_note[] =
	"The command is run without a shell in between, in a process group of its own; signals are passed on to it. It\n"
	"finds DEPLOY_GATE_TOKEN, DEPLOY_GATE_GATES, DEPLOY_GATE_FENCE and DEPLOY_GATE_RELEASE in its environment, and what\n"
	"of deploy-gate it runs goes inside; DEPLOY_GATE_OUTER has the tokens of what this runs inside of in its turn.\n";

const struct option_table global_options = TABLE(global_rows);

const struct command commands[] = {
	{ "check", "GATES", "is it open? 0: yes, 1: no", 1, 1, false, REACH_SHORT, { NULL, 0 }, cmd_check, NULL },
	{ "wait", "GATES", "return when it is open", 1, 1, false, REACH_WAIT, TABLE(wait_rows), cmd_wait, NULL },
	{ "run", "GATES -- CMD…", "wait until it is open, run a command, and have deploys wait for it", 1, 1, true,
	  REACH_WAIT, TABLE(run_rows), cmd_run, wrapped_note },
	{ "deploy", "GATES -- CMD…", "close, run a command, open", 1, 1, true, REACH_NORMAL,
	  TABLE(deploy_rows), cmd_deploy, wrapped_note },
	{ "close", "GATES", "close, and print the token that opens", 1, 1, false, REACH_NORMAL,
	  TABLE(close_rows), cmd_close, remembered_note },
	{ "open", "GATES", "open what was closed", 1, 1, false, REACH_NORMAL,
	  TABLE(open_rows), cmd_open, remembered_note },
	{ "renew", "GATES", "let what was closed stay shut for longer", 1, 1, false, REACH_NORMAL,
	  TABLE(renew_rows), cmd_renew, NULL },
	{ "reason", "GATES TEXT", "change the reason of what was closed", 2, 2, false, REACH_NORMAL,
	  TABLE(reason_rows), cmd_reason, NULL },
	{ "status", "[GATES]", "which gates are shut, by whom, why, until when", 0, 1, false, REACH_SHORT,
	  { NULL, 0 }, cmd_status, NULL },
	{ "history", "[GATE]", "what happened, the newest first", 0, 1, false, REACH_NORMAL,
	  TABLE(history_rows), cmd_history, NULL },
	{ "explain", "GATE", "why it is shut, who waits, who can open it, with which command", 1, 1, false, REACH_SHORT,
	  { NULL, 0 }, cmd_explain, NULL },
	{ "gate", "GATE", "show or change its settings", 1, 1, false, REACH_NORMAL, TABLE(gate_rows), cmd_gate, gate_note },
	{ "reap", "", "end what is too old, or all there is", 0, 0, false, REACH_NORMAL, TABLE(reap_rows), cmd_reap,
	  reap_note },
	{ NULL, NULL, NULL, 0, 0, false, REACH_NORMAL, { NULL, 0 }, NULL, NULL },
};

/* clang-format on */

const struct command *command_find(const char *name)
{
	for (const struct command *command = commands; command->name; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}

static const char *next_command(const void *context, unsigned i)
{
	(void)context;
	return commands[i].name;
}

const char *command_nearest(const char *name)
{
	return nearest_word(name, next_command, NULL);
}
