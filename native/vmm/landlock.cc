#include "vmm/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace msb::vmm {
namespace {

#if defined(__linux__)

// The kernel's interface, spelled out so that it does not depend on the age of the headers.
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr uint32_t kAskVersion = 1;
constexpr int kRulePathBeneath = 1;

constexpr uint64_t kExecute = 1 << 0;
constexpr uint64_t kWriteFile = 1 << 1;
constexpr uint64_t kReadFile = 1 << 2;
constexpr uint64_t kReadDir = 1 << 3;
constexpr uint64_t kAllOfVersion1 = (1 << 13) - 1;
constexpr uint64_t kRefer = 1 << 13;     // version 2
constexpr uint64_t kTruncate = 1 << 14;  // version 3
constexpr uint64_t kIoctlDev = 1 << 15;  // version 5
// What makes sense for something that is not a folder.
constexpr uint64_t kFileRights = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

constexpr int kTcpVersion = 4;
constexpr uint64_t kTcpBindAndConnect = 3;
constexpr int kScopeVersion = 6;
constexpr uint64_t kScopeAbstractSocketsAndSignals = 3;

struct RulesetAttributes {
  uint64_t files;
  uint64_t network;
  uint64_t scoped;
};

struct [[gnu::packed]] PathBeneath {
  uint64_t allowed;
  int32_t parent;
};

// Older kernels know a shorter structure.
size_t AttributesSize(int version) {
  if (version < kTcpVersion) return offsetof(RulesetAttributes, network);
  if (version < kScopeVersion) return offsetof(RulesetAttributes, scoped);
  return sizeof(RulesetAttributes);
}

#endif

}  // namespace

#if defined(__linux__)

int Landlock::KernelVersion() {
  const long version = syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  return version < 0 ? 0 : static_cast<int>(version);
}

Status Landlock::Open() {
  version_ = KernelVersion();
  if (version_ == 0)
    return Status::Error("landlock_create_ruleset", ENOSYS, "this kernel has no Landlock");
  handled_ = kAllOfVersion1;
  if (version_ >= 2) handled_ |= kRefer;
  if (version_ >= 3) handled_ |= kTruncate;
  if (version_ >= 5) handled_ |= kIoctlDev;
  const RulesetAttributes attributes = {handled_, kTcpBindAndConnect,
                                        kScopeAbstractSocketsAndSignals};
  ruleset_.Reset(
      static_cast<int>(syscall(kCreateRuleset, &attributes, AttributesSize(version_), 0)));
  if (!ruleset_.valid()) return Status::Errno("landlock_create_ruleset", "cannot make a ruleset");
  return Status();
}

Status Landlock::AllowRead(const std::string& path) { return Allow(path, kReadFile | kReadDir); }

Status Landlock::AllowReadFile(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0 || S_ISDIR(info.st_mode)) return Status();
  return Allow(path, kReadFile);
}

Status Landlock::AllowExecute(const std::string& path) {
  return Allow(path, kExecute | kReadFile | kReadDir);
}

Status Landlock::AllowWrite(const std::string& path) {
  return Allow(path, kReadFile | kWriteFile | kTruncate | kIoctlDev);
}

Status Landlock::Allow(const std::string& path, uint64_t access) {
  UniqueFd parent(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!parent.valid()) return Status();
  struct stat info = {};
  if (fstat(parent.get(), &info) != 0) return Status::Errno("fstat", path);
  if (!S_ISDIR(info.st_mode)) access &= kFileRights;
  const PathBeneath rule = {access & handled_, parent.get()};
  if (syscall(kAddRule, ruleset_.get(), kRulePathBeneath, &rule, 0) != 0) {
    return Status::Errno("landlock_add_rule", path);
  }
  return Status();
}

Status Landlock::Enforce() {
  if (syscall(kRestrictSelf, ruleset_.get(), 0) != 0) {
    return Status::Errno("landlock_restrict_self", "cannot enforce the ruleset");
  }
  ruleset_.Reset();
  return Status();
}

std::vector<std::string> Landlock::Measures() const {
  std::vector<std::string> measures = {"landlock"};
  if (version_ >= kTcpVersion) measures.push_back("landlock-tcp");
  if (version_ >= kScopeVersion) measures.push_back("landlock-scope");
  return measures;
}

#else

int Landlock::KernelVersion() { return 0; }
Status Landlock::Open() { return Status::Error("landlock", ENOSYS, "only Linux has Landlock"); }
Status Landlock::AllowRead(const std::string&) { return Status(); }
Status Landlock::AllowReadFile(const std::string&) { return Status(); }
Status Landlock::AllowExecute(const std::string&) { return Status(); }
Status Landlock::AllowWrite(const std::string&) { return Status(); }
Status Landlock::Allow(const std::string&, uint64_t) { return Status(); }
Status Landlock::Enforce() { return Status(); }
std::vector<std::string> Landlock::Measures() const { return {}; }

#endif

}  // namespace msb::vmm
