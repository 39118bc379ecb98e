// msb-native-test FIXTURES: runs all native unit tests; the exit status says
// whether they passed.
#include <cstdio>
#include <string>
#include <vector>

#include "check.h"

namespace msb::test {
namespace {

struct Case {
  const char *name;
  void (*run)();
};

std::vector<Case> &Cases() {
  static std::vector<Case> cases;
  return cases;
}

int failures = 0;
std::string fixture_folder;

} // namespace

const std::string &FixtureFolder() { return fixture_folder; }

void Report(const char *file, int line, const std::string &what) {
  ++failures;
  std::printf("%s:%d: %s\n", file, line, what.c_str());
}

Registration::Registration(const char *name, void (*run)()) {
  Cases().push_back({name, run});
}

static int RunAll() {
  for (const Case &test : Cases()) {
    const int before = failures;
    test.run();
    if (failures > before)
      std::printf("FAILED %s\n", test.name);
  }
  std::printf("%zu tests, %d failed checks\n", Cases().size(), failures);
  return failures == 0 ? 0 : 1;
}

} // namespace msb::test

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: msb-native-test FIXTURES\n");
    return 2;
  }
  msb::test::fixture_folder = argv[1];
  return msb::test::RunAll();
}
