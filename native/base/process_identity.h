#ifndef MSB_BASE_PROCESS_IDENTITY_H_
#define MSB_BASE_PROCESS_IDENTITY_H_

#include <sys/types.h>

#include <string>

#include "base/status.h"

namespace msb {

// When the process `pid` was started: one word that tells it from every other process that had or
// will have its number, on this boot of the host or another. ESRCH when there is none, or when it
// has ended and only waits to be reaped.
StatusOr<std::string> ProcessStartTime(pid_t pid);

}  // namespace msb

#endif  // MSB_BASE_PROCESS_IDENTITY_H_
