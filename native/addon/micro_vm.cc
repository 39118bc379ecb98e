#include "addon/micro_vm.h"

#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include "addon/addon_data.h"
#include "addon/napi_error.h"
#include "krun/vm_config.h"

namespace msb {
namespace {

// Signals by the names that callers use.
constexpr std::pair<const char*, int> kSignals[] = {
    {"SIGTERM", SIGTERM}, {"SIGKILL", SIGKILL}, {"SIGSTOP", SIGSTOP}, {"SIGCONT", SIGCONT}};

Napi::Value NumberOrNull(Napi::Env env, const std::optional<int>& value) {
  return value ? Napi::Value(Napi::Number::New(env, *value)) : env.Null();
}

Status ReadChannels(const Napi::Value& value, const VmConfig& config,
                    std::vector<std::string>* socket_paths) {
  if (!value.IsArray()) return Status::Invalid("channels", "channels is not an array");
  const Napi::Array channels = value.As<Napi::Array>();
  if (channels.Length() != config.channels.size()) {
    return Status::Invalid("channels", "channels and the config's channels differ");
  }
  for (uint32_t i = 0; i < channels.Length(); ++i) {
    const Napi::Value item = channels.Get(i);
    if (!item.IsObject()) return Status::Invalid("channels", "a channel is not an object");
    const Napi::Value name = item.As<Napi::Object>().Get("name");
    const Napi::Value path = item.As<Napi::Object>().Get("socketPath");
    if (!name.IsString() || !path.IsString() ||
        name.As<Napi::String>().Utf8Value() != config.channels[i]) {
      return Status::Invalid("channels", "channels and the config's channels differ");
    }
    socket_paths->push_back(path.As<Napi::String>().Utf8Value());
  }
  return Status();
}

StatusOr<VmmSpawnOptions> ReadOptions(const Napi::Object& object) {
  VmmSpawnOptions options;
  const Napi::Value vmm_path = object.Get("vmmPath");
  const Napi::Value config_text = object.Get("config");
  const Napi::Value detached = object.Get("detached");
  if (!vmm_path.IsString()) return Status::Invalid("vmmPath", "vmmPath is not a string");
  if (!config_text.IsString()) return Status::Invalid("config", "config is not a string");
  if (!detached.IsBoolean()) return Status::Invalid("detached", "detached is not a boolean");
  options.vmm_path = vmm_path.As<Napi::String>().Utf8Value();
  options.config = config_text.As<Napi::String>().Utf8Value();
  options.detached = detached.As<Napi::Boolean>().Value();
  StatusOr<VmConfig> config = VmConfig::Parse(options.config);
  if (!config.ok()) return config.status();
  if (config.value().detached != options.detached) {
    return Status::Invalid("detached", "detached differs from the config");
  }
  MSB_RETURN_IF_ERROR(ReadChannels(object.Get("channels"), config.value(), &options.socket_paths));
  return options;
}

}  // namespace

struct MicroVmHandle::Delivery {
  Delivery(Napi::Env env, Napi::Function on_event)
      : deferred(Napi::Promise::Deferred::New(env)),
        to_js(Napi::ThreadSafeFunction::New(env, on_event, "msb-vm", 0, 1)) {}

  // Settled on the JS thread only.
  Napi::Promise::Deferred deferred;
  Napi::ThreadSafeFunction to_js;
};

Napi::Function MicroVmHandle::Define(Napi::Env env) {
  return DefineClass(
      env, "MicroVmHandle",
      {InstanceAccessor<&MicroVmHandle::Pid>("pid"),
       InstanceAccessor<&MicroVmHandle::Exited>("exited"),
       InstanceMethod<&MicroVmHandle::Kill>("kill"), InstanceMethod<&MicroVmHandle::Ref>("ref"),
       InstanceMethod<&MicroVmHandle::Unref>("unref")});
}

MicroVmHandle::MicroVmHandle(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<MicroVmHandle>(info) {}

void MicroVmHandle::Adopt(Napi::Env env, Napi::Function on_event, SpawnedVmm vmm) {
  watch_ = std::make_shared<VmmWatch>(std::move(vmm));
  delivery_ = std::make_shared<Delivery>(env, on_event);
  exited_ = Napi::Reference<Napi::Promise>::New(delivery_->deferred.Promise(), 1);
  // A Worker that ends takes its VMs along; a process that ends does so by closing its descriptors.
  env.AddCleanupHook([weak = std::weak_ptr<VmmWatch>(watch_)] {
    if (std::shared_ptr<VmmWatch> watch = weak.lock()) watch->CloseLifeline();
  });
  watch_->Start(
      [delivery = delivery_](std::string line) {
        // Fails once the environment is gone; the VM is ending then.
        delivery->to_js.BlockingCall(
            [line = std::move(line)](Napi::Env js_env, Napi::Function call) {
              call.Call({Napi::String::New(js_env, line)});
            });
      },
      [delivery = delivery_](VmmExit exit) {
        delivery->to_js.BlockingCall([delivery, exit](Napi::Env js_env, Napi::Function) {
          Napi::Object object = Napi::Object::New(js_env);
          object.Set("exitCode", NumberOrNull(js_env, exit.exit_code));
          object.Set("signal", NumberOrNull(js_env, exit.signal));
          delivery->deferred.Resolve(object);
        });
        delivery->to_js.Release();
      });
}

Napi::Value MicroVmHandle::Pid(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), watch_ ? watch_->pid() : 0);
}

Napi::Value MicroVmHandle::Exited(const Napi::CallbackInfo& info) {
  if (exited_.IsEmpty()) return info.Env().Undefined();
  return exited_.Value();
}

Napi::Value MicroVmHandle::Kill(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name =
      info.Length() == 1 && info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  for (const auto& [known, number] : kSignals) {
    if (name == known) return Napi::Boolean::New(env, watch_ && watch_->Kill(number));
  }
  Napi::TypeError::New(env, "kill takes SIGTERM, SIGKILL, SIGSTOP or SIGCONT")
      .ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value MicroVmHandle::Ref(const Napi::CallbackInfo& info) {
  if (delivery_) delivery_->to_js.Ref(info.Env());
  return info.Env().Undefined();
}

Napi::Value MicroVmHandle::Unref(const Napi::CallbackInfo& info) {
  if (delivery_) delivery_->to_js.Unref(info.Env());
  return info.Env().Undefined();
}

Napi::Value BootMicroVm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsObject() || !info[1].IsFunction()) {
    Napi::TypeError::New(env, "bootMicroVm takes options and a function")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  StatusOr<VmmSpawnOptions> options = ReadOptions(info[0].As<Napi::Object>());
  if (!options.ok()) {
    ToNapiError(env, options.status()).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  Napi::Object object = env.GetInstanceData<AddonData>()->micro_vm_handle.New({});
  StatusOr<SpawnedVmm> vmm = SpawnVmm(options.value());
  if (!vmm.ok()) {
    ToNapiError(env, vmm.status()).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  MicroVmHandle::Unwrap(object)->Adopt(env, info[1].As<Napi::Function>(), std::move(vmm.value()));
  return object;
}

}  // namespace msb
