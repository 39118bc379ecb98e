#include "krun/krun_context.h"

#include <cstring>

namespace msb {
namespace {

Status Check(int32_t result, const char* function, const std::string& detail = "") {
  if (result >= 0) return Status();
  std::string message = std::string(function) + " failed";
  if (!detail.empty()) message += " for " + detail;
  message += std::string(": ") + std::strerror(-result);
  return Status::Error(function, -result, message);
}

}  // namespace

StatusOr<std::unique_ptr<KrunContext>> KrunContext::Create(const Libkrun& library) {
  const int32_t id = library.create_ctx();
  if (id < 0) return Check(id, "krun_create_ctx");
  return std::unique_ptr<KrunContext>(new KrunContext(library, static_cast<uint32_t>(id)));
}

KrunContext::~KrunContext() {
  if (!consumed_) library_.free_ctx(id_);
}

Status KrunContext::SetMachine(const VmConfig& config) {
  if (library_.has_feature(kKrunFeatureBlk) != 1) {
    return Status::Error("krun_has_feature", ENOTSUP, "libkrun was built without block devices");
  }
  const int32_t max_vcpus = library_.get_max_vcpus();
  if (max_vcpus > 0 && config.vcpu_count > max_vcpus) {
    return Status::Invalid("vcpuCount",
                           "vcpuCount is over this host's limit of " + std::to_string(max_vcpus));
  }
  return Check(library_.set_vm_config(id_, static_cast<uint8_t>(config.vcpu_count),
                                      static_cast<uint32_t>(config.memory_mib)),
               "krun_set_vm_config");
}

Status KrunContext::SetDevices(const VmConfig& config, int console_tty,
                               const std::vector<std::pair<std::string, int>>& port_fds) {
  // Without this libkrun adds a vsock whose TSI lets the guest open sockets of the host.
  MSB_RETURN_IF_ERROR(Check(library_.disable_implicit_vsock(id_), "krun_disable_implicit_vsock"));
  MSB_RETURN_IF_ERROR(
      Check(library_.disable_implicit_console(id_), "krun_disable_implicit_console"));
  MSB_RETURN_IF_ERROR(
      Check(library_.set_kernel(id_, config.kernel_path.c_str(), config.kernel_format, nullptr,
                                config.kernel_command_line.c_str()),
            "krun_set_kernel", config.kernel_path));
  for (const VmConfig::Disk& disk : config.disks) {
    MSB_RETURN_IF_ERROR(
        Check(library_.add_disk(id_, disk.id.c_str(), disk.path.c_str(), disk.read_only),
              "krun_add_disk", disk.path));
  }
  // Only a tty port is a console to the guest; it must be the first device to become hvc0.
  const int32_t console = library_.add_virtio_console_multiport(id_);
  MSB_RETURN_IF_ERROR(Check(console, "krun_add_virtio_console_multiport"));
  MSB_RETURN_IF_ERROR(Check(
      library_.add_console_port_tty(id_, static_cast<uint32_t>(console), "console", console_tty),
      "krun_add_console_port_tty"));
  for (const auto& [name, fd] : port_fds) MSB_RETURN_IF_ERROR(AddPort(name, fd));
  return Status();
}

Status KrunContext::AddPort(const std::string& name, int fd) {
  const int32_t console = library_.add_virtio_console_multiport(id_);
  MSB_RETURN_IF_ERROR(Check(console, "krun_add_virtio_console_multiport"));
  return Check(
      library_.add_console_port_inout(id_, static_cast<uint32_t>(console), name.c_str(), fd, fd),
      "krun_add_console_port_inout", name);
}

Status KrunContext::Enter() {
  consumed_ = true;
  return Check(library_.start_enter(id_), "krun_start_enter");
}

}  // namespace msb
