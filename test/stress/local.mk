# SPDX-License-Identifier: PostgreSQL
#
# Several threads against an invariant. Plain programs that speak TAP, no
# Criterion, so that they run under ThreadSanitizer too: make stress does that.

check_PROGRAMS += test/stress/stress_cache test/stress/stress_ledger
test_stress_stress_cache_SOURCES = test/stress/stress_cache.c
test_stress_stress_cache_LDADD = $(WEIR_GROUP_BEGIN) $(WEIR_LIBS_3) $(WEIR_GROUP_END) \
	$(WEIR_SYSTEM_LIBS)
test_stress_stress_ledger_SOURCES = test/stress/stress_ledger.c
test_stress_stress_ledger_LDADD = $(WEIR_GROUP_BEGIN) $(WEIR_LIBS_3) $(WEIR_GROUP_END) \
	$(WEIR_SYSTEM_LIBS)

.PHONY: stress-targets
stress-targets: $(filter test/stress/%,$(check_PROGRAMS))
