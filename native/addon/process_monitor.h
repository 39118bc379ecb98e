#ifndef MSB_ADDON_PROCESS_MONITOR_H_
#define MSB_ADDON_PROCESS_MONITOR_H_

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "addon/vmm_spawn.h"
#include "base/unique_fd.h"

namespace msb::addon {

// How a process ended. Both are absent when somebody else has reaped it, as with what is no child.
struct ProcessExit {
  std::optional<int> exit_code;
  std::optional<int> signal;
};

// Told of one process by the monitor's thread.
class ProcessListener {
 public:
  virtual ~ProcessListener() = default;
  virtual void OnLine(std::string line) = 0;
  // The last call, after all lines.
  virtual void OnExit(const ProcessExit& exit) = 0;
};

// An msb-vmm from its start, or from its adoption, until its end was seen. Any thread may call.
class MonitoredProcess {
 public:
  MonitoredProcess(VmmProcess process, std::shared_ptr<ProcessListener> listener);

  pid_t pid() const { return pid_; }
  bool is_child() const { return is_child_; }
  // False when the process is gone.
  bool Kill(int signal_number);
  // Gives up ownership: the VM ends. Nothing happens when it is detached.
  void CloseLifeline();

 private:
  friend class ProcessMonitor;

  // The rest is the monitor's thread's.
  void ReadReport();
  // True when the process has ended and everybody was told.
  bool Reap();

  const pid_t pid_;
  const bool is_child_;
  const std::string start_time_;
  const std::shared_ptr<ProcessListener> listener_;
  UniqueFd report_;
  std::string partial_line_;
  // A handle may live long after its process, so nothing stays open after the reaping.
  std::mutex mutex_;
  UniqueFd pidfd_;
  UniqueFd lifeline_;
  bool is_reaped_ = false;
};

// One thread a process (not an environment: Workers share it) that reads all reports and reaps all
// supervisors. It is started with the first process and runs until the end.
class ProcessMonitor {
 public:
  // Null when its thread could not be started.
  static ProcessMonitor* Get();

  void Watch(std::shared_ptr<MonitoredProcess> process);

 private:
  ProcessMonitor() = default;
  Status Start();
  [[noreturn]] void Run();

  UniqueFd wake_read_;
  UniqueFd wake_write_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<MonitoredProcess>> added_;
  // The thread's own.
  std::vector<std::shared_ptr<MonitoredProcess>> watched_;
};

}  // namespace msb::addon

#endif  // MSB_ADDON_PROCESS_MONITOR_H_
