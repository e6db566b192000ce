# QUERN_VERSION: the Maven project's version, passed in by Maven (-DQUERN_VERSION=...) or read from its POM.
# QUERN_ABI_VERSION: the C ABI's number, from the header that callers see.

if(NOT QUERN_VERSION)
  file(READ "${CMAKE_CURRENT_LIST_DIR}/../pom.xml" quern_pom)
  string(REGEX MATCH "<artifactId>quern-parent</artifactId>[^<]*<version>([^<]+)</version>" quern_pom "${quern_pom}")
  set(QUERN_VERSION "${CMAKE_MATCH_1}")
endif()

file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../native/include/quern/quern.h" quern_abi_line
     REGEX "^#define QUERN_ABI_VERSION ")
string(REGEX REPLACE ".* " "" QUERN_ABI_VERSION "${quern_abi_line}")
if(NOT QUERN_VERSION OR NOT QUERN_ABI_VERSION MATCHES "^[0-9]+$")
  message(FATAL_ERROR "Cannot tell Quern's version (${QUERN_VERSION}) or its ABI number (${QUERN_ABI_VERSION}).")
endif()
