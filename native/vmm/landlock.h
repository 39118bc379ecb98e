#ifndef MSB_VMM_LANDLOCK_H_
#define MSB_VMM_LANDLOCK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::vmm {

// The kernel's unprivileged sandbox: after Enforce() this thread, and what it starts, opens only
// what was allowed. Descriptors that are already open stay usable. Without C library support, hence
// system calls of our own.
class Landlock {
 public:
  // 0 when the kernel has none.
  static int KernelVersion();

  Status Open();

  // Rules for a file, or for all below a folder. A path that does not exist is skipped: nothing to
  // allow.
  Status AllowRead(const std::string& path);
  Status AllowReadFile(const std::string& path);  // skips folders, too
  Status AllowExecute(const std::string& path);
  Status AllowWrite(const std::string& path);

  // Needs no_new_privs.
  Status Enforce();

  // What holds: "landlock", and more with newer kernels.
  std::vector<std::string> Measures() const;

 private:
  Status Allow(const std::string& path, uint64_t access);

  int version_ = 0;
  uint64_t handled_ = 0;
  UniqueFd ruleset_;
};

}  // namespace msb::vmm

#endif  // MSB_VMM_LANDLOCK_H_
