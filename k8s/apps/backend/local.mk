# SPDX-License-Identifier: PostgreSQL
#
# The sample application's backend: `make` and `make finai-backend` build it, `make install` leaves it out, `make
# install-finai` installs it with its SQL files (the image does). It links base/ and the pure parser of HTTP heads
# of net/, and nothing else of pgweir.

FINAI_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/k8s/apps $(JANSSON_CFLAGS)
FINAI_LIBS = k8s/apps/backend/libbackend.a src/net/libnet.a src/base/libbase.a
FINAI_SYSTEM_LIBS = $(EVENT_LIBS) $(PQ_LIBS) $(JANSSON_LIBS)

finai_sqldir = $(datadir)/finai/sql
FINAI_SQL = k8s/apps/backend/sql/001-schema.sql k8s/apps/backend/sql/002-seed.sql
EXTRA_DIST += $(FINAI_SQL)

.PHONY: finai-backend install-finai

if HAVE_JANSSON
noinst_LIBRARIES += k8s/apps/backend/libbackend.a
k8s_apps_backend_libbackend_a_SOURCES = \
	k8s/apps/backend/address.c \
	k8s/apps/backend/address.h \
	k8s/apps/backend/amount.c \
	k8s/apps/backend/amount.h \
	k8s/apps/backend/answer.c \
	k8s/apps/backend/answer.h \
	k8s/apps/backend/api.c \
	k8s/apps/backend/api.h \
	k8s/apps/backend/app.c \
	k8s/apps/backend/app.h \
	k8s/apps/backend/call.c \
	k8s/apps/backend/call.h \
	k8s/apps/backend/header.c \
	k8s/apps/backend/header.h \
	k8s/apps/backend/health.h \
	k8s/apps/backend/http.c \
	k8s/apps/backend/http.h \
	k8s/apps/backend/journal.c \
	k8s/apps/backend/journal.h \
	k8s/apps/backend/link.c \
	k8s/apps/backend/link.h \
	k8s/apps/backend/metrics.c \
	k8s/apps/backend/metrics.def \
	k8s/apps/backend/metrics.h \
	k8s/apps/backend/migrate.c \
	k8s/apps/backend/migrate.h \
	k8s/apps/backend/options.c \
	k8s/apps/backend/options.def \
	k8s/apps/backend/options.h \
	k8s/apps/backend/pool.c \
	k8s/apps/backend/pool.h \
	k8s/apps/backend/read.c \
	k8s/apps/backend/reply.c \
	k8s/apps/backend/reply.h \
	k8s/apps/backend/route.c \
	k8s/apps/backend/route.h \
	k8s/apps/backend/rules.c \
	k8s/apps/backend/rules.h \
	k8s/apps/backend/statement.c \
	k8s/apps/backend/statement.def \
	k8s/apps/backend/statement.h \
	k8s/apps/backend/tasks.c \
	k8s/apps/backend/tasks.h \
	k8s/apps/backend/timer.h \
	k8s/apps/backend/trace.c \
	k8s/apps/backend/trace.h \
	k8s/apps/backend/transfer.c
k8s_apps_backend_libbackend_a_CPPFLAGS = $(FINAI_CPPFLAGS)

noinst_PROGRAMS += k8s/apps/backend/finai-backend
k8s_apps_backend_finai_backend_SOURCES = k8s/apps/backend/main.c
k8s_apps_backend_finai_backend_CPPFLAGS = $(FINAI_CPPFLAGS)
k8s_apps_backend_finai_backend_LDADD = $(FINAI_LIBS) $(FINAI_SYSTEM_LIBS)
k8s_apps_backend_finai_backend_DEPENDENCIES = $(FINAI_LIBS)

finai-backend: k8s/apps/backend/finai-backend$(EXEEXT)

install-finai: k8s/apps/backend/finai-backend$(EXEEXT)
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(finai_sqldir)'
	$(INSTALL_PROGRAM) k8s/apps/backend/finai-backend$(EXEEXT) '$(DESTDIR)$(bindir)'
	for f in $(FINAI_SQL); do $(INSTALL_DATA) "$(srcdir)/$$f" '$(DESTDIR)$(finai_sqldir)' || exit; done
else
finai-backend install-finai:
	@echo "$@ needs jansson (Debian package: libjansson-dev); configure again when it is there" >&2; exit 1
endif
