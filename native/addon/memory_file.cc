#include "addon/memory_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace msb::addon {

#ifdef __linux__

StatusOr<UniqueFd> CreateMemoryFile(uint64_t size_bytes) {
  UniqueFd file(memfd_create("msb-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return Status::Errno("memfd_create", "cannot make a memory file");
  if (ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0) {
    return Status::Errno("ftruncate", std::to_string(size_bytes) + " bytes of memory");
  }
  return StatusOr<UniqueFd>(std::move(file));
}

Status SealMemoryFile(int fd) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    return Status::Errno("fcntl", "cannot seal a memory file");
  }
  return Status();
}

#else

StatusOr<UniqueFd> CreateMemoryFile(uint64_t) {
  return Status::Error("memfd_create", ENOSYS, "this system has no sealed memory files");
}

Status SealMemoryFile(int) {
  return Status::Error("fcntl", ENOSYS, "this system has no sealed memory files");
}

#endif

}  // namespace msb::addon
