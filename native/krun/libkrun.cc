#include "krun/libkrun.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>

namespace msb {
namespace {

template <typename Function>
void Resolve(void* library, const char* name, Function* target, std::string* missing) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) {
    if (!missing->empty()) *missing += ", ";
    *missing += name;
  }
  *target = reinterpret_cast<Function>(symbol);
}

std::string ResolveAll(void* library, Libkrun* table) {
  std::string missing;
  Resolve(library, "krun_set_log_level", &table->set_log_level, &missing);
  Resolve(library, "krun_create_ctx", &table->create_ctx, &missing);
  Resolve(library, "krun_free_ctx", &table->free_ctx, &missing);
  Resolve(library, "krun_set_vm_config", &table->set_vm_config, &missing);
  Resolve(library, "krun_add_disk", &table->add_disk, &missing);
  Resolve(library, "krun_disable_implicit_vsock", &table->disable_implicit_vsock, &missing);
  Resolve(library, "krun_disable_implicit_console", &table->disable_implicit_console, &missing);
  Resolve(library, "krun_add_virtio_console_multiport", &table->add_virtio_console_multiport,
          &missing);
  Resolve(library, "krun_add_console_port_tty", &table->add_console_port_tty, &missing);
  Resolve(library, "krun_add_console_port_inout", &table->add_console_port_inout, &missing);
  Resolve(library, "krun_set_kernel", &table->set_kernel, &missing);
  Resolve(library, "krun_has_feature", &table->has_feature, &missing);
  Resolve(library, "krun_get_max_vcpus", &table->get_max_vcpus, &missing);
  Resolve(library, "krun_start_enter", &table->start_enter, &missing);
  return missing;
}

}  // namespace

StatusOr<const Libkrun*> Libkrun::Load(const std::string& path) {
  static std::mutex mutex;
  static auto* loaded = new std::map<std::string, std::unique_ptr<Libkrun>>();
  std::lock_guard<std::mutex> lock(mutex);
  if (auto found = loaded->find(path); found != loaded->end()) {
    return static_cast<const Libkrun*>(found->second.get());
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return Status::Error("dlopen", ENOENT, reason != nullptr ? reason : path + " cannot be loaded");
  }
  auto table = std::make_unique<Libkrun>();
  if (std::string missing = ResolveAll(library, table.get()); !missing.empty()) {
    dlclose(library);
    return Status::Error("dlsym", ENOSYS,
                         path + " is no libkrun 1.17 or newer: it lacks " + missing);
  }
  return static_cast<const Libkrun*>(loaded->emplace(path, std::move(table)).first->second.get());
}

}  // namespace msb
