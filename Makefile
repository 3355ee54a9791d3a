# deploy-gate. `make help` lists the targets; V=1 shows the commands; everything is built in $(B).

B ?= build
PREFIX ?= /usr/local
VERSION := 0.1.0

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
	-Wpointer-arith -Wformat=2 $(if $(WERROR),-Werror)
HARDENING := $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2) -fstack-protector-strong
SANITIZERS := $(if $(SANITIZE),-fsanitize=address -fsanitize=undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
# A check is some thirty small functions in as many files: with them inlined the service answers 3 % more of them.
LTO := $(if $(SANITIZE),,-flto=auto)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '%-5s %s\n' $(1) $(2))

SERVER_LIBS := libpq libmicrohttpd libuv libcjson gnutls libcurl
CLIENT_LIBS := libcjson gnutls libcurl
TEST_LIBS := $(SERVER_LIBS) cmocka
ifneq ($(shell pkg-config --exists $(SERVER_LIBS) || echo missing),)
$(warning libraries that deploy-gate is built with are missing here: scripts/setup build installs them)
endif
# One by one, because pkg-config says nothing of any where one is missing, as that of the tests is where none are to be run.
CPPFLAGS_ALL := -D_GNU_SOURCE -DDEPLOY_GATE_VERSION='"$(VERSION)"' -Iserver -Iclient -Itests \
	$(shell for lib in $(TEST_LIBS); do pkg-config --cflags $$lib 2>/dev/null; done) $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 $(WARNINGS) $(HARDENING) $(SANITIZERS) $(LTO) $(CFLAGS)
LDFLAGS_ALL = $(SANITIZERS) $(LTO) $(LDFLAGS)
libs = $(shell pkg-config --libs $(1)) -lm

# What is there to build. Main programs stay out of the archives, so that tests can be linked with all the rest.
server := $(wildcard server/*.c server/*/*.c)
client := $(wildcard client/*.c client/*/*.c)
support := $(wildcard tests/support/*.c)
unit_client := $(wildcard tests/unit/test_client_*.c)
unit := $(filter-out $(unit_client),$(wildcard tests/unit/test_*.c))
outer := $(wildcard tests/sql/*.c tests/http/*.c tests/e2e/*.c)
bench := $(wildcard tests/bench/*.c)
chaos := $(filter-out tests/chaos/test_% tests/chaos/broken_%,$(wildcard tests/chaos/*.c))
chaos_tests := $(wildcard tests/chaos/test_*.c)
sources := $(server) $(client) $(support) $(unit) $(unit_client) $(outer) $(bench) $(wildcard tests/chaos/*.c)
headers := $(wildcard server/*.h server/*/*.h client/*.h client/*/*.h tests/*/*.h)
scripts := $(shell grep -lrs '^\#!/bin/\(ba\)\?sh' scripts tests .ci)
plugin := $(wildcard scripts/capistrano/*.rb scripts/capistrano/*/*.rb)

objects = $(patsubst %.c,$(B)/%.o,$(1))
programs := $(if $(wildcard server/main.c),$(B)/deploy-gated) $(if $(wildcard client/main.c),$(B)/deploy-gate)
tests := $(patsubst %.c,$(B)/%,$(unit) $(unit_client) $(outer) $(chaos_tests))
loads := $(B)/tests/bench/load $(B)/tests/bench/constant
harness := $(B)/tests/chaos/chaos
broken := $(B)/tests/chaos/broken_server

checks := $(addprefix lint-,layers format size banned shell ruby cppcheck $(if $(wildcard README.md),settings))
.PHONY: all help tests test asan chaos chaos-breakages bench lint $(checks) format install clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(programs) ## build deploy-gated and deploy-gate (the default)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' Makefile

tests: all $(tests) $(harness) ## build every test program
test: tests ## run all tests against this build; arguments in ONLY="http test_embed"
	$(Q)scripts/run-tests $(B) $(ONLY)

asan: ## build programs and tests with ASan and UBSan, in $(B)-asan
	$(Q)$(MAKE) --no-print-directory B=$(B)-asan SANITIZE=1 tests

chaos: $(programs) $(harness) $(if $(BREAK),$(broken)) ## faults at random, and a verdict: SECONDS=60 SEED=1 BREAK=NAME FAULTS=NAME,…
	$(Q)DEPLOY_GATED_BIN=$(abspath $(B))/deploy-gated DEPLOY_GATE_BIN=$(abspath $(B))/deploy-gate \
		DEPLOY_GATED_BROKEN_BIN=$(abspath $(broken)) $(harness) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(BREAK),--break $(BREAK)) $(if $(FAULTS),--faults $(FAULTS))

chaos-breakages: $(programs) $(harness) $(broken) ## break the service on purpose: each breakage until it is caught
	$(Q)tests/chaos/breakages.sh $(B)

bench: $(programs) $(loads) ## measure, beside bare libmicrohttpd and pgbench; fails below a floor
	$(Q)tests/bench/run $(B)

lint: $(checks) $(patsubst %.c,$(B)/lint/%.tidy,$(sources)) ## check layers, format, sizes, bugs; -j -k: faster, all

format: ## take over what clang-format wants; blanks inside lines stay
	$(Q)scripts/check-format --fix $(sources) $(headers)

install: all ## install into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin
	install $(programs) $(DESTDIR)$(PREFIX)/bin
	for file in $(plugin); do install -D -m 644 $$file $(DESTDIR)$(PREFIX)/share/deploy-gate/$${file#scripts/}; done

clean: ## remove what was built
	rm -rf $(B) $(B)-asan

# Programs.
$(B)/deploy-gated: $(B)/server/main.o $(B)/libserver.a
$(B)/deploy-gate: $(B)/client/main.o $(B)/libclient.a $(B)/libbase.a
$(B)/deploy-gated: LIBS = $(call libs,$(SERVER_LIBS))
$(B)/deploy-gate: LIBS = $(call libs,$(CLIENT_LIBS))

$(B)/libserver.a: $(call objects,$(filter-out server/main.c,$(server))) $(B)/sql.o
$(B)/libbase.a: $(call objects,$(filter server/base/%,$(server)))
$(B)/libclient.a: $(call objects,$(filter-out client/main.c,$(client)))
$(B)/libsupport.a: $(call objects,$(support)) $(B)/sql.o
$(B)/libchaos.a: $(call objects,$(filter-out %/main.c,$(chaos)))

# Tests: of the server's parts, of the client's parts, and those that meet the programs from outside.
$(patsubst %.c,$(B)/%,$(unit)): $(B)/%: $(B)/%.o $(B)/libserver.a
$(patsubst %.c,$(B)/%,$(unit_client)): $(B)/%: $(B)/%.o $(B)/libclient.a $(B)/libbase.a
$(patsubst %.c,$(B)/%,$(outer)): $(B)/%: $(B)/%.o $(B)/libsupport.a $(B)/libbase.a
$(patsubst %.c,$(B)/%,$(chaos_tests)): $(B)/%: $(B)/%.o $(B)/libchaos.a $(B)/libsupport.a $(B)/libbase.a
$(harness): $(B)/tests/chaos/main.o $(B)/libchaos.a $(B)/libsupport.a $(B)/libbase.a
$(tests) $(loads) $(harness): LIBS = $(call libs,$(TEST_LIBS))

# The load generator, and what it is measured against.
$(B)/tests/bench/constant: $(B)/tests/bench/constant.o $(B)/libbase.a
$(B)/tests/bench/load: $(call objects,$(filter-out %/constant.c,$(bench))) $(B)/libbase.a

# A server that can be broken: the linker puts functions in the place of its own. Not where it inlines: only with SANITIZE.
$(broken): $(B)/server/main.o $(B)/tests/chaos/broken_server.o $(B)/libserver.a
$(broken): LIBS = -Wl,--wrap=waiters_wake,--wrap=uv_timer_start,--wrap=sights_find $(call libs,$(SERVER_LIBS))

$(programs) $(tests) $(loads) $(broken) $(harness):
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o %.a,$^) $(LIBS)

# Archives are made afresh: a member whose source is gone must go too, and two may have one name.
$(B)/%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar qcs $@ $^

$(B)/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/sql.o: $(B)/sql.c
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The directories stand here too, because they change when a file goes.
$(B)/sql.c: scripts/embed $(wildcard sql/schema sql/functions sql/queries sql/*/*.sql)
	$(call say,SQL,$@)
	$(Q)mkdir -p $(@D) && scripts/embed sql >$@

# Lint. What clang-tidy has passed is remembered until the object is made again.
lint-layers:
	$(Q)scripts/check-layers
lint-format:
	$(Q)scripts/check-format $(sources) $(headers)
lint-size:
	$(Q)scripts/check-size $(sources)
lint-banned:
	$(Q)scripts/check-banned $(sources) $(headers)
lint-shell:
	$(Q)shellcheck $(scripts)
lint-ruby:
	$(Q)for file in $(plugin); do ruby -wc $$file >/dev/null || exit 1; done
lint-settings: $(B)/deploy-gated
	$(Q)scripts/check-settings $< README.md
lint-cppcheck:
	$(Q)mkdir -p $(B)/lint/cppcheck
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --suppressions-list=.cppcheck \
		--error-exitcode=1 --cppcheck-build-dir=$(B)/lint/cppcheck -D_GNU_SOURCE -Iserver -Iclient -Itests $(sources)

$(B)/lint/%.tidy: $(B)/%.o .clang-tidy
	$(call say,TIDY,$*.c)
	$(Q)mkdir -p $(@D) && clang-tidy --quiet $*.c -- -std=gnu11 $(CPPFLAGS_ALL) 2>/dev/null
	$(Q)touch $@

-include $(shell find $(B) -name '*.d' 2>/dev/null)
