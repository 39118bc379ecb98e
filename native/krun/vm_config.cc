#include "krun/vm_config.h"

#include "base/json.h"
#include "krun/libkrun.h"

namespace msb {
namespace {

constexpr int kMaxVcpus = 255;              // libkrun takes one byte
constexpr int64_t kMaxMemoryMib = 1 << 22;  // 4 TiB
constexpr size_t kMaxDisks = 16;
constexpr size_t kMaxQemuArgs = 512;

// Takes the value out of a StatusOr or returns its error from the enclosing function.
#define MSB_ASSIGN(target, expression)          \
  do {                                          \
    auto result_ = (expression);                \
    if (!result_.ok()) return result_.status(); \
    target = std::move(result_.value());        \
  } while (0)

Status CheckAbsolute(const std::string& field, const std::string& path) {
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos) {
    return Status::Invalid(field, field + " is not an absolute path");
  }
  return Status();
}

StatusOr<VmConfig::Disk> ParseDisk(const Json& json) {
  VmConfig::Disk disk;
  MSB_ASSIGN(disk.id, json.GetString("id"));
  MSB_ASSIGN(disk.path, json.GetString("path"));
  MSB_ASSIGN(disk.read_only, json.GetBool("readOnly"));
  if (disk.id.empty() || disk.id.size() > 20) {
    return Status::Invalid("disks", "a disk id has 1 to 20 characters");
  }
  MSB_RETURN_IF_ERROR(CheckAbsolute("disks", disk.path));
  return disk;
}

Status ParseLibkrun(const Json& json, VmConfig* config) {
  MSB_ASSIGN(config->libkrun_path, json.GetString("libkrunPath"));
  MSB_RETURN_IF_ERROR(CheckAbsolute("libkrunPath", config->libkrun_path));
  MSB_ASSIGN(config->kernel_path, json.GetString("kernelPath"));
  MSB_RETURN_IF_ERROR(CheckAbsolute("kernelPath", config->kernel_path));
  MSB_ASSIGN(config->kernel_command_line, json.GetString("kernelCommandLine"));
  std::string format;
  MSB_ASSIGN(format, json.GetString("kernelFormat"));
  if (format == "elf") {
    config->kernel_format = kKrunKernelFormatElf;
  } else if (format == "raw") {
    config->kernel_format = kKrunKernelFormatRaw;
  } else {
    return Status::Invalid("kernelFormat", "kernelFormat is neither elf nor raw");
  }
  return Status();
}

Status ParseQemu(const Json& json, VmConfig* config) {
  MSB_ASSIGN(config->qemu_path, json.GetString("qemuPath"));
  MSB_RETURN_IF_ERROR(CheckAbsolute("qemuPath", config->qemu_path));
  MSB_ASSIGN(config->qemu_args, json.GetStrings("qemuArgs", kMaxQemuArgs));
  for (const std::string& arg : config->qemu_args) {
    if (arg.find('\0') != std::string::npos) {
      return Status::Invalid("qemuArgs", "an argument holds a NUL character");
    }
  }
  return Status();
}

Status ParseCommon(const Json& json, VmConfig* config) {
  int64_t vcpu_count = 0;
  MSB_ASSIGN(vcpu_count, json.GetInt("vcpuCount", 1, kMaxVcpus));
  config->vcpu_count = static_cast<int>(vcpu_count);
  MSB_ASSIGN(config->memory_mib, json.GetInt("memoryMiB", 1, kMaxMemoryMib));
  MSB_ASSIGN(config->detached, json.GetBool("detached", false));
  MSB_ASSIGN(config->lease_ms, json.GetInt("leaseMs", 0, int64_t{1} << 40, 0));
  MSB_ASSIGN(config->channels, json.GetStrings("channels", kMaxChannels));
  for (const std::string& channel : config->channels) {
    if (channel.empty()) return Status::Invalid("channels", "a channel has no name");
  }
  const Json* disks = json.Find("disks");
  if (disks == nullptr || disks->AsArray() == nullptr || disks->AsArray()->size() > kMaxDisks) {
    return Status::Invalid("disks", "disks is not a list of at most 16 disks");
  }
  for (const Json& item : *disks->AsArray()) {
    VmConfig::Disk disk;
    MSB_ASSIGN(disk, ParseDisk(item));
    config->disks.push_back(std::move(disk));
  }
  return Status();
}

}  // namespace

StatusOr<VmConfig> VmConfig::Parse(std::string_view text) {
  StatusOr<Json> parsed = Json::Parse(text, kMaxConfigBytes);
  if (!parsed.ok()) return parsed.status();
  const Json& json = parsed.value();
  VmConfig config;
  MSB_RETURN_IF_ERROR(ParseCommon(json, &config));
  std::string driver;
  MSB_ASSIGN(driver, json.GetString("driver"));
  if (driver == "libkrun") {
    config.driver = Driver::kLibkrun;
    MSB_RETURN_IF_ERROR(ParseLibkrun(json, &config));
  } else if (driver == "qemu") {
    config.driver = Driver::kQemu;
    MSB_RETURN_IF_ERROR(ParseQemu(json, &config));
  } else {
    return Status::Invalid("driver", "driver is neither libkrun nor qemu");
  }
  return config;
}

}  // namespace msb
