#include <napi.h>

#include "addon/addon_data.h"
#include "addon/disk_clone.h"
#include "addon/host_probe.h"
#include "addon/micro_vm.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* data = new msb::AddonData();
  data->micro_vm_handle = Napi::Persistent(msb::MicroVmHandle::Define(env));
  env.SetInstanceData(data);
  exports.Set("probeHost", Napi::Function::New<msb::ProbeHost>(env, "probeHost"));
  exports.Set("checkVmConfig", Napi::Function::New<msb::CheckVmConfig>(env, "checkVmConfig"));
  exports.Set("bootMicroVm", Napi::Function::New<msb::BootMicroVm>(env, "bootMicroVm"));
  exports.Set("cloneSparse", Napi::Function::New<msb::CloneSparse>(env, "cloneSparse"));
  exports.Set("tscKhz", Napi::Function::New<msb::TscKhz>(env, "tscKhz"));
  return exports;
}

}  // namespace

NODE_API_MODULE(msb, Init)
