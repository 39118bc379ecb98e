#ifndef MSB_ADDON_MICRO_VM_H_
#define MSB_ADDON_MICRO_VM_H_

#include <napi.h>

#include <memory>

#include "addon/vmm_watch.h"

namespace msb {

// The JS handle of one running msb-vmm: pid, exited, kill(), ref(), unref(). See
// src/native/binding.ts.
class MicroVmHandle : public Napi::ObjectWrap<MicroVmHandle> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit MicroVmHandle(const Napi::CallbackInfo& info);

  // Takes over a process that was just started and follows it.
  void Adopt(Napi::Env env, Napi::Function on_event, SpawnedVmm vmm);

 private:
  // What the watching thread needs after the handle may have been collected.
  struct Delivery;

  Napi::Value Pid(const Napi::CallbackInfo& info);
  Napi::Value Exited(const Napi::CallbackInfo& info);
  Napi::Value Kill(const Napi::CallbackInfo& info);
  Napi::Value Ref(const Napi::CallbackInfo& info);
  Napi::Value Unref(const Napi::CallbackInfo& info);

  std::shared_ptr<VmmWatch> watch_;
  std::shared_ptr<Delivery> delivery_;
  Napi::Reference<Napi::Promise> exited_;
};

// bootMicroVm(options, onEvent): MicroVmHandle.
Napi::Value BootMicroVm(const Napi::CallbackInfo& info);

}  // namespace msb

#endif  // MSB_ADDON_MICRO_VM_H_
