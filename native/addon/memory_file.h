#ifndef MSB_ADDON_MEMORY_FILE_H_
#define MSB_ADDON_MEMORY_FILE_H_

#include <cstdint>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::addon {

// A file without a name that lives in memory, empty pages of it taking none: what a saved microVM
// is kept in. ENOSYS where there are no sealed memory files (macOS).
StatusOr<UniqueFd> CreateMemoryFile(uint64_t size_bytes);

// Nobody can change the file any more, whoever has it open and however; private mappings of it can
// be written to all the same. EBUSY while there is a shared writable mapping.
Status SealMemoryFile(int fd);

}  // namespace msb::addon

#endif  // MSB_ADDON_MEMORY_FILE_H_
