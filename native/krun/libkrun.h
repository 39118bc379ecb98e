#ifndef MSB_KRUN_LIBKRUN_H_
#define MSB_KRUN_LIBKRUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace msb::krun {

// libkrun's functions that we use, found at run time so that we build and load without the library.
// Unless said otherwise they return 0 or more for success and a negative errno.
struct Library {
  int32_t (*set_log_level)(uint32_t level) = nullptr;
  int32_t (*create_ctx)() = nullptr;
  int32_t (*free_ctx)(uint32_t ctx) = nullptr;
  int32_t (*set_vm_config)(uint32_t ctx, uint8_t vcpus, uint32_t ram_mib) = nullptr;
  int32_t (*add_disk)(uint32_t ctx, const char* id, const char* path, bool read_only) = nullptr;
  int32_t (*disable_implicit_vsock)(uint32_t ctx) = nullptr;
  int32_t (*disable_implicit_console)(uint32_t ctx) = nullptr;
  int32_t (*add_virtio_console_multiport)(uint32_t ctx) = nullptr;
  int32_t (*add_console_port_tty)(uint32_t ctx, uint32_t console, const char* name,
                                  int tty) = nullptr;
  int32_t (*add_console_port_inout)(uint32_t ctx, uint32_t console, const char* name, int in,
                                    int out) = nullptr;
  int32_t (*set_kernel)(uint32_t ctx, const char* path, uint32_t format, const char* initramfs,
                        const char* command_line) = nullptr;
  int32_t (*has_feature)(uint64_t feature) = nullptr;
  int32_t (*get_max_vcpus)() = nullptr;
  // Returns only when the VM could not be entered; otherwise ends the process with the guest.
  int32_t (*start_enter)(uint32_t ctx) = nullptr;
};

inline constexpr uint64_t kFeatureNet = 0;
inline constexpr uint64_t kFeatureBlk = 1;

// Loads the library at `path` once a process and keeps it; later calls give the same table. When
// functions are missing their names are put in `missing`, which may be null. Safe to call from
// several threads.
StatusOr<const Library*> LoadLibrary(const std::string& path,
                                     std::vector<std::string>* missing = nullptr);

}  // namespace msb::krun

#endif  // MSB_KRUN_LIBKRUN_H_
