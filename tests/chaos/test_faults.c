/* Every fault of the menu by itself: it has its effect, and within seconds of its end leases, locks, queue and waiters are right
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chaos/arena.h"
#include "chaos/faults.h"

int main(int argc, char **argv)
{
	struct arena arena;
	struct dice dice = { 1 };
	const struct fault *fault;

	arena_start(&arena, &(struct arena_plan){ .replicas = 3 });
	printf("started\n");
	for (unsigned i = 0; (fault = fault_number(i)); i++) {
		struct strike strike;

		if (argc > 1 && fault != fault_called(argv[1]))
			continue;
		if (fault->possible && !fault->possible(&arena))
			continue;
		fault_strike(fault, &arena, &dice, &strike);
		printf("%-18s %-30s effect %6lld healed %6lld well %6lld\n", fault->name, strike.what,
			(long long)(strike.effective_ns - strike.begun_ns) / 1000000,
			(long long)(strike.healed_ns - strike.begun_ns) / 1000000,
			(long long)(strike.well_ns - strike.begun_ns) / 1000000);
		fflush(stdout);
	}
	arena_stop(&arena, true);
	return 0;
}
