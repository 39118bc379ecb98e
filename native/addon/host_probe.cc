#include "addon/host_probe.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <sstream>

#include "base/fd_util.h"
#include "base/unique_fd.h"
#include "krun/libkrun.h"

#ifdef __linux__
#include <linux/kvm.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace msb::addon {
namespace {

LibkrunProbe ProbeLibkrun(const std::string& path) {
  LibkrunProbe probe;
  probe.path = path;
  StatusOr<const krun::Library*> loaded = krun::LoadLibrary(path, &probe.missing_functions);
  if (!loaded.ok()) {
    probe.error = loaded.status().message();
    return probe;
  }
  const krun::Library& library = *loaded.value();
  probe.ok = true;
  probe.net_feature = library.has_feature(krun::kFeatureNet) == 1;
  probe.blk_feature = library.has_feature(krun::kFeatureBlk) == 1;
  if (const int32_t count = library.get_max_vcpus(); count > 0) probe.max_vcpus = count;
  return probe;
}

#ifdef __linux__

KvmProbe ProbeKvm() {
  KvmProbe probe;
  struct stat info = {};
  probe.device_present = stat("/dev/kvm", &info) == 0;
  UniqueFd device(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!device.valid()) {
    probe.open_errno = errno;
    return probe;
  }
  if (const int version = ioctl(device.get(), KVM_GET_API_VERSION, 0); version >= 0) {
    probe.api_version = version;
  }
  UniqueFd vm(RetryOnEintr([&] { return ioctl(device.get(), KVM_CREATE_VM, 0); }));
  if (!vm.valid()) probe.create_vm_errno = errno;
  return probe;
}

void ProbeCpuFlags(HostProbe* probe) {
  UniqueFd file(open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return;
  // The first CPU's flags are in the first pages.
  std::string text(16 * 1024, '\0');
  const ssize_t count = RetryOnEintr([&] { return read(file.get(), text.data(), text.size()); });
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  const size_t begin = text.find("\nflags");
  if (begin == std::string::npos) return;
  std::istringstream flags(text.substr(begin + 1, text.find('\n', begin + 1) - begin - 1));
  for (std::string flag; flags >> flag;) {
    if (flag == "vmx") probe->has_vmx = true;
    if (flag == "svm") probe->has_svm = true;
    if (flag == "hypervisor") probe->has_hypervisor = true;
  }
}

#endif  // __linux__

int64_t MemoryMib() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / (1024 * 1024);
}

}  // namespace

HostProbe ProbeHost(const std::optional<std::string>& libkrun_path) {
  HostProbe probe;
  if (libkrun_path.has_value()) probe.libkrun = ProbeLibkrun(*libkrun_path);
#ifdef __linux__
  probe.kvm = ProbeKvm();
  ProbeCpuFlags(&probe);
#endif
#ifdef __APPLE__
  int supported = 0;
  size_t size = sizeof supported;
  probe.hvf = sysctlbyname("kern.hv_support", &supported, &size, nullptr, 0) == 0 && supported == 1;
#endif
  probe.cpu_count = sysconf(_SC_NPROCESSORS_ONLN);
  probe.memory_mib = MemoryMib();
  return probe;
}

std::optional<int64_t> MeasureTscKhz() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr int64_t kWindowNanos = 20'000'000;
  static const int64_t khz = [] {
    const auto raw_nanos = [] {
      timespec now = {};
      clock_gettime(CLOCK_MONOTONIC_RAW, &now);
      return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
    };
    const int64_t nanos_before = raw_nanos();
    const uint64_t ticks_before = __rdtsc();
    int64_t nanos = 0;
    while ((nanos = raw_nanos() - nanos_before) < kWindowNanos) {
    }
    const uint64_t ticks = __rdtsc() - ticks_before;
    return static_cast<int64_t>(static_cast<double>(ticks) * 1e6 / static_cast<double>(nanos));
  }();
  return khz;
#else
  return std::nullopt;
#endif
}

}  // namespace msb::addon
