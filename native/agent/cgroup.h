#ifndef MSB_AGENT_CGROUP_H_
#define MSB_AGENT_CGROUP_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// The cgroup of one exec: everything it started, however far it forked. Without cgroups in the
// kernel it stands for the session of the first process.
class Cgroup {
 public:
  Cgroup() = default;
  Cgroup(std::string path, UniqueFd directory)
      : path_(std::move(path)), directory_(std::move(directory)) {}

  // For clone3(CLONE_INTO_CGROUP); -1 without cgroups.
  int directory() const { return directory_.get(); }
  // The session to signal when there are no cgroups.
  void SetLeader(pid_t pid) { leader_ = pid; }

  void Kill() const { Signal(9); }
  void Signal(int signal) const;
  // Whether the out-of-memory killer took a process of it.
  bool WasOomKilled() const;
  // Readable with EPOLLPRI whenever IsPopulated() may have changed; invalid without cgroups.
  UniqueFd OpenEvents() const;
  // Whether any process of it still lives, by the descriptor of OpenEvents().
  static bool IsPopulated(int events);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  UniqueFd directory_;
  pid_t leader_ = 0;
};

// /agent for the agent itself, /run/s<stream> for each exec. /run as a whole is limited so that
// neither memory nor process ids run out for the agent.
class CgroupTree {
 public:
  static constexpr char kRun[] = "/sys/fs/cgroup/run";

  // cgroup2 must be mounted on /sys/fs/cgroup. A failure means: go on without cgroups.
  Status SetUp();
  // Without SetUp it gives the kind that has no cgroup.
  Cgroup Create(uint32_t stream);
  // Removes the cgroup as soon as its last process is gone.
  void Remove(const Cgroup& cgroup);
  // Removes what can be removed by now.
  void RemoveEmpty();

 private:
  bool available_ = false;
  std::vector<std::string> removable_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_CGROUP_H_
