#include "base/digest.h"

#include <gnutls/crypto.h>
#include <string.h>

#include "base/die.h"

void digest_hex(const char *text, char hex[static DIGEST_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[DIGEST_HEX_LEN / 2];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text, strlen(text), digest) != 0)
		die("SHA-256 is not to be had");
	for (size_t i = 0; i < sizeof(digest); i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[DIGEST_HEX_LEN] = '\0';
}
