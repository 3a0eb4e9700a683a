# SPDX-License-Identifier: PostgreSQL
#
# Fuzz targets: test/fuzz/fuzz_<name>.c defines LLVMFuzzerTestOneInput. With
# --enable-fuzz each is a libFuzzer program that "make fuzz" runs; else each is
# linked with replay.c, and "make check" feeds it the seeds of
# test/fuzz/corpus/<name>/ and a few thousand made-up inputs. To add one, add
# its program to FUZZ_TARGETS and its line below.

FUZZ_TARGETS = \
	test/fuzz/fuzz_answer \
	test/fuzz/fuzz_auth_files \
	test/fuzz/fuzz_cache \
	test/fuzz/fuzz_catalog \
	test/fuzz/fuzz_cluster \
	test/fuzz/fuzz_config \
	test/fuzz/fuzz_connstr \
	test/fuzz/fuzz_console \
	test/fuzz/fuzz_entry \
	test/fuzz/fuzz_framing \
	test/fuzz/fuzz_http \
	test/fuzz/fuzz_lexer \
	test/fuzz/fuzz_log_line \
	test/fuzz/fuzz_probe \
	test/fuzz/fuzz_public \
	test/fuzz/fuzz_redis \
	test/fuzz/fuzz_request \
	test/fuzz/fuzz_scram \
	test/fuzz/fuzz_settings \
	test/fuzz/fuzz_startup \
	test/fuzz/fuzz_template

if HAVE_JANSSON
FUZZ_TARGETS += test/fuzz/fuzz_backend
endif
test_fuzz_fuzz_backend_SOURCES = test/fuzz/fuzz_backend.c $(FUZZ_MAIN)
test_fuzz_fuzz_backend_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/k8s/apps $(JANSSON_CFLAGS)
test_fuzz_fuzz_backend_LDADD = $(FINAI_LIBS) $(FINAI_SYSTEM_LIBS) $(FUZZ_LDFLAGS)

test_fuzz_fuzz_answer_SOURCES = test/fuzz/fuzz_answer.c test/fuzz/fake_time.c test/fuzz/fake_time.h \
	test/fuzz/tier_of_one.c test/fuzz/tier_of_one.h $(FUZZ_MAIN)
test_fuzz_fuzz_answer_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_cache_SOURCES = test/fuzz/fuzz_cache.c test/fuzz/fake_time.c test/fuzz/fake_time.h \
	test/fuzz/tiny_redis.c test/fuzz/tiny_redis.h $(FUZZ_MAIN)
test_fuzz_fuzz_cache_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_catalog_SOURCES = test/fuzz/fuzz_catalog.c $(FUZZ_MAIN)
test_fuzz_fuzz_catalog_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_entry_SOURCES = test/fuzz/fuzz_entry.c $(FUZZ_MAIN)
test_fuzz_fuzz_entry_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_config_SOURCES = test/fuzz/fuzz_config.c $(FUZZ_MAIN)
test_fuzz_fuzz_config_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_cluster_SOURCES = test/fuzz/fuzz_cluster.c $(FUZZ_MAIN)
test_fuzz_fuzz_cluster_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_lexer_SOURCES = test/fuzz/fuzz_lexer.c test/unit/sql/describe.c \
	test/unit/sql/rebuild.c $(FUZZ_MAIN)
test_fuzz_fuzz_lexer_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_template_SOURCES = test/fuzz/fuzz_template.c $(FUZZ_MAIN)
test_fuzz_fuzz_template_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_log_line_SOURCES = test/fuzz/fuzz_log_line.c $(FUZZ_MAIN)
test_fuzz_fuzz_log_line_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_framing_SOURCES = test/fuzz/fuzz_framing.c $(FUZZ_MAIN)
test_fuzz_fuzz_framing_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_http_SOURCES = test/fuzz/fuzz_http.c $(FUZZ_MAIN)
test_fuzz_fuzz_http_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_redis_SOURCES = test/fuzz/fuzz_redis.c $(FUZZ_MAIN)
test_fuzz_fuzz_redis_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_request_SOURCES = test/fuzz/fuzz_request.c $(FUZZ_MAIN)
test_fuzz_fuzz_request_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_scram_SOURCES = test/fuzz/fuzz_scram.c $(FUZZ_MAIN)
test_fuzz_fuzz_scram_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_startup_SOURCES = test/fuzz/fuzz_startup.c $(FUZZ_MAIN)
test_fuzz_fuzz_startup_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_auth_files_SOURCES = test/fuzz/fuzz_auth_files.c $(FUZZ_MAIN)
test_fuzz_fuzz_auth_files_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_connstr_SOURCES = test/fuzz/fuzz_connstr.c $(FUZZ_MAIN)
test_fuzz_fuzz_connstr_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_console_SOURCES = test/fuzz/fuzz_console.c $(FUZZ_MAIN)
test_fuzz_fuzz_console_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_probe_SOURCES = test/fuzz/fuzz_probe.c $(FUZZ_MAIN)
test_fuzz_fuzz_probe_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_public_SOURCES = test/fuzz/fuzz_public.c $(FUZZ_MAIN)
test_fuzz_fuzz_public_CPPFLAGS = $(TEST_CPPFLAGS)
test_fuzz_fuzz_settings_SOURCES = test/fuzz/fuzz_settings.c $(FUZZ_MAIN)
test_fuzz_fuzz_settings_CPPFLAGS = $(TEST_CPPFLAGS)

LDADD = $(WEIR_GROUP_BEGIN) $(WEIR_LIBS) $(WEIR_GROUP_END) $(WEIR_SYSTEM_LIBS) $(FUZZ_LDFLAGS)

if ENABLE_FUZZ
FUZZ_MAIN =
EXTRA_PROGRAMS += $(FUZZ_TARGETS)
CLEANFILES += $(FUZZ_TARGETS)
else
FUZZ_MAIN = test/fuzz/replay.c
check_PROGRAMS += $(FUZZ_TARGETS)
endif

.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_TARGETS)
