#include "addon/napi_error.h"

namespace msb {

Napi::Error ToNapiError(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Set("code", Napi::String::New(env, "MSB_NATIVE"));
  error.Set("operation", Napi::String::New(env, status.operation()));
  error.Set("errno", Napi::Number::New(env, status.error_number()));
  return error;
}

}  // namespace msb
