#include "addon/file_lock_js.h"

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "addon/background_thread.h"
#include "addon/file_lock.h"
#include "addon/napi_error.h"
#include "addon/promise_worker.h"

namespace msb::addon {
namespace {

using LockPointer = std::shared_ptr<FileLock>;
using Outcome = StatusOr<LockPointer>;

struct JsSide;
void CallJs(Napi::Env env, Napi::Function, JsSide* side, Outcome* outcome);
using OutcomeFunction = Napi::TypedThreadSafeFunction<JsSide, Outcome, CallJs>;

// Carries the outcome of one wait from its thread to the environment that asked, if that still
// exists by then; if not, the lock is let go.
class OutcomeCarrier {
 public:
  void Open(OutcomeFunction function) { function_ = function; }

  // On the waiting thread.
  void Send(Outcome outcome) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return;
    is_closed_ = true;
    auto* const sent = new Outcome(std::move(outcome));
    if (function_.NonBlockingCall(sent) != napi_ok) {
      delete sent;  // the environment is ending
      return;
    }
    function_.Release();
  }

  // The environment is ending and takes the function down by itself.
  void Close() {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_closed_ = true;
  }

  // On the environment's thread: does the wait keep its event loop running?
  void Hold(Napi::Env env, bool hold) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_closed_) return;
    if (hold) {
      function_.Ref(env);
    } else {
      function_.Unref(env);
    }
  }

 private:
  std::mutex mutex_;
  bool is_closed_ = false;
  OutcomeFunction function_;
};

// Belongs to the environment's thread; lives as long as the thread-safe function.
struct JsSide {
  Napi::Promise::Deferred acquired;
  std::shared_ptr<OutcomeCarrier> carrier;
};

Napi::Value LockToJs(Napi::Env env, const LockPointer& lock) {
  if (lock == nullptr) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  const auto release = [lock](const Napi::CallbackInfo&) { lock->Release(); };
  object.Set("release", Napi::Function::New(env, release, "release"));
  return object;
}

void CallJs(Napi::Env env, Napi::Function, JsSide* side, Outcome* outcome) {
  const std::unique_ptr<Outcome> owned(outcome);
  if (static_cast<napi_env>(env) == nullptr) return;
  if (outcome->ok()) {
    side->acquired.Resolve(LockToJs(env, outcome->value()));
  } else {
    side->acquired.Reject(ToError(env, outcome->status()).Value());
  }
}

void FinalizeJsSide(Napi::Env, void*, JsSide* side) {
  side->carrier->Close();
  delete side;
}

// False with a pending exception when the arguments are not what binding.ts promises.
bool ParseArguments(const Napi::CallbackInfo& info, std::string* path, LockMode* mode) {
  if (info[0].IsString()) *path = info[0].As<Napi::String>().Utf8Value();
  if (path->empty() || path->find('\0') != std::string::npos)
    return ThrowArgument(info.Env(), "the path must be a non-empty string without NUL"), false;
  const std::string name = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  if (name != "shared" && name != "exclusive")
    return ThrowArgument(info.Env(), "the mode must be \"shared\" or \"exclusive\""), false;
  *mode = name == "shared" ? LockMode::kShared : LockMode::kExclusive;
  return true;
}

Napi::Object WaitToJs(Napi::Env env, const JsSide& side) {
  const std::shared_ptr<OutcomeCarrier> carrier = side.carrier;
  const auto hold = [carrier](const Napi::CallbackInfo& info) { carrier->Hold(info.Env(), true); };
  const auto let_go = [carrier](const Napi::CallbackInfo& info) {
    carrier->Hold(info.Env(), false);
  };
  Napi::Object object = Napi::Object::New(env);
  object.Set("acquired", side.acquired.Promise());
  object.Set("ref", Napi::Function::New(env, hold, "ref"));
  object.Set("unref", Napi::Function::New(env, let_go, "unref"));
  return object;
}

}  // namespace

Napi::Value TryLockFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string path;
  LockMode mode;
  if (!ParseArguments(info, &path, &mode)) return env.Undefined();
  const std::string name = info[2].IsString() ? info[2].As<Napi::String>().Utf8Value() : "";
  if (name != "any" && name != "existing") {
    ThrowArgument(env, "the target must be \"any\" or \"existing\"");
    return env.Undefined();
  }
  const LockTarget target = name == "any" ? LockTarget::kAnyFile : LockTarget::kExistingFile;
  return PromiseWorker<LockPointer>::Start(
      env, [path, mode, target] { return LockFile(path, mode, LockWait::kNone, target); },
      LockToJs);
}

Napi::Value WaitForFileLock(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::string path;
  LockMode mode;
  if (!ParseArguments(info, &path, &mode)) return env.Undefined();
  auto carrier = std::make_shared<OutcomeCarrier>();
  auto* const side = new JsSide{Napi::Promise::Deferred::New(env), carrier};
  OutcomeFunction function = OutcomeFunction::New(env, "msb file lock", 0, 1, side, FinalizeJsSide,
                                                  static_cast<void*>(nullptr));
  if (env.IsExceptionPending()) {
    delete side;
    return env.Undefined();
  }
  carrier->Open(function);
  const Napi::Object wait = WaitToJs(env, *side);
  // Last: from here on `side` may go at the next turn of the event loop.
  const Status started = StartBackgroundThread([carrier, path, mode] {
    carrier->Send(LockFile(path, mode, LockWait::kForever, LockTarget::kAnyFile));
  });
  if (!started.ok()) carrier->Send(started);
  return wait;
}

}  // namespace msb::addon
