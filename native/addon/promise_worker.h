#ifndef MSB_ADDON_PROMISE_WORKER_H_
#define MSB_ADDON_PROMISE_WORKER_H_

#include <napi.h>

#include <functional>
#include <optional>
#include <utility>

#include "addon/napi_error.h"
#include "base/status.h"

namespace msb {

// Runs `work` on the thread pool and settles a promise with its result, turned into a JS value by
// `convert`.
template <typename Result>
class PromiseWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<StatusOr<Result>()>;
  using Convert = std::function<Napi::Value(Napi::Env, const Result&)>;

  static Napi::Promise Run(Napi::Env env, Work work, Convert convert) {
    auto* worker = new PromiseWorker(env, std::move(work), std::move(convert));
    Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override { result_.emplace(work_()); }
  void OnOK() override {
    if (result_->ok()) {
      deferred_.Resolve(convert_(Env(), result_->value()));
    } else {
      deferred_.Reject(ToNapiError(Env(), result_->status()).Value());
    }
  }

 private:
  PromiseWorker(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env, "msb"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  std::optional<StatusOr<Result>> result_;
};

}  // namespace msb

#endif  // MSB_ADDON_PROMISE_WORKER_H_
