#ifndef MSB_BASE_FD_UTIL_H_
#define MSB_BASE_FD_UTIL_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb {

// Calls `call` again for as long as a signal interrupts it.
template <typename Call>
auto RetryOnEintr(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

// Both ends are close-on-exec and blocking.
Status MakePipe(UniqueFd* read_end, UniqueFd* write_end);
Status MakeSocketPair(UniqueFd* one, UniqueFd* other);

Status SetNonBlocking(int fd);
Status SetCloseOnExec(int fd, bool close_on_exec);

Status WriteAll(int fd, std::string_view bytes);
// Fails with EFBIG when there is more than `max_bytes`.
StatusOr<std::string> ReadToEnd(int fd, size_t max_bytes);

// Closes every descriptor of this process that is not in `keep`.
void CloseAllExcept(std::vector<int> keep);

int64_t MonotonicMicros();

}  // namespace msb

#endif  // MSB_BASE_FD_UTIL_H_
