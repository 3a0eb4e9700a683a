# SPDX-License-Identifier: PostgreSQL
#
# Fuzz targets: test/fuzz/fuzz_<name>.c defines LLVMFuzzerTestOneInput. With
# --enable-fuzz each is a libFuzzer program that "make fuzz" runs; else each is
# linked with replay.c, and "make check" feeds it the seeds of
# test/fuzz/corpus/<name>/ and a few thousand made-up inputs. To add one, add
# its program to FUZZ_TARGETS and its line below.

FUZZ_TARGETS = \
	test/fuzz/fuzz_log_line

test_fuzz_fuzz_log_line_SOURCES = test/fuzz/fuzz_log_line.c $(FUZZ_MAIN)
test_fuzz_fuzz_log_line_CPPFLAGS = $(TEST_CPPFLAGS)

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
