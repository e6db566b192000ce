// CHECK and a table of tests: `PROGRAM` runs all, `PROGRAM NAME` one.
#ifndef QUERN_EMULATION_TEST_CHECK_H_
#define QUERN_EMULATION_TEST_CHECK_H_

#include <stdio.h>
#include <string.h>

#include <initializer_list>

inline int failures = 0;

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      ++failures;                                                                   \
      fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
    }                                                                               \
  } while (false)

struct Test {
  const char* name;
  void (*run)();
};

inline int run_tests(int count, char** arguments, std::initializer_list<Test> tests) {
  int ran = 0;
  for (const Test& test : tests) {
    if (count > 1 && strcmp(arguments[1], test.name) != 0) continue;
    const int before = failures;
    test.run();
    printf("%s %s\n", failures == before ? "ok    " : "FAILED", test.name);
    ++ran;
  }
  if (ran == 0) fprintf(stderr, "no test of that name\n");
  return ran > 0 && failures == 0 ? 0 : 1;
}

#endif  // QUERN_EMULATION_TEST_CHECK_H_
