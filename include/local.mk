# SPDX-License-Identifier: PostgreSQL
#
# The installed library: public headers, and one object linked from the archives
# in which every name outside of pgweir_* is hidden, so that it can't clash with
# names of the program that uses it. pkg-config name: pgweir.

nodist_pgweirinclude_HEADERS += include/pgweir/version.h
pgweirinclude_HEADERS += \
	include/pgweir/statement.h \
	include/pgweir/wire.h
pkgconfig_DATA += include/pgweir.pc

LIBPGWEIR = libpgweir.a
LIBPGWEIR_PARTS = src/wire/libwire.a src/sql/libsql.a src/base/libbase.a
LIBPGWEIR_ROOTS = -u pgweir_message_next -u pgweir_statement_analyse

$(LIBPGWEIR): $(LIBPGWEIR_PARTS)
	$(AM_V_GEN)rm -f $@ pgweir_library.o && \
	$(CC) -nostdlib -r $(LIBPGWEIR_ROOTS) -Wl,--start-group $(LIBPGWEIR_PARTS) -Wl,--end-group \
		-o pgweir_library.o && \
	$(OBJCOPY) --wildcard --keep-global-symbol='pgweir_*' pgweir_library.o && \
	$(AR) $(ARFLAGS) $@ pgweir_library.o

CLEANFILES += $(LIBPGWEIR) pgweir_library.o
all-local: $(LIBPGWEIR)
install-exec-local: $(LIBPGWEIR)
	$(MKDIR_P) '$(DESTDIR)$(libdir)'
	$(INSTALL_DATA) $(LIBPGWEIR) '$(DESTDIR)$(libdir)/$(LIBPGWEIR)'
uninstall-local:
	rm -f '$(DESTDIR)$(libdir)/$(LIBPGWEIR)'
