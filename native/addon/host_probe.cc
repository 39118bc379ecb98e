#include "addon/host_probe.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>

#include "addon/promise_worker.h"
#include "base/unique_fd.h"
#include "krun/krun_context.h"
#include "krun/libkrun.h"
#include "krun/vm_config.h"

#ifdef __linux__
#include <linux/kvm.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#ifdef __x86_64__
#include <x86intrin.h>
#endif

namespace msb {
namespace {

struct LibraryProbe {
  std::string path;
  std::optional<std::string> error;
  bool net = false;
  bool blk = false;
  int max_vcpus = 0;
};

struct HostFacts {
  std::optional<LibraryProbe> library;
  bool kvm_present = false;
  std::optional<int> kvm_open_errno;
  std::optional<int> kvm_create_errno;
  int kvm_api_version = 0;
  bool vmx = false;
  bool svm = false;
  bool hypervisor = false;
  std::optional<bool> hvf;
};

LibraryProbe ProbeLibrary(const std::string& path) {
  LibraryProbe probe;
  probe.path = path;
  StatusOr<const Libkrun*> library = Libkrun::Load(path);
  if (!library.ok()) {
    probe.error = library.status().message();
    return probe;
  }
  probe.net = library.value()->has_feature(kKrunFeatureNet) == 1;
  probe.blk = library.value()->has_feature(kKrunFeatureBlk) == 1;
  probe.max_vcpus = library.value()->get_max_vcpus();
  return probe;
}

#ifdef __linux__
void ProbeKvm(HostFacts* facts) {
  facts->kvm_present = access("/dev/kvm", F_OK) == 0;
  if (!facts->kvm_present) return;
  UniqueFd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm.valid()) {
    facts->kvm_open_errno = errno;
    return;
  }
  facts->kvm_api_version = ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
  UniqueFd vm(ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!vm.valid()) facts->kvm_create_errno = errno;
}

bool HasWord(const char* line, const char* word) {
  const std::string padded = std::string(" ") + word + " ";
  return std::string(line).find(padded) != std::string::npos;
}

void ProbeCpuFlags(HostFacts* facts) {
  FILE* file = std::fopen("/proc/cpuinfo", "re");
  if (file == nullptr) return;
  char* line = nullptr;
  size_t capacity = 0;
  while (getline(&line, &capacity, file) > 0) {
    if (std::strncmp(line, "flags", 5) != 0) continue;
    if (char* end = std::strchr(line, '\n'); end != nullptr) *end = ' ';
    facts->vmx = HasWord(line, "vmx");
    facts->svm = HasWord(line, "svm");
    facts->hypervisor = HasWord(line, "hypervisor");
    break;
  }
  std::free(line);
  std::fclose(file);
}
#endif

HostFacts Probe(const std::optional<std::string>& libkrun_path) {
  HostFacts facts;
  if (libkrun_path) facts.library = ProbeLibrary(*libkrun_path);
#ifdef __linux__
  ProbeKvm(&facts);
  ProbeCpuFlags(&facts);
#endif
#ifdef __APPLE__
  int supported = 0;
  size_t size = sizeof supported;
  facts.hvf = sysctlbyname("kern.hv_support", &supported, &size, nullptr, 0) == 0 && supported == 1;
#endif
  return facts;
}

Napi::Value NumberOrNull(Napi::Env env, const std::optional<int>& value) {
  return value ? Napi::Value(Napi::Number::New(env, *value)) : env.Null();
}

Napi::Value LibraryToJs(Napi::Env env, const std::optional<LibraryProbe>& probe) {
  if (!probe) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", probe->path);
  object.Set("ok", !probe->error.has_value());
  if (probe->error) object.Set("error", *probe->error);
  object.Set("netFeature", probe->net);
  object.Set("blkFeature", probe->blk);
  object.Set("maxVcpus", probe->max_vcpus);
  return object;
}

Napi::Value FactsToJs(Napi::Env env, const HostFacts& facts) {
  Napi::Object kvm = Napi::Object::New(env);
  kvm.Set("devicePresent", facts.kvm_present);
  kvm.Set("openErrno", NumberOrNull(env, facts.kvm_open_errno));
  kvm.Set("apiVersion", facts.kvm_api_version);
  kvm.Set("createVmErrno", NumberOrNull(env, facts.kvm_create_errno));
  Napi::Object flags = Napi::Object::New(env);
  flags.Set("vmx", facts.vmx);
  flags.Set("svm", facts.svm);
  flags.Set("hypervisor", facts.hypervisor);
  Napi::Object object = Napi::Object::New(env);
  object.Set("libkrun", LibraryToJs(env, facts.library));
  object.Set("kvm", kvm);
  object.Set("cpuFlags", flags);
  object.Set("hvf", facts.hvf ? Napi::Value(Napi::Boolean::New(env, *facts.hvf)) : env.Null());
  return object;
}

StatusOr<bool> CheckAgainstLibkrun(const std::string& text) {
  StatusOr<VmConfig> config = VmConfig::Parse(text);
  if (!config.ok()) return config.status();
  if (config.value().driver != VmConfig::Driver::kLibkrun) return true;
  StatusOr<const Libkrun*> library = Libkrun::Load(config.value().libkrun_path);
  if (!library.ok()) return library.status();
  StatusOr<std::unique_ptr<KrunContext>> context = KrunContext::Create(*library.value());
  if (!context.ok()) return context.status();
  if (Status status = context.value()->SetMachine(config.value()); !status.ok()) return status;
  return true;
}

}  // namespace

Napi::Value ProbeHost(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsObject()) {
    Napi::TypeError::New(env, "probeHost takes an object").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const Napi::Value value = info[0].As<Napi::Object>().Get("libkrunPath");
  std::optional<std::string> path;
  if (value.IsString()) {
    path = value.As<Napi::String>().Utf8Value();
  } else if (!value.IsUndefined() && !value.IsNull()) {
    Napi::TypeError::New(env, "libkrunPath is not a string").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  return PromiseWorker<HostFacts>::Run(
      env, [path]() -> StatusOr<HostFacts> { return Probe(path); }, FactsToJs);
}

Napi::Value CheckVmConfig(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsString()) {
    Napi::TypeError::New(env, "checkVmConfig takes a string").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const std::string text = info[0].As<Napi::String>().Utf8Value();
  return PromiseWorker<bool>::Run(
      env, [text] { return CheckAgainstLibkrun(text); },
      [](Napi::Env result_env, const bool&) { return result_env.Undefined(); });
}

Napi::Value TscKhz(const Napi::CallbackInfo& info) {
#if defined(__x86_64__) && defined(__linux__)
  // The rate does not change while the host runs.
  static const uint64_t khz = [] {
    constexpr uint64_t kSampleNs = 20'000'000;
    const auto now_ns = [] {
      timespec now;
      clock_gettime(CLOCK_MONOTONIC_RAW, &now);
      return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
    };
    const uint64_t start_ns = now_ns();
    const uint64_t start_tsc = __rdtsc();
    uint64_t end_ns;
    do {
      end_ns = now_ns();
    } while (end_ns - start_ns < kSampleNs);
    const uint64_t ticks = __rdtsc() - start_tsc;
    return ticks * 1'000'000 / (end_ns - start_ns);
  }();
  return Napi::Number::New(info.Env(), static_cast<double>(khz));
#else
  return info.Env().Null();
#endif
}

}  // namespace msb
