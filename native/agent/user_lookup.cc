#include "agent/user_lookup.h"

#include <optional>

#include "agent/small_file.h"

namespace msb::agent {
namespace {

constexpr size_t kMaxFileBytes = 1024 * 1024;
// The kernel's NGROUPS_MAX is 65536; nobody is in so many.
constexpr size_t kMaxGroups = 1024;

// Takes what precedes `separator` off the front of `text`; all of it when there is none.
std::string_view TakeField(char separator, std::string_view* text) {
  const size_t end = text->find(separator);
  const std::string_view field = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return field;
}

// A user or group id; (uid_t)-1 means "no change" to the kernel and is none.
std::optional<uint32_t> ParseId(std::string_view text) {
  if (text.empty() || text.size() > 10) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value >= UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(value);
}

struct PasswdEntry {
  std::string_view name;
  uid_t uid = 0;
  gid_t gid = 0;
};

// A name wins over a number that happens to be someone's name.
std::optional<PasswdEntry> FindUser(std::string_view user, std::string_view passwd) {
  const std::optional<uint32_t> wanted = ParseId(user);
  std::optional<PasswdEntry> by_id;
  while (!passwd.empty()) {
    std::string_view line = TakeField('\n', &passwd);
    PasswdEntry entry;
    entry.name = TakeField(':', &line);
    TakeField(':', &line);
    const std::optional<uint32_t> uid = ParseId(TakeField(':', &line));
    const std::optional<uint32_t> gid = ParseId(TakeField(':', &line));
    if (!uid.has_value() || !gid.has_value()) continue;
    entry.uid = *uid;
    entry.gid = *gid;
    if (entry.name == user) return entry;
    if (!by_id.has_value() && wanted == entry.uid) by_id = entry;
  }
  return by_id;
}

struct GroupEntry {
  std::string_view name;
  gid_t gid = 0;
  std::string_view members;
};

// Calls `visit` for each group until that returns false.
template <typename Visit>
void ForEachGroup(std::string_view group, Visit visit) {
  while (!group.empty()) {
    std::string_view line = TakeField('\n', &group);
    GroupEntry entry;
    entry.name = TakeField(':', &line);
    TakeField(':', &line);
    const std::optional<uint32_t> gid = ParseId(TakeField(':', &line));
    if (!gid.has_value()) continue;
    entry.gid = *gid;
    entry.members = line;
    if (!visit(entry)) return;
  }
}

std::optional<gid_t> FindGroup(std::string_view wanted, std::string_view group) {
  std::optional<gid_t> found;
  ForEachGroup(group, [&](const GroupEntry& entry) {
    if (entry.name == wanted) found = entry.gid;
    return !found.has_value();
  });
  return found.has_value() ? found : ParseId(wanted);
}

bool HasMember(std::string_view members, std::string_view user) {
  while (!members.empty()) {
    if (TakeField(',', &members) == user) return true;
  }
  return false;
}

Status Unknown(const char* what, std::string_view name) {
  return Status::Error("user", ENOENT,
                       std::string("there is no ") + what + " " + std::string(name));
}

}  // namespace

StatusOr<Credentials> LookupUser(std::string_view user, std::string_view passwd,
                                 std::string_view group) {
  const size_t colon = user.find(':');
  const std::string_view name = user.substr(0, colon);
  const std::optional<PasswdEntry> entry = FindUser(name, passwd);
  Credentials credentials;
  if (entry.has_value()) {
    credentials.uid = entry->uid;
    credentials.gid = entry->gid;
  } else if (const std::optional<uint32_t> uid = ParseId(name)) {
    credentials.uid = *uid;
  } else if (name == "root") {
    // An image without /etc/passwd has a root all the same.
  } else {
    return Unknown("user", name);
  }
  if (colon != std::string_view::npos) {
    const std::string_view group_name = user.substr(colon + 1);
    const std::optional<gid_t> gid = FindGroup(group_name, group);
    if (!gid.has_value()) return Unknown("group", group_name);
    credentials.gid = *gid;
    return credentials;
  }
  if (!entry.has_value()) return credentials;
  ForEachGroup(group, [&](const GroupEntry& candidate) {
    if (HasMember(candidate.members, entry->name)) credentials.groups.push_back(candidate.gid);
    return credentials.groups.size() < kMaxGroups;
  });
  return credentials;
}

StatusOr<Credentials> LookupGuestUser(std::string_view user) {
  if (user.empty()) return Credentials();
  std::string texts[2];
  const char* const paths[2] = {"/etc/passwd", "/etc/group"};
  for (int i = 0; i < 2; ++i) {
    StatusOr<std::string> text = ReadSmallFile(paths[i], kMaxFileBytes);
    if (text.ok()) {
      texts[i] = std::move(text.value());
    } else if (text.status().error_number() != ENOENT) {
      return Status::Error("user", text.status().error_number(), text.status().message());
    }
  }
  return LookupUser(user, texts[0], texts[1]);
}

}  // namespace msb::agent
