// msb-native-test FIXTURES: exits 0 if every check holds.

#include "check.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::printf("usage: msb-native-test FIXTURES\n");
    return 2;
  }
  msb_test::TestJson();
  msb_test::TestFrames(argv[1]);
  msb_test::TestUserLookup();
  std::printf("%d failed checks\n", msb_test::failures);
  return msb_test::failures == 0 ? 0 : 1;
}
