#ifndef MSB_KRUN_KRUN_CONTEXT_H_
#define MSB_KRUN_KRUN_CONTEXT_H_

#include <memory>
#include <vector>

#include "base/status.h"
#include "krun/libkrun.h"
#include "krun/vm_config.h"

namespace msb {

// One configuration context of libkrun, freed with its owner. Failures carry the krun_* name and
// errno.
class KrunContext {
 public:
  static StatusOr<std::unique_ptr<KrunContext>> Create(const Libkrun& library);
  ~KrunContext();
  KrunContext(const KrunContext&) = delete;
  KrunContext& operator=(const KrunContext&) = delete;

  // vCPUs, memory and features: what can be checked without opening anything.
  Status SetMachine(const VmConfig& config);
  // Kernel, disks, consoles. `console_tty` becomes hvc0; each of `port_fds` is a port named as its
  // channel.
  Status SetDevices(const VmConfig& config, int console_tty,
                    const std::vector<std::pair<std::string, int>>& port_fds);
  // Runs the VM. Returns only when it could not be started; otherwise the process exits with the
  // guest.
  Status Enter();

 private:
  KrunContext(const Libkrun& library, uint32_t id) : library_(library), id_(id) {}
  Status AddPort(const std::string& name, int fd);

  const Libkrun& library_;
  uint32_t id_;
  bool consumed_ = false;
};

}  // namespace msb

#endif  // MSB_KRUN_KRUN_CONTEXT_H_
