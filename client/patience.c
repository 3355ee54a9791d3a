#include "patience.h"

enum { CONNECT_FIRST_MS = 1000, CONNECT_MOST_MS = 3000, ANSWER_FIRST_MS = 3000, ROUNDS_MOST = 8 };

/* Doubled with each round, but no more than most. */
static int64_t grown(const struct patience *patience, int64_t first_ms, int64_t most_ms)
{
	unsigned rounds = patience->turns / patience->addresses;
	int64_t ms = first_ms << (rounds < ROUNDS_MOST ? rounds : ROUNDS_MOST);

	return patience->addresses == 1 || ms > most_ms ? most_ms : ms;
}

int64_t patience_to_connect(const struct patience *patience)
{
	int64_t answer_ms = patience_to_answer(patience), ms = grown(patience, CONNECT_FIRST_MS, CONNECT_MOST_MS);

	return ms < answer_ms ? ms : answer_ms;
}

int64_t patience_to_answer(const struct patience *patience)
{
	return grown(patience, ANSWER_FIRST_MS, patience->answer_ms);
}
