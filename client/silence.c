#include "silence.h"

static int64_t at_most(int64_t value, int64_t most)
{
	return value < most ? value : most;
}

int64_t silence_over_at(const struct silence *silence)
{
	return silence->acked_ms + silence->life_ms;
}

int64_t silence_term_at(const struct silence *silence)
{
	return silence_over_at(silence) - at_most(5000, silence->ttl_ms / 3);
}

int64_t silence_kill_at(const struct silence *silence)
{
	return silence_over_at(silence) + silence->grace_ms - at_most(1000, silence->ttl_ms / 15);
}

int64_t silence_renew_at(const struct silence *silence)
{
	return silence->acked_ms + at_most(silence->ttl_ms, silence->life_ms) / 3;
}
