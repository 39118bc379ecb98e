#ifndef MSB_ADDON_MICRO_VM_H_
#define MSB_ADDON_MICRO_VM_H_

#include <napi.h>

namespace msb::addon {

// bootMicroVm(request, onEvent): starts msb-vmm and gives a handle, see src/native/binding.ts.
Napi::Value BootMicroVm(const Napi::CallbackInfo& info);

}  // namespace msb::addon

#endif  // MSB_ADDON_MICRO_VM_H_
