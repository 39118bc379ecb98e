#ifndef MSB_ADDON_ADDON_DATA_H_
#define MSB_ADDON_ADDON_DATA_H_

#include <napi.h>

namespace msb {

// What belongs to one environment (the main thread or one Worker).
struct AddonData {
  Napi::FunctionReference micro_vm_handle;
};

}  // namespace msb

#endif  // MSB_ADDON_ADDON_DATA_H_
