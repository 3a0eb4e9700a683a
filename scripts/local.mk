# SPDX-License-Identifier: PostgreSQL
# The targets beside all, check and install. Each script says how it is used.

LINT_CFLAGS = -std=gnu11 $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
# A sanitizer or gcov adds variables of its own.
LINT_OBJECTS = $(if $(findstring -fsanitize,$(AM_CFLAGS))$(findstring --coverage,$(AM_CFLAGS)),,--objects .)
CLANG_FORMAT = clang-format
CLANG_TIDY = clang-tidy
FUZZ_SECONDS = 60
SOURCE_FILES = find src include test bench k8s/apps -name '*.[ch]' -not -path '*/node_modules/*'

.PHONY: lint lint-tidy format format-check cover compdb sizes check-integration check-regress check-drivers check-all fuzz stress soak bench

lint: all
	$(AM_V_at)'$(top_srcdir)/scripts/lint' --root '$(abs_top_srcdir)' --cc '$(CC)' \
		--cflags '$(LINT_CFLAGS) $(CPPFLAGS)' $(LINT_OBJECTS)

lint-tidy: compdb
	$(AM_V_at)cd '$(top_srcdir)' && find src k8s/apps -name '*.c' | sort | \
		xargs -n 4 -P 2 $(CLANG_TIDY) --quiet -p '$(abs_top_builddir)'

format:
	$(AM_V_at)cd '$(top_srcdir)' && $(SOURCE_FILES) | xargs $(CLANG_FORMAT) -i

format-check:
	$(AM_V_at)cd '$(top_srcdir)' && $(SOURCE_FILES) | xargs $(CLANG_FORMAT) --dry-run -Werror

sizes:
	$(AM_V_at)'$(top_srcdir)/scripts/lint' --root '$(abs_top_srcdir)' --sizes

compdb:
	$(AM_V_GEN)'$(top_srcdir)/scripts/compdb' '$(abs_top_srcdir)' '$(abs_top_builddir)' \
		$(CC) $(FINAI_CPPFLAGS) $(CRITERION_CFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) \
		> compile_commands.json

cover:
	$(AM_V_at)'$(top_srcdir)/scripts/cover' '$(abs_top_srcdir)' '$(abs_top_builddir)/cover-build'

fuzz:
	$(AM_V_at)FUZZ_SECONDS='$(FUZZ_SECONDS)' '$(top_srcdir)/scripts/fuzz' '$(abs_top_srcdir)' \
		'$(abs_top_builddir)/fuzz-build'

stress:
	$(AM_V_at)'$(top_srcdir)/scripts/stress' '$(abs_top_srcdir)' '$(abs_top_builddir)/tsan-build'

soak: all
	$(AM_V_at)PGWEIR='$(abs_top_builddir)/pgweir' '$(top_srcdir)/test/soak/run' \
		--seconds '$(or $(SOAK_SECONDS),3600)' --logs '$(abs_top_builddir)/soak' $(SOAK)

check-integration: all
	$(AM_V_at)if test -x '$(top_srcdir)/test/integration/run'; then \
		PGWEIR='$(abs_top_builddir)/pgweir' '$(top_srcdir)/test/integration/run'; \
	else echo "no integration tests here"; fi

bench: all
	$(AM_V_at)if test -x '$(top_srcdir)/bench/run'; then \
		PGWEIR='$(abs_top_builddir)/pgweir' '$(top_srcdir)/bench/run' $(BENCH); \
	else echo "no benchmarks here"; fi

check-regress: all
	$(AM_V_at)PGWEIR='$(abs_top_builddir)/pgweir' '$(top_srcdir)/test/regress/run' \
		--build '$(abs_top_builddir)/regress'

check-drivers: all
	$(AM_V_at)'$(top_srcdir)/scripts/deps' drivers
	$(AM_V_at)PGWEIR='$(abs_top_builddir)/pgweir' '$(top_srcdir)/test/drivers/run' \
		--build '$(abs_top_builddir)/drivers'

check-all: check lint check-integration check-regress check-drivers check-k8s stress

CLEANFILES += compile_commands.json

clean-local:
	rm -rf cover-build fuzz-build tsan-build
	find . -name "*.asan.*" -delete
