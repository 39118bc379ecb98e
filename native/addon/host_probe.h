#ifndef MSB_ADDON_HOST_PROBE_H_
#define MSB_ADDON_HOST_PROBE_H_

#include <napi.h>

namespace msb {

// probeHost({ libkrunPath }): Promise<HostProbe>; see src/native/binding.ts.
Napi::Value ProbeHost(const Napi::CallbackInfo& info);
// checkVmConfig(json): Promise<void>: the config against its own rules and against libkrun, without
// starting a VM.
Napi::Value CheckVmConfig(const Napi::CallbackInfo& info);
// tscKhz(): number | null.
Napi::Value TscKhz(const Napi::CallbackInfo& info);

}  // namespace msb

#endif  // MSB_ADDON_HOST_PROBE_H_
