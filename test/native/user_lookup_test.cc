#include "agent/user_lookup.h"

#include "check.h"

namespace msb_test {
namespace {

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# a comment\n"
    "\n"
    "broken:x:abc:1:::\n"
    "short\n"
    "app:x:1000:1001:App:/home/app:/bin/sh\n"
    "1234:x:77:78::/:/bin/sh";
constexpr char kGroup[] = "root:x:0:\napp:x:1001:\nextra:x:2000:other,app\nmore:x:2001:apple\n"
                          "again:x:2000:app\nown:x:1001:app\n";

bool Is(std::string_view spec, uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
  const auto ids = msb::agent::LookupUser(spec, kPasswd, kGroup);
  return ids.ok() && ids.value().uid == uid && ids.value().gid == gid &&
         ids.value().groups == groups;
}

}  // namespace

void TestUserLookup() {
  CHECK(Is("root", 0, 0, {}));
  CHECK(Is("app", 1000, 1001, {2000, 2000, 1001}));
  CHECK(Is("1000", 1000, 1001, {2000, 2000, 1001}));
  CHECK(Is("app:extra", 1000, 2000, {}));
  CHECK(Is("app:5", 1000, 5, {}));
  CHECK(Is("4000000000", 4000000000u, 0, {}));
  CHECK(Is("5:6", 5, 6, {}));
  CHECK(Is("1234", 77, 78, {}));
  for (const char* spec : {"nobody", "broken", "short", "app:nogroup", "4294967295", "99999999999",
                           "-1", "app:", ":app", "#", "App"}) {
    const auto ids = msb::agent::LookupUser(spec, kPasswd, kGroup);
    CHECK_NAMED(!ids.ok() && ids.status().operation() == "user", spec);
  }
  const auto root = msb::agent::LookupUser("root", "", "");
  CHECK(root.ok() && root.value().uid == 0);
}

}  // namespace msb_test
