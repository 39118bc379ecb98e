#ifndef MSB_AGENT_PORT_H_
#define MSB_AGENT_PORT_H_

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// Opens the virtio-console port of that name, non-blocking. /dev and /sys must be mounted; the port
// is waited for, since the kernel learns its name from the host only after the device is there.
StatusOr<UniqueFd> OpenPort(std::string_view name, int64_t timeout_ms);

}  // namespace msb::agent

#endif  // MSB_AGENT_PORT_H_
