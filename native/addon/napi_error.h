#ifndef MSB_ADDON_NAPI_ERROR_H_
#define MSB_ADDON_NAPI_ERROR_H_

#include <napi.h>

#include "base/status.h"

namespace msb {

// A JS Error with `code: "MSB_NATIVE"`, `operation` and `errno`.
Napi::Error ToNapiError(Napi::Env env, const Status& status);

}  // namespace msb

#endif  // MSB_ADDON_NAPI_ERROR_H_
