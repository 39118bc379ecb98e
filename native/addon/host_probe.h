#ifndef MSB_ADDON_HOST_PROBE_H_
#define MSB_ADDON_HOST_PROBE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace msb::addon {

struct LibkrunProbe {
  std::string path;
  bool ok = false;
  // Why it is not ok.
  std::string error;
  std::vector<std::string> missing_functions;
  bool net_feature = false;
  bool blk_feature = false;
  // Absent when libkrun cannot say, as without /dev/kvm.
  std::optional<int32_t> max_vcpus;
};

struct KvmProbe {
  bool device_present = false;
  std::optional<int> open_errno;
  std::optional<int> api_version;
  std::optional<int> create_vm_errno;
};

// What can be known of a host's ability to run microVMs without running one.
struct HostProbe {
  std::optional<LibkrunProbe> libkrun;
  KvmProbe kvm;
  // x86 only: Intel's and AMD's virtualisation, and whether this host is itself a guest.
  bool has_vmx = false;
  bool has_svm = false;
  bool has_hypervisor = false;
  int64_t cpu_count = 0;
  int64_t memory_mib = 0;
  // macOS only.
  std::optional<bool> hvf;
};

// Loads libkrun when a path is given. Takes milliseconds; not for the event loop.
HostProbe ProbeHost(const std::optional<std::string>& libkrun_path);

// The rate of the time-stamp counter, measured over 20 ms and kept; absent on CPUs without one.
std::optional<int64_t> MeasureTscKhz();

}  // namespace msb::addon

#endif  // MSB_ADDON_HOST_PROBE_H_
