#ifndef MSB_ADDON_PROCESS_WATCH_H_
#define MSB_ADDON_PROCESS_WATCH_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "addon/vmm_spawn.h"
#include "base/status.h"

namespace msb::addon {

// The supervisor `pid` that another process has started at `start_time` (ProcessStartTime), to be
// watched; nothing when it is gone, whoever has its number now.
StatusOr<std::optional<VmmProcess>> OpenVmm(pid_t pid, const std::string& start_time);

}  // namespace msb::addon

#endif  // MSB_ADDON_PROCESS_WATCH_H_
