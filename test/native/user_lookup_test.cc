#include "agent/user_lookup.h"

#include "check.h"

namespace msb::agent {
namespace {

constexpr char kPasswd[] = "root:x:0:0:root:/root:/bin/sh\n"
                           "# a comment\n"
                           "broken:x:12\n"
                           "user:x:1000:1001:User:/home/user:/bin/sh\n"
                           "1000:x:7:8::/:\n"
                           "huge:x:4294967295:1::/:\n"
                           "last:x:5:6::/:";
constexpr char kGroup[] = "root:x:0:\n"
                          "user:x:1001:\n"
                          "extra:x:2000:other,user\n"
                          "more:x:2001:user\n"
                          "bad:x:y:user\n"
                          "nearly:x:2002:users,use\n";

bool Is(const char *user, uid_t uid, gid_t gid,
        const std::vector<gid_t> &groups) {
  const StatusOr<Credentials> found = LookupUser(user, kPasswd, kGroup);
  return found.ok() && found.value().uid == uid && found.value().gid == gid &&
         found.value().groups == groups;
}

TEST(UsersAreFoundByNameAndNumber) {
  EXPECT(Is("root", 0, 0, {}));
  EXPECT(Is("0", 0, 0, {}));
  EXPECT(Is("user", 1000, 1001, {2000, 2001}));
  EXPECT(Is("last", 5, 6, {}));
  EXPECT(Is("5", 5, 6, {}));
  EXPECT(Is("4294967294", 4294967294, 0, {}));
  // A user whose name is a number.
  EXPECT(Is("1000", 7, 8, {}));
  EXPECT(Is("42", 42, 0, {}));
}

TEST(AGroupReplacesThoseOfTheUser) {
  EXPECT(Is("user:extra", 1000, 2000, {}));
  EXPECT(Is("user:55", 1000, 55, {}));
  EXPECT(Is("77:88", 77, 88, {}));
}

TEST(UnknownUsersAreRefused) {
  for (const char *user :
       {"nobody", "", ":", "user:", "user:nogroup", "-1", "4294967295", "huge",
        "broken", "99999999999", "1 ", "0x0", "user:4294967295"}) {
    const StatusOr<Credentials> found = LookupUser(user, kPasswd, kGroup);
    EXPECT_FOR(user, !found.ok() && found.status().operation() == "user");
  }
}

TEST(AnImageWithoutPasswdHasRoot) {
  const StatusOr<Credentials> found = LookupUser("root", "", "");
  EXPECT(found.ok() && found.value().uid == 0 && found.value().gid == 0);
}

} // namespace
} // namespace msb::agent
