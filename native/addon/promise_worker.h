#ifndef MSB_ADDON_PROMISE_WORKER_H_
#define MSB_ADDON_PROMISE_WORKER_H_

#include <napi.h>

#include <functional>
#include <optional>
#include <utility>

#include "addon/napi_error.h"
#include "base/status.h"

namespace msb::addon {

// Runs `work` on a thread of libuv's pool, on plain data only, and settles a promise with what it
// gives.
template <typename Result>
class PromiseWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<StatusOr<Result>()>;
  using Convert = std::function<Napi::Value(Napi::Env, const Result&)>;

  static Napi::Value Start(Napi::Env env, Work work, Convert convert) {
    // Deletes itself when it is done.
    auto* const worker = new PromiseWorker(env, std::move(work), std::move(convert));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override { result_.emplace(work_()); }
  void OnOK() override {
    if (result_->ok()) {
      deferred_.Resolve(convert_(Env(), result_->value()));
    } else {
      deferred_.Reject(ToError(Env(), result_->status()).Value());
    }
  }

 private:
  PromiseWorker(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  std::optional<StatusOr<Result>> result_;
};

}  // namespace msb::addon

#endif  // MSB_ADDON_PROMISE_WORKER_H_
