#ifndef MSB_TEST_NATIVE_CHECK_H_
#define MSB_TEST_NATIVE_CHECK_H_

#include <string>

namespace msb::test {

// The folder with golden.json and bad.json.
const std::string &FixtureFolder();

// Counts a failed check and prints where it stands.
void Report(const char *file, int line, const std::string &what);

struct Registration {
  Registration(const char *name, void (*run)());
};

} // namespace msb::test

// TEST(FrameDecoderReadsPaddedFrames) { EXPECT(...); }
#define TEST(name)                                                             \
  static void name();                                                          \
  static const ::msb::test::Registration k##name(#name, name);                 \
  static void name()

#define EXPECT(condition)                                                      \
  do {                                                                         \
    if (!(condition))                                                          \
      ::msb::test::Report(__FILE__, __LINE__, #condition);                     \
  } while (0)

// For checks in a loop over cases: `label` names the case.
#define EXPECT_FOR(label, condition)                                           \
  do {                                                                         \
    if (!(condition))                                                          \
      ::msb::test::Report(__FILE__, __LINE__,                                  \
                          std::string(label) + ": " #condition);               \
  } while (0)

#endif // MSB_TEST_NATIVE_CHECK_H_
