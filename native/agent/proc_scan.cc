#include "agent/proc_scan.h"

#include <dirent.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "agent/small_file.h"

namespace msb::agent {
namespace {

constexpr unsigned kKernelThreadFlag = 0x00200000;  // PF_KTHREAD

}  // namespace

void ForEachProcess(const std::function<void(const ProcessInfo&)>& visit) {
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc"), closedir);
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    StatusOr<std::string> stat =
        ReadSmallFile(std::string("/proc/") + entry->d_name + "/stat", 4096);
    if (!stat.ok()) continue;
    // The name in parentheses may hold anything, even a parenthesis.
    const size_t name_end = stat.value().rfind(')');
    if (name_end == std::string::npos) continue;
    char state = 0;
    int session = 0;
    unsigned flags = 0;
    if (std::sscanf(stat.value().c_str() + name_end + 1, " %c %*d %*d %d %*d %*d %u", &state,
                    &session, &flags) != 3) {
      continue;
    }
    visit({.pid = static_cast<pid_t>(std::atoi(entry->d_name)),
           .session = session,
           .is_kernel_thread = (flags & kKernelThreadFlag) != 0,
           .is_zombie = state == 'Z' || state == 'X'});
  }
}

}  // namespace msb::agent
