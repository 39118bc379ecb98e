#ifndef MSB_KRUN_KRUN_CONTEXT_H_
#define MSB_KRUN_KRUN_CONTEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "krun/libkrun.h"
#include "krun/vm_config.h"

namespace msb::krun {

// One libkrun configuration context. Every failure carries the name of the libkrun function and its
// errno.
class KrunContext {
 public:
  // `library` must outlive the context.
  static StatusOr<KrunContext> Create(const Library& library);
  KrunContext(KrunContext&& other) noexcept;
  KrunContext& operator=(KrunContext&&) = delete;
  KrunContext(const KrunContext&) = delete;
  ~KrunContext();

  // Machine size, disks, kernel, and none of the devices that libkrun adds by itself: its vsock
  // would let the guest open sockets of the host.
  Status Configure(const VmConfig& config);
  // The guest's hvc0. `tty` must be a terminal: libkrun gives no other port the console role.
  Status AddConsole(int tty);
  // A port named `name` under /dev/virtio-ports of the guest. `fd` is read and written.
  Status AddPort(const std::string& name, int fd);
  // Does not return when the VM was entered.
  Status Enter();

 private:
  KrunContext(const Library* library, uint32_t id) : library_(library), id_(id) {}
  StatusOr<uint32_t> AddConsoleDevice();

  const Library* library_;
  uint32_t id_;
};

// Can this library run this machine at all? Makes a context, configures it and frees it; boots
// nothing.
Status DryRun(const Library& library, const VmConfig& config);

}  // namespace msb::krun

#endif  // MSB_KRUN_KRUN_CONTEXT_H_
