#ifndef MSB_ADDON_FILE_LOCK_JS_H_
#define MSB_ADDON_FILE_LOCK_JS_H_

#include <napi.h>

namespace msb::addon {

// tryLockFile(path, mode, target) and waitForFileLock(path, mode), see src/native/binding.ts.
Napi::Value TryLockFile(const Napi::CallbackInfo& info);
Napi::Value WaitForFileLock(const Napi::CallbackInfo& info);

}  // namespace msb::addon

#endif  // MSB_ADDON_FILE_LOCK_JS_H_
