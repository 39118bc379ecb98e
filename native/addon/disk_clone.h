#ifndef MSB_ADDON_DISK_CLONE_H_
#define MSB_ADDON_DISK_CLONE_H_

#include <cstdint>
#include <string>

#include "base/status.h"

namespace msb::addon {

struct CloneResult {
  // The file's length, and how much of it is not a hole.
  uint64_t size_bytes = 0;
  uint64_t data_bytes = 0;
};

// Copies a disk file to a new one that only its owner can open, sharing blocks where the filesystem
// can and keeping holes where it cannot. On failure nothing is left at `to`; a file that was there
// before is an error and stays.
StatusOr<CloneResult> CloneSparse(const std::string& from, const std::string& to);

}  // namespace msb::addon

#endif  // MSB_ADDON_DISK_CLONE_H_
