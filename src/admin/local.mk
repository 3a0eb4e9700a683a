# SPDX-License-Identifier: PostgreSQL
# Sources of src/admin/, headers and tables included.

noinst_LIBRARIES += src/admin/libadmin.a
src_admin_libadmin_a_SOURCES =
