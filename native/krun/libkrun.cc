#include "krun/libkrun.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>

namespace msb::krun {
namespace {

// Linux has an errno for libraries; macOS does not.
#ifdef ELIBACC
constexpr int kLoadError = ELIBACC;
#else
constexpr int kLoadError = ENOEXEC;
#endif

template <typename Function>
void Find(void* handle, const char* name, Function** function, std::vector<std::string>* missing) {
  *function = reinterpret_cast<Function*>(dlsym(handle, name));
  if (*function == nullptr) missing->push_back(name);
}

std::vector<std::string> FillTable(void* handle, Library* library) {
  std::vector<std::string> missing;
  Find(handle, "krun_set_log_level", &library->set_log_level, &missing);
  Find(handle, "krun_create_ctx", &library->create_ctx, &missing);
  Find(handle, "krun_free_ctx", &library->free_ctx, &missing);
  Find(handle, "krun_set_vm_config", &library->set_vm_config, &missing);
  Find(handle, "krun_add_disk", &library->add_disk, &missing);
  Find(handle, "krun_disable_implicit_vsock", &library->disable_implicit_vsock, &missing);
  Find(handle, "krun_disable_implicit_console", &library->disable_implicit_console, &missing);
  Find(handle, "krun_add_virtio_console_multiport", &library->add_virtio_console_multiport,
       &missing);
  Find(handle, "krun_add_console_port_tty", &library->add_console_port_tty, &missing);
  Find(handle, "krun_add_console_port_inout", &library->add_console_port_inout, &missing);
  Find(handle, "krun_set_kernel", &library->set_kernel, &missing);
  Find(handle, "krun_has_feature", &library->has_feature, &missing);
  Find(handle, "krun_get_max_vcpus", &library->get_max_vcpus, &missing);
  Find(handle, "krun_start_enter", &library->start_enter, &missing);
  return missing;
}

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

StatusOr<const Library*> LoadLibrary(const std::string& path, std::vector<std::string>* missing) {
  // Never destroyed: threads of libkrun may outlive static objects.
  static auto* const mutex = new std::mutex;
  static auto* const loaded = new std::map<std::string, std::unique_ptr<Library>>;

  const std::lock_guard<std::mutex> lock(*mutex);
  if (const auto found = loaded->find(path); found != loaded->end()) return found->second.get();

  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    // dlopen sets no errno worth telling; its text names a missing dependency, such as
    // libcap-ng.so.0.
    const char* const reason = dlerror();
    return Status::Error("dlopen", kLoadError, reason == nullptr ? "cannot load " + path : reason);
  }
  auto library = std::make_unique<Library>();
  const std::vector<std::string> absent = FillTable(handle, library.get());
  if (!absent.empty()) {
    dlclose(handle);
    if (missing != nullptr) *missing = absent;
    return Status::Error("dlsym", ENOSYS,
                         path + " is not a libkrun this package can use: it lacks " + Join(absent));
  }
  const Library* const table = library.get();
  loaded->emplace(path, std::move(library));
  return table;
}

}  // namespace msb::krun
