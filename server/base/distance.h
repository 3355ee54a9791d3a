/* distance: how far apart two words are, for "did you mean". */
#ifndef BASE_DISTANCE_H
#define BASE_DISTANCE_H

/* How many letters of one need to be changed, added or taken away to make the other; a large number if either is longer
 * than any word that is meant for this. */
unsigned word_distance(const char *one, const char *other);

#endif
