#ifndef MSB_VMM_SANITIZE_H_
#define MSB_VMM_SANITIZE_H_

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "krun/vm_config.h"

namespace msb::vmm {

// The descriptors msb-vmm is started with (native/README.md).
inline constexpr int kConfigFd = 3;
inline constexpr int kReportFd = 4;
inline constexpr int kLifelineFd = 5;
inline constexpr int kReportFileFd = 6;
inline constexpr int kFirstChannelFd = 7;

// Removes what the process should not have inherited: descriptors, environment, signal
// dispositions, session, the right to gain privileges, core dumps. Runs before the config is read.
Status Sanitize();

// Closes what the config shows to be superfluous: the config's own descriptor, channels and files
// that are not in it.
void CloseUnusedFds(const krun::VmConfig& config);

// No file of this process and its children grows over `bytes`.
Status LimitFileSize(uint64_t bytes);

// Default actions and an empty mask for all signals.
void ResetSignals();

}  // namespace msb::vmm

#endif  // MSB_VMM_SANITIZE_H_
