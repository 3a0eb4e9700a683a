# SPDX-License-Identifier: PostgreSQL
#
# Fuzz targets: test/fuzz/fuzz_<name>.c defines LLVMFuzzerTestOneInput. With
# --enable-fuzz each is a libFuzzer program that "make fuzz" runs; else each is
# linked with replay.c and "make check" feeds it the corpus in
# test/fuzz/corpus/<name>/ and a few hundred made-up inputs. To add one, write
# its name into FUZZ_TARGETS and copy the three lines below.

