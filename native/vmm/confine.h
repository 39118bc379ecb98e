#ifndef MSB_VMM_CONFINE_H_
#define MSB_VMM_CONFINE_H_

#include <string>
#include <vector>

#include "base/status.h"
#include "krun/vm_config.h"

namespace msb::vmm {

// Takes from the VM process what its VM does not need, for good: files beyond its disks and
// libraries where the kernel has Landlock. Returns the names of all measures that hold from now on,
// those of Sanitize() included. A kernel that lacks one is no error; a measure that it has and that
// fails is.
StatusOr<std::vector<std::string>> Confine(const krun::VmConfig& config);

}  // namespace msb::vmm

#endif  // MSB_VMM_CONFINE_H_
