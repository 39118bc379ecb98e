#include "addon/napi_error.h"

namespace msb::addon {

Napi::Error ToError(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Set("code", Napi::String::New(env, "MSB_NATIVE"));
  error.Set("operation", Napi::String::New(env, status.operation()));
  error.Set("errno", Napi::Number::New(env, status.error_number()));
  return error;
}

void ThrowArgument(Napi::Env env, const std::string& message) {
  Napi::TypeError error = Napi::TypeError::New(env, message);
  error.Set("code", Napi::String::New(env, "MSB_NATIVE_ARGUMENT"));
  error.ThrowAsJavaScriptException();
}

}  // namespace msb::addon
