EXTRA_DIST += .clang-format
