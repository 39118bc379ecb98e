#include "agent/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "agent/meminfo.h"
#include "agent/proc_scan.h"
#include "agent/small_file.h"

namespace msb::agent {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
constexpr int64_t kMinReserveBytes = 16 * 1024 * 1024;
constexpr uint64_t kAgentMemoryBytes = 8 * 1024 * 1024;
constexpr int kMaxNesting = 32;

// Best effort: a kernel without one controller still has the others.
void Set(const std::string& path, std::string_view value) { (void)WriteSmallFile(path, value); }

// Calls `visit` with each cgroup right below `path`.
template <typename Visit>
void ForEachChild(const std::string& path, Visit visit) {
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') visit(path + "/" + entry->d_name);
  }
}

// Programs may have made cgroups of their own below theirs.
bool RemoveTree(const std::string& path, int depth) {
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return true;
  if (depth == kMaxNesting) return false;
  ForEachChild(path, [&](const std::string& child) { RemoveTree(child, depth + 1); });
  return rmdir(path.c_str()) == 0;
}

void SignalTree(const std::string& path, int signal, int depth) {
  // Longer than any list of processes that pids.max allows.
  StatusOr<std::string> pids = ReadSmallFile(path + "/cgroup.procs", 1024 * 1024);
  if (pids.ok()) {
    const char* next = pids.value().c_str();
    while (*next != '\0') {
      char* end = nullptr;
      const long pid = std::strtol(next, &end, 10);
      if (end == next) break;
      if (pid > 1) kill(static_cast<pid_t>(pid), signal);
      next = *end == '\n' ? end + 1 : end;
    }
  }
  if (depth == kMaxNesting) return;
  ForEachChild(path, [&](const std::string& child) { SignalTree(child, signal, depth + 1); });
}

}  // namespace

void Cgroup::Signal(int signal) const {
  if (directory_.valid()) {
    if (signal == SIGKILL && WriteSmallFile(path_ + "/cgroup.kill", "1").ok()) return;
    SignalTree(path_, signal, 0);
    return;
  }
  if (leader_ <= 1) return;
  ForEachProcess([&](const ProcessInfo& process) {
    if (process.session == leader_) kill(process.pid, signal);
  });
}

bool Cgroup::WasOomKilled() const {
  if (!directory_.valid()) return false;
  StatusOr<std::string> events = ReadSmallFile(path_ + "/memory.events", 4096);
  return events.ok() && NumberOf(events.value(), "oom_kill") > 0;
}

UniqueFd Cgroup::OpenEvents() const {
  if (!directory_.valid()) return UniqueFd();
  return UniqueFd(openat(directory_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
}

bool Cgroup::IsPopulated(int events) {
  char text[256];
  const ssize_t count = pread(events, text, sizeof(text), 0);
  return count > 0 && std::string_view(text, static_cast<size_t>(count)).find("populated 1") !=
                          std::string_view::npos;
}

Status CgroupTree::SetUp() {
  const std::string root = kRoot;
  const std::string run = kRun;
  if (mkdir((root + "/agent").c_str(), 0755) != 0 && errno != EEXIST) {
    return Status::Errno("mkdir", "cgroup");
  }
  if (mkdir(kRun, 0755) != 0 && errno != EEXIST) return Status::Errno("mkdir", "cgroup");
  MSB_RETURN_IF_ERROR(WriteSmallFile(root + "/agent/cgroup.procs", "0"));
  // One write each: one absent controller would make a common write fail.
  for (const char* controller : {"+memory", "+pids", "+cpu"}) {
    Set(root + "/cgroup.subtree_control", controller);
  }
  for (const char* controller : {"+memory", "+pids"}) {
    Set(run + "/cgroup.subtree_control", controller);
  }
  // What the kernel holds by now is not charged to /run: a limit above what is available would
  // never be reached, and the machine as a whole would run out.
  const int64_t total = MemoryBytes("MemTotal:");
  const int64_t available = MemoryBytes("MemAvailable:");
  const int64_t reserve = std::max(kMinReserveBytes, total / 100 * 3);
  if (available > 2 * reserve) Set(run + "/memory.max", std::to_string(available - reserve));
  Set(root + "/agent/memory.min", std::to_string(kAgentMemoryBytes));
  Set(root + "/agent/cpu.weight", "1000");
  const int64_t max_tasks = std::min(ReadNumber("/proc/sys/kernel/threads-max", 32'768),
                                     ReadNumber("/proc/sys/kernel/pid_max", 32'768));
  Set(run + "/pids.max", std::to_string(max_tasks * 9 / 10));
  available_ = true;
  return {};
}

Cgroup CgroupTree::Create(uint32_t stream) {
  if (!available_) return {};
  RemoveEmpty();
  std::string path = std::string(kRun) + "/s" + std::to_string(stream);
  if (mkdir(path.c_str(), 0755) != 0) return {};
  UniqueFd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return {};
  return Cgroup(std::move(path), std::move(directory));
}

void CgroupTree::Remove(const Cgroup& cgroup) {
  if (cgroup.path().empty() || RemoveTree(cgroup.path(), 0)) return;
  removable_.push_back(cgroup.path());
}

void CgroupTree::RemoveEmpty() {
  std::erase_if(removable_, [](const std::string& path) { return RemoveTree(path, 0); });
}

}  // namespace msb::agent
