#ifndef MSB_AGENT_USER_LOOKUP_H_
#define MSB_AGENT_USER_LOOKUP_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace msb::agent {

struct Credentials {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
};

// Resolves `name`, `uid`, `name:group` or `uid:gid` against the text of /etc/passwd and /etc/group.
// Without a group the user's own is taken, with every group that lists the user; a uid that is not
// in the file has group 0.
StatusOr<Credentials> LookupUser(std::string_view user, std::string_view passwd,
                                 std::string_view group);

// The same with the guest's files; an absent file counts as empty. An empty `user` is root.
StatusOr<Credentials> LookupGuestUser(std::string_view user);

}  // namespace msb::agent

#endif  // MSB_AGENT_USER_LOOKUP_H_
