/* report: what a run came to, for people. */
#ifndef CHAOS_REPORT_H
#define CHAOS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "chaos/check.h"

void report_counts(FILE *, const struct findings *);

/* A table in Markdown: a line for each kind of fault. */
void report_tolls(FILE *, const struct findings *);

/* Whether enough happened that a run without a finding proves something; says what was lacking. faults: whether those of the menu
 * were asked for. */
bool report_is_enough(FILE *, const struct findings *, long seconds, bool faults);

#endif
