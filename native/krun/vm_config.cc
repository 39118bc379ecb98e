#include "krun/vm_config.h"

#include <algorithm>
#include <initializer_list>
#include <set>

#include "base/json.h"

namespace msb::krun {
namespace {

// libkrun takes the count as one byte.
constexpr int64_t kMaxVcpus = 255;
constexpr int64_t kMinMemoryMib = 16;
constexpr int64_t kMaxMemoryMib = 16 * 1024 * 1024;
constexpr int64_t kMaxLeaseMs = 366LL * 24 * 3600 * 1000;
// One letter each: vda to vdz.
constexpr size_t kMaxDisks = 26;
constexpr size_t kMaxNameBytes = 32;
constexpr size_t kMaxPathBytes = 4095;
// The x86 kernel cuts its command line there.
constexpr size_t kMaxCommandLineBytes = 2047;
constexpr size_t kMaxQemuArgs = 512;

Status CheckFields(const Json& object, const std::string& prefix,
                   std::initializer_list<std::string_view> known) {
  for (const auto& member : *object.AsObject()) {
    if (std::find(known.begin(), known.end(), member.first) == known.end()) {
      return Status::Invalid(prefix + member.first, "unknown field");
    }
  }
  return Status();
}

bool IsName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

// Strings of the config become C strings, so a NUL would silently cut them.
Status CheckText(const std::string& field, const std::string& value, size_t max_bytes) {
  if (value.find('\0') != std::string::npos) return Status::Invalid(field, "holds a NUL byte");
  if (value.size() > max_bytes) {
    return Status::Invalid(field, "is longer than " + std::to_string(max_bytes) + " bytes");
  }
  return Status();
}

template <typename T, typename U>
Status Assign(StatusOr<T> from, U* to) {
  if (!from.ok()) return from.status();
  *to = static_cast<U>(std::move(from.value()));
  return Status();
}

Status GetPath(const Json& object, const std::string& prefix, std::string_view key,
               std::string* path) {
  const std::string field = prefix + std::string(key);
  StatusOr<std::string> value = object.GetString(key);
  if (!value.ok()) return Status::Invalid(field, value.status().message());
  *path = std::move(value.value());
  if (path->empty() || path->front() != '/')
    return Status::Invalid(field, "is not an absolute path");
  return CheckText(field, *path, kMaxPathBytes);
}

Status ParseDriver(const Json& json, VmConfig* config) {
  std::string name;
  MSB_RETURN_IF_ERROR(Assign(json.GetString("driver"), &name));
  if (name == "libkrun") {
    config->driver = Driver::kLibkrun;
  } else if (name == "qemu") {
    config->driver = Driver::kQemu;
  } else {
    return Status::Invalid("driver", "is neither \"libkrun\" nor \"qemu\"");
  }
  return Status();
}

Status ParseChannels(const Json& json, VmConfig* config) {
  MSB_RETURN_IF_ERROR(Assign(json.GetStrings("channels", kMaxChannels), &config->channels));
  std::set<std::string> seen;
  for (const std::string& name : config->channels) {
    if (!IsName(name)) return Status::Invalid("channels", "names are 1 to 32 of A-Z a-z 0-9 - _");
    if (!seen.insert(name).second)
      return Status::Invalid("channels", "\"" + name + "\" is there twice");
  }
  if (config->lease_ms > 0 && !seen.contains(std::string(kAgentChannel))) {
    return Status::Invalid("leaseMs", "needs a channel \"agent\" to watch");
  }
  return Status();
}

Status ParseDisks(const Json& json, VmConfig* config) {
  const Json* member = json.Find("disks");
  const Json::Array* disks = member == nullptr ? nullptr : member->AsArray();
  if (disks == nullptr || disks->size() > kMaxDisks) {
    return Status::Invalid("disks", "is not an array of at most 26 disks");
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < disks->size(); ++i) {
    const Json& entry = (*disks)[i];
    const std::string prefix = "disks[" + std::to_string(i) + "].";
    if (entry.AsObject() == nullptr)
      return Status::Invalid("disks[" + std::to_string(i) + "]", "is not an object");
    MSB_RETURN_IF_ERROR(CheckFields(entry, prefix, {"id", "path", "readOnly"}));
    DiskConfig disk;
    StatusOr<std::string> id = entry.GetString("id");
    if (!id.ok() || !IsName(id.value())) {
      return Status::Invalid(prefix + "id", "is not a name of 1 to 32 of A-Z a-z 0-9 - _");
    }
    disk.id = std::move(id.value());
    if (!seen.insert(disk.id).second) return Status::Invalid(prefix + "id", "is there twice");
    MSB_RETURN_IF_ERROR(GetPath(entry, prefix, "path", &disk.path));
    StatusOr<bool> read_only = entry.GetBool("readOnly");
    if (!read_only.ok()) return Status::Invalid(prefix + "readOnly", read_only.status().message());
    disk.read_only = read_only.value();
    config->disks.push_back(std::move(disk));
  }
  return Status();
}

Status ParseLibkrun(const Json& json, VmConfig* config) {
  MSB_RETURN_IF_ERROR(GetPath(json, "", "libkrunPath", &config->libkrun_path));
  MSB_RETURN_IF_ERROR(GetPath(json, "", "kernelPath", &config->kernel_path));
  MSB_RETURN_IF_ERROR(GetPath(json, "", "initramfsPath", &config->initramfs_path));
  std::string format;
  MSB_RETURN_IF_ERROR(Assign(json.GetString("kernelFormat"), &format));
  if (format != "elf" && format != "raw") {
    return Status::Invalid("kernelFormat", "is neither \"elf\" nor \"raw\"");
  }
  config->kernel_format = format == "elf" ? KernelFormat::kElf : KernelFormat::kRaw;
  MSB_RETURN_IF_ERROR(Assign(json.GetString("kernelCommandLine"), &config->kernel_command_line));
  return CheckText("kernelCommandLine", config->kernel_command_line, kMaxCommandLineBytes);
}

Status ParseQemu(const Json& json, VmConfig* config) {
  MSB_RETURN_IF_ERROR(GetPath(json, "", "qemuPath", &config->qemu_path));
  MSB_RETURN_IF_ERROR(Assign(json.GetStrings("qemuArgs", kMaxQemuArgs), &config->qemu_args));
  for (const std::string& argument : config->qemu_args) {
    MSB_RETURN_IF_ERROR(CheckText("qemuArgs", argument, kMaxConfigBytes));
  }
  return Assign(json.GetInt("fileCount", 0, kMaxFiles, 0), &config->file_count);
}

}  // namespace

StatusOr<VmConfig> ParseVmConfig(std::string_view text) {
  StatusOr<Json> parsed = Json::Parse(text, kMaxConfigBytes);
  if (!parsed.ok()) return Status::Invalid("config", parsed.status().message());
  const Json& json = parsed.value();
  if (json.AsObject() == nullptr) return Status::Invalid("config", "is not an object");

  VmConfig config;
  MSB_RETURN_IF_ERROR(ParseDriver(json, &config));
  if (config.driver == Driver::kLibkrun) {
    MSB_RETURN_IF_ERROR(CheckFields(
        json, "",
        {"driver", "detached", "leaseMs", "vcpuCount", "memoryMiB", "channels", "disks",
         "libkrunPath", "kernelPath", "kernelFormat", "initramfsPath", "kernelCommandLine"}));
  } else {
    MSB_RETURN_IF_ERROR(CheckFields(json, "",
                                    {"driver", "detached", "leaseMs", "vcpuCount", "memoryMiB",
                                     "channels", "disks", "qemuPath", "qemuArgs", "fileCount"}));
  }
  MSB_RETURN_IF_ERROR(Assign(json.GetBool("detached", false), &config.detached));
  MSB_RETURN_IF_ERROR(Assign(json.GetInt("leaseMs", 0, kMaxLeaseMs, 0), &config.lease_ms));
  MSB_RETURN_IF_ERROR(Assign(json.GetInt("vcpuCount", 1, kMaxVcpus), &config.vcpu_count));
  MSB_RETURN_IF_ERROR(
      Assign(json.GetInt("memoryMiB", kMinMemoryMib, kMaxMemoryMib), &config.memory_mib));
  MSB_RETURN_IF_ERROR(ParseChannels(json, &config));
  MSB_RETURN_IF_ERROR(ParseDisks(json, &config));
  MSB_RETURN_IF_ERROR(config.driver == Driver::kLibkrun ? ParseLibkrun(json, &config)
                                                        : ParseQemu(json, &config));
  return config;
}

}  // namespace msb::krun
