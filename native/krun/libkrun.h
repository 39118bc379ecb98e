#ifndef MSB_KRUN_LIBKRUN_H_
#define MSB_KRUN_LIBKRUN_H_

#include <cstdint>
#include <string>

#include "base/status.h"

namespace msb {

// Constants of libkrun's public header (include/libkrun.h, 1.17).
inline constexpr uint32_t kKrunKernelFormatRaw = 0;
inline constexpr uint32_t kKrunKernelFormatElf = 1;
inline constexpr uint64_t kKrunFeatureNet = 0;
inline constexpr uint64_t kKrunFeatureBlk = 1;

// The functions of libkrun that are used here. All return zero or more on success and a negative
// errno on failure.
struct Libkrun {
  int32_t (*set_log_level)(uint32_t level);
  int32_t (*create_ctx)();
  int32_t (*free_ctx)(uint32_t ctx);
  int32_t (*set_vm_config)(uint32_t ctx, uint8_t vcpus, uint32_t ram_mib);
  int32_t (*add_disk)(uint32_t ctx, const char* id, const char* path, bool read_only);
  int32_t (*disable_implicit_vsock)(uint32_t ctx);
  int32_t (*disable_implicit_console)(uint32_t ctx);
  int32_t (*add_virtio_console_multiport)(uint32_t ctx);
  int32_t (*add_console_port_tty)(uint32_t ctx, uint32_t console, const char* name, int tty_fd);
  int32_t (*add_console_port_inout)(uint32_t ctx, uint32_t console, const char* name, int in_fd,
                                    int out_fd);
  int32_t (*set_kernel)(uint32_t ctx, const char* path, uint32_t format, const char* initramfs,
                        const char* command_line);
  int32_t (*has_feature)(uint64_t feature);
  int32_t (*get_max_vcpus)();
  int32_t (*start_enter)(uint32_t ctx);

  // Loads the library at an absolute path, once for each path; it stays loaded until the process
  // ends. The error's operation is "dlopen" or "dlsym", and its message names what is missing.
  // Thread-safe.
  static StatusOr<const Libkrun*> Load(const std::string& path);
};

}  // namespace msb

#endif  // MSB_KRUN_LIBKRUN_H_
