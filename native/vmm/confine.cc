#include "vmm/confine.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <utility>

#include "vmm/landlock.h"

namespace msb::vmm {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string RealPath(const std::string& path) {
  char buffer[PATH_MAX];
  return realpath(path.c_str(), buffer) == nullptr ? path : std::string(buffer);
}

Status AllowLibraries(Landlock* landlock) {
  // /nix: on systems built with it, the libraries of everything.
  for (const char* path : {"/usr", "/lib", "/lib64", "/bin", "/nix/store"}) {
    MSB_RETURN_IF_ERROR(landlock->AllowExecute(path));
  }
  for (const char* path :
       {"/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/dev/urandom",
        "/sys/devices/system", "/sys/module/kvm", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
        "/proc/filesystems", "/proc/sys/vm", "/proc/sys/kernel"}) {
    MSB_RETURN_IF_ERROR(landlock->AllowRead(path));
  }
  for (const char* path : {"/dev/kvm", "/dev/null"})
    MSB_RETURN_IF_ERROR(landlock->AllowWrite(path));
  return Status();
}

Status AllowDisks(const krun::VmConfig& config, Landlock* landlock) {
  for (const krun::DiskConfig& disk : config.disks) {
    MSB_RETURN_IF_ERROR(disk.read_only ? landlock->AllowRead(disk.path)
                                       : landlock->AllowWrite(disk.path));
  }
  return Status();
}

Status AllowDriver(const krun::VmConfig& config, Landlock* landlock) {
  if (config.driver == krun::Driver::kLibkrun) {
    // The library is loaded by now and needs no file beside it, since the kernel is our own file.
    MSB_RETURN_IF_ERROR(landlock->AllowRead(config.kernel_path));
    return landlock->AllowRead(config.initramfs_path);
  }
  const std::string program = RealPath(config.qemu_path);
  MSB_RETURN_IF_ERROR(landlock->AllowExecute(program));
  // Under a prefix of its own QEMU has its libraries and firmware beside its folder. Not the whole
  // prefix: that may be somebody's home.
  for (const char* folder : {"/lib", "/lib64", "/libexec", "/share"}) {
    MSB_RETURN_IF_ERROR(landlock->AllowExecute(ParentOf(ParentOf(program)) + folder));
  }
  // The kernel, its initramfs, and whatever else the command line names as an argument of its own.
  // Only files: "/" must not open everything.
  for (const std::string& argument : config.qemu_args) {
    if (argument.starts_with('/') && !argument.ends_with('/')) {
      MSB_RETURN_IF_ERROR(landlock->AllowReadFile(argument));
    }
  }
  return Status();
}

}  // namespace

StatusOr<std::vector<std::string>> Confine(const krun::VmConfig& config) {
  std::vector<std::string> measures = {"rlimits", "empty-environment", "own-fds", "session"};
#ifdef __linux__
  measures.insert(measures.begin(), {"no_new_privs", "dies-with-supervisor"});
  // An execve makes the process dumpable again.
  if (config.driver == krun::Driver::kLibkrun) measures.push_back("not-dumpable");
#endif
  if (Landlock::KernelVersion() == 0) return measures;
  Landlock landlock;
  MSB_RETURN_IF_ERROR(landlock.Open());
  MSB_RETURN_IF_ERROR(AllowLibraries(&landlock));
  MSB_RETURN_IF_ERROR(AllowDisks(config, &landlock));
  MSB_RETURN_IF_ERROR(AllowDriver(config, &landlock));
  MSB_RETURN_IF_ERROR(landlock.Enforce());
  for (std::string& measure : landlock.Measures()) measures.push_back(std::move(measure));
  return measures;
}

}  // namespace msb::vmm
