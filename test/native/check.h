#ifndef MSB_TEST_CHECK_H_
#define MSB_TEST_CHECK_H_

#include <cstdio>
#include <string>

namespace msb_test {

inline int failures = 0;

inline void Check(bool condition, const std::string& what, const char* file, int line) {
  if (condition) return;
  ++failures;
  std::printf("FAIL %s:%d %s\n", file, line, what.c_str());
}

void TestJson();
void TestFrames(const std::string& fixtures);
void TestUserLookup();

}  // namespace msb_test

// Reports a failure and goes on.
#define CHECK(condition) ::msb_test::Check((condition), #condition, __FILE__, __LINE__)
#define CHECK_NAMED(condition, name) \
  ::msb_test::Check((condition), std::string(#condition) + " of " + (name), __FILE__, __LINE__)

#endif  // MSB_TEST_CHECK_H_
