#include "krun/krun_context.h"

#include <cstring>
#include <utility>

namespace msb::krun {
namespace {

Status Check(const char* function, int32_t result, const std::string& subject = "") {
  if (result >= 0) return Status();
  std::string message = function;
  if (!subject.empty()) message += "(" + subject + ")";
  return Status::Error(function, -result, message + ": " + std::strerror(-result));
}

}  // namespace

StatusOr<KrunContext> KrunContext::Create(const Library& library) {
  const int32_t id = library.create_ctx();
  MSB_RETURN_IF_ERROR(Check("krun_create_ctx", id));
  return KrunContext(&library, static_cast<uint32_t>(id));
}

KrunContext::KrunContext(KrunContext&& other) noexcept
    : library_(std::exchange(other.library_, nullptr)), id_(other.id_) {}

KrunContext::~KrunContext() {
  if (library_ != nullptr) library_->free_ctx(id_);
}

Status KrunContext::Configure(const VmConfig& config) {
  MSB_RETURN_IF_ERROR(Check(
      "krun_set_vm_config",
      library_->set_vm_config(id_, static_cast<uint8_t>(config.vcpu_count), config.memory_mib)));
  MSB_RETURN_IF_ERROR(Check("krun_disable_implicit_vsock", library_->disable_implicit_vsock(id_)));
  MSB_RETURN_IF_ERROR(
      Check("krun_disable_implicit_console", library_->disable_implicit_console(id_)));
  for (const DiskConfig& disk : config.disks) {
    MSB_RETURN_IF_ERROR(Check(
        "krun_add_disk",
        library_->add_disk(id_, disk.id.c_str(), disk.path.c_str(), disk.read_only), disk.path));
  }
  return Check("krun_set_kernel",
               library_->set_kernel(
                   id_, config.kernel_path.c_str(), static_cast<uint32_t>(config.kernel_format),
                   config.initramfs_path.c_str(), config.kernel_command_line.c_str()),
               config.kernel_path);
}

StatusOr<uint32_t> KrunContext::AddConsoleDevice() {
  const int32_t device = library_->add_virtio_console_multiport(id_);
  MSB_RETURN_IF_ERROR(Check("krun_add_virtio_console_multiport", device));
  return static_cast<uint32_t>(device);
}

Status KrunContext::AddConsole(int tty) {
  StatusOr<uint32_t> device = AddConsoleDevice();
  if (!device.ok()) return device.status();
  return Check("krun_add_console_port_tty",
               library_->add_console_port_tty(id_, device.value(), "console", tty));
}

Status KrunContext::AddPort(const std::string& name, int fd) {
  StatusOr<uint32_t> device = AddConsoleDevice();
  if (!device.ok()) return device.status();
  return Check("krun_add_console_port_inout",
               library_->add_console_port_inout(id_, device.value(), name.c_str(), fd, fd), name);
}

Status KrunContext::Enter() {
  const int32_t result = library_->start_enter(id_);
  // start_enter takes the context away even when it fails.
  library_ = nullptr;
  if (result >= 0) return Status::Error("krun_start_enter", 0, "krun_start_enter returned");
  return Check("krun_start_enter", result);
}

Status DryRun(const Library& library, const VmConfig& config) {
  const int32_t max_vcpus = library.get_max_vcpus();
  MSB_RETURN_IF_ERROR(Check("krun_get_max_vcpus", max_vcpus));
  if (config.vcpu_count > max_vcpus) {
    return Status::Invalid("vcpuCount",
                           "this host runs at most " + std::to_string(max_vcpus) + " vCPUs a VM");
  }
  if (library.has_feature(kFeatureBlk) != 1) {
    return Status::Error("krun_has_feature", ENOTSUP,
                         "this libkrun was built without disks (BLK=1)");
  }
  StatusOr<KrunContext> context = KrunContext::Create(library);
  if (!context.ok()) return context.status();
  return context.value().Configure(config);
}

}  // namespace msb::krun
