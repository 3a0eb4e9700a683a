# SPDX-License-Identifier: PostgreSQL
#
# Small macros of configure.ac: compiler flags that are taken when the compiler
# knows them, and dependencies whose absence names the Debian package. All
# missing packages are reported together, by WEIR_DEPS_DONE.

# WEIR_ADD_CFLAGS(VARIABLE, FLAGS): each flag is kept if the compiler takes it.
AC_DEFUN([WEIR_ADD_CFLAGS], [
for weir_flag in $2; do
	weir_saved="$CFLAGS"
	CFLAGS="$CFLAGS -Werror $weir_flag"
	AC_MSG_CHECKING([whether $CC takes $weir_flag])
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])
		$1="${$1} $weir_flag"],
		[AC_MSG_RESULT([no])])
	CFLAGS="$weir_saved"
done
])

# WEIR_DEP(PREFIX, MODULES, DEBIAN-PACKAGE): by pkg-config.
AC_DEFUN([WEIR_DEP], [
PKG_CHECK_MODULES([$1], [$2], [
	DEP_CFLAGS="$DEP_CFLAGS $[]$1_CFLAGS"
	DEP_LIBS="$DEP_LIBS $[]$1_LIBS"
], [
	AC_MSG_WARN([$2 not found (Debian package: $3)])
	weir_missing="$weir_missing $3"
])
])

# WEIR_DEP_HEADER(PREFIX, HEADER, LIBRARY, FUNCTION, DEBIAN-PACKAGE): no .pc file.
AC_DEFUN([WEIR_DEP_HEADER], [
weir_found=yes
AC_CHECK_HEADER([$2], [], [weir_found=no])
AC_CHECK_LIB([$3], [$4], [:], [weir_found=no], [-lpthread -lm])
AS_IF([test $weir_found = yes], [
	$1_LIBS="-l$3"
	DEP_LIBS="$DEP_LIBS -l$3"
], [
	AC_MSG_WARN([$2 with $4 not found (Debian package: $5)])
	weir_missing="$weir_missing $5"
])
AC_SUBST([$1_LIBS])
])

# WEIR_DEPS_DONE: ends configure when something is missing.
AC_DEFUN([WEIR_DEPS_DONE], [
AS_IF([test -n "$weir_missing"], [
	AC_MSG_ERROR([missing dependencies; on Debian: apt-get install$weir_missing])
])
AC_SUBST([DEP_CFLAGS])
AC_SUBST([DEP_LIBS])
])
