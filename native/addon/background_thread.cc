#include "addon/background_thread.h"

#include <dlfcn.h>
#include <pthread.h>

#include <csignal>
#include <memory>
#include <utility>

namespace msb::addon {
namespace {

// Enough for system calls and small buffers; the default of 8 MiB counts against a memory limit
// where overcommit is off.
constexpr size_t kStackBytes = 512 * 1024;

// Node unloads an addon when the last Worker that uses it ends; a thread must not lose its code.
void KeepAddonLoaded() {
  static const int kHere = 0;
  Dl_info info = {};
  if (dladdr(&kHere, &info) != 0) dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

void* Run(void* argument) {
  const std::unique_ptr<std::function<void()>> work(static_cast<std::function<void()>*>(argument));
  (*work)();
  return nullptr;
}

}  // namespace

Status StartBackgroundThread(std::function<void()> work) {
  KeepAddonLoaded();
  auto owned = std::make_unique<std::function<void()>>(std::move(work));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Signals are for Node's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error_number = pthread_create(&thread, &attributes, Run, owned.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error_number != 0)
    return Status::Error("pthread_create", error_number, "cannot start a thread");
  (void)owned.release();  // the thread's now
  return Status();
}

}  // namespace msb::addon
