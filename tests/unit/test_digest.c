/* SHA-256 as others compute it. */
#include "cases.h"

#include "base/digest.h"

static void test_digest__is_sha256_in_hex(void **state)
{
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char hex[DIGEST_HEX_LEN + 1];

		digest_hex(cases[i].text, hex);
		assert_string_equal(hex, cases[i].hex);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest__is_sha256_in_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
