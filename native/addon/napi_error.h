#ifndef MSB_ADDON_NAPI_ERROR_H_
#define MSB_ADDON_NAPI_ERROR_H_

#include <napi.h>

#include <string>

#include "base/status.h"

namespace msb::addon {

// An Error with `code` "MSB_NATIVE", `operation` and `errno`.
Napi::Error ToError(Napi::Env env, const Status& status);

// Makes a TypeError with `code` "MSB_NATIVE_ARGUMENT" the pending exception; the caller returns at
// once. Wrong types are our TypeScript's mistakes, since it has checked before.
void ThrowArgument(Napi::Env env, const std::string& message);

}  // namespace msb::addon

#endif  // MSB_ADDON_NAPI_ERROR_H_
