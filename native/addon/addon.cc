// The exports of msb.node; src/native/binding.ts describes them.
#include <napi.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "addon/disk_clone.h"
#include "addon/file_lock_js.h"
#include "addon/host_probe.h"
#include "addon/memory_file.h"
#include "addon/micro_vm.h"
#include "addon/napi_error.h"
#include "addon/promise_worker.h"
#include "krun/krun_context.h"
#include "krun/libkrun.h"
#include "krun/vm_config.h"

namespace msb::addon {
namespace {

template <typename Number>
Napi::Value ToNumber(Napi::Env env, const std::optional<Number>& number) {
  return number.has_value() ? Napi::Value(Napi::Number::New(env, static_cast<double>(*number)))
                            : env.Null();
}

const char* PlatformName() {
#ifdef __APPLE__
  return "darwin";
#else
  return "linux";
#endif
}

// As process.arch says it.
const char* ArchName() {
#if defined(__x86_64__)
  return "x64";
#elif defined(__aarch64__)
  return "arm64";
#else
  return "other";
#endif
}

Napi::Value LibkrunToJs(Napi::Env env, const LibkrunProbe& probe) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", probe.path);
  object.Set("ok", probe.ok);
  if (!probe.ok) object.Set("error", probe.error);
  object.Set("netFeature", probe.net_feature);
  object.Set("blkFeature", probe.blk_feature);
  object.Set("maxVcpus", ToNumber(env, probe.max_vcpus));
  if (!probe.missing_functions.empty()) {
    Napi::Array names = Napi::Array::New(env);
    for (uint32_t i = 0; i < probe.missing_functions.size(); ++i)
      names.Set(i, probe.missing_functions[i]);
    object.Set("missingFunctions", names);
  }
  return object;
}

Napi::Value HostProbeToJs(Napi::Env env, const HostProbe& probe) {
  Napi::Object kvm = Napi::Object::New(env);
  kvm.Set("devicePresent", probe.kvm.device_present);
  kvm.Set("openErrno", ToNumber(env, probe.kvm.open_errno));
  kvm.Set("apiVersion", ToNumber(env, probe.kvm.api_version));
  kvm.Set("createVmErrno", ToNumber(env, probe.kvm.create_vm_errno));
  Napi::Object flags = Napi::Object::New(env);
  flags.Set("vmx", probe.has_vmx);
  flags.Set("svm", probe.has_svm);
  flags.Set("hypervisor", probe.has_hypervisor);
  Napi::Object object = Napi::Object::New(env);
  object.Set("platform", PlatformName());
  object.Set("arch", ArchName());
  object.Set("libkrun", probe.libkrun.has_value() ? LibkrunToJs(env, *probe.libkrun) : env.Null());
  object.Set("kvm", kvm);
  object.Set("cpuFlags", flags);
  object.Set("cpuCount", static_cast<double>(probe.cpu_count));
  object.Set("memoryMiB", static_cast<double>(probe.memory_mib));
  object.Set("hvf",
             probe.hvf.has_value() ? Napi::Value(Napi::Boolean::New(env, *probe.hvf)) : env.Null());
  return object;
}

Napi::Value ProbeHostExport(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::optional<std::string> path;
  if (info[0].IsObject()) {
    const Napi::Value value = info[0].As<Napi::Object>().Get("libkrunPath");
    if (value.IsString()) {
      path = value.As<Napi::String>().Utf8Value();
    } else if (!value.IsNull() && !value.IsUndefined()) {
      ThrowArgument(env, "probeHost: libkrunPath must be a string or null");
      return env.Undefined();
    }
  } else if (!info[0].IsUndefined()) {
    ThrowArgument(env, "probeHost: the options must be an object");
    return env.Undefined();
  }
  return PromiseWorker<HostProbe>::Start(
      env, [path] { return StatusOr<HostProbe>(ProbeHost(path)); }, HostProbeToJs);
}

StatusOr<std::monostate> CheckConfig(const std::string& text) {
  StatusOr<krun::VmConfig> config = krun::ParseVmConfig(text);
  if (!config.ok()) return config.status();
  if (config.value().driver == krun::Driver::kQemu) return std::monostate();
  StatusOr<const krun::Library*> library = krun::LoadLibrary(config.value().libkrun_path);
  if (!library.ok()) return library.status();
  MSB_RETURN_IF_ERROR(krun::DryRun(*library.value(), config.value()));
  return std::monostate();
}

Napi::Value CheckVmConfigExport(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) {
    ThrowArgument(env, "checkVmConfig: the config must be a string");
    return env.Undefined();
  }
  return PromiseWorker<std::monostate>::Start(
      env, [text = info[0].As<Napi::String>().Utf8Value()] { return CheckConfig(text); },
      [](Napi::Env worker_env, const std::monostate&) { return worker_env.Undefined(); });
}

Napi::Value CloneSparseExport(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string paths[2];
  for (size_t i = 0; i < 2; ++i) {
    if (info[i].IsString()) paths[i] = info[i].As<Napi::String>().Utf8Value();
    if (paths[i].empty() || paths[i].find('\0') != std::string::npos) {
      ThrowArgument(env, "cloneSparse: both paths must be non-empty strings without NUL");
      return env.Undefined();
    }
  }
  return PromiseWorker<CloneResult>::Start(
      env, [from = paths[0], to = paths[1]] { return CloneSparse(from, to); },
      [](Napi::Env worker_env, const CloneResult& result) -> Napi::Value {
        Napi::Object object = Napi::Object::New(worker_env);
        object.Set("sizeBytes", static_cast<double>(result.size_bytes));
        object.Set("dataBytes", static_cast<double>(result.data_bytes));
        return object;
      });
}

Napi::Value CreateMemoryFileExport(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const double size = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  constexpr double kMaxSafeInteger = 9007199254740991;
  if (!(size >= 0 && size <= kMaxSafeInteger)) {
    ThrowArgument(env, "createMemoryFile: the size must be a number of bytes");
    return env.Undefined();
  }
  StatusOr<UniqueFd> file = CreateMemoryFile(static_cast<uint64_t>(size));
  if (file.ok()) return Napi::Number::New(env, file.value().Release());
  ToError(env, file.status()).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value SealMemoryFileExport(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber()) {
    ThrowArgument(env, "sealMemoryFile: the file must be a file descriptor");
    return env.Undefined();
  }
  const Status sealed = SealMemoryFile(info[0].As<Napi::Number>().Int32Value());
  if (!sealed.ok()) ToError(env, sealed).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value TscKhzExport(const Napi::CallbackInfo& info) {
  return ToNumber(info.Env(), MeasureTscKhz());
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("probeHost", Napi::Function::New(env, ProbeHostExport, "probeHost"));
  exports.Set("checkVmConfig", Napi::Function::New(env, CheckVmConfigExport, "checkVmConfig"));
  exports.Set("bootMicroVm", Napi::Function::New(env, BootMicroVm, "bootMicroVm"));
  exports.Set("watchMicroVm", Napi::Function::New(env, WatchMicroVm, "watchMicroVm"));
  exports.Set("processStartTime", Napi::Function::New(env, StartTimeOfProcess, "processStartTime"));
  exports.Set("cloneSparse", Napi::Function::New(env, CloneSparseExport, "cloneSparse"));
  exports.Set("createMemoryFile",
              Napi::Function::New(env, CreateMemoryFileExport, "createMemoryFile"));
  exports.Set("sealMemoryFile", Napi::Function::New(env, SealMemoryFileExport, "sealMemoryFile"));
  exports.Set("tryLockFile", Napi::Function::New(env, TryLockFile, "tryLockFile"));
  exports.Set("waitForFileLock", Napi::Function::New(env, WaitForFileLock, "waitForFileLock"));
  exports.Set("tscKhz", Napi::Function::New(env, TscKhzExport, "tscKhz"));
  return exports;
}

NODE_API_MODULE(msb, Init)

}  // namespace
}  // namespace msb::addon
