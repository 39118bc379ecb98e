#ifndef MSB_ADDON_VMM_WATCH_H_
#define MSB_ADDON_VMM_WATCH_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "addon/vmm_spawn.h"

namespace msb {

struct VmmExit {
  std::optional<int> exit_code;
  std::optional<int> signal;
};

// Follows one msb-vmm on a thread of its own: its report, then its end, and reaps it. The thread
// keeps the object alive until the process is gone.
class VmmWatch : public std::enable_shared_from_this<VmmWatch> {
 public:
  using OnLine = std::function<void(std::string line)>;
  using OnExit = std::function<void(VmmExit exit)>;

  explicit VmmWatch(SpawnedVmm vmm);

  // Both are called on the watching thread; on_exit comes once, after the last line. Call once.
  void Start(OnLine on_line, OnExit on_exit);

  pid_t pid() const { return pid_; }
  // False when the process is gone.
  bool Kill(int signal);
  // Ends the VM unless it is detached; the owner does this when it goes away.
  void CloseLifeline();

 private:
  void Follow(const OnLine& on_line);
  VmmExit Reap();

  const pid_t pid_;
  UniqueFd report_;
  std::mutex mutex_;
  UniqueFd lifeline_;
  bool gone_ = false;
};

}  // namespace msb

#endif  // MSB_ADDON_VMM_WATCH_H_
