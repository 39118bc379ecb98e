#ifndef MSB_ADDON_MICRO_VM_H_
#define MSB_ADDON_MICRO_VM_H_

#include <napi.h>

namespace msb::addon {

// bootMicroVm(request, onEvent): starts msb-vmm and gives a handle, see src/native/binding.ts.
Napi::Value BootMicroVm(const Napi::CallbackInfo& info);
// watchMicroVm(pid, startTime): the handle of an msb-vmm that another process has started, or null.
Napi::Value WatchMicroVm(const Napi::CallbackInfo& info);
// processStartTime(pid): tells it from others that get its number; null when there is none.
Napi::Value StartTimeOfProcess(const Napi::CallbackInfo& info);

}  // namespace msb::addon

#endif  // MSB_ADDON_MICRO_VM_H_
