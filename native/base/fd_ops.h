#ifndef MSB_BASE_FD_OPS_H_
#define MSB_BASE_FD_OPS_H_

#include <sys/types.h>

#include <cstddef>

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb {

struct FdPair {
  UniqueFd first;
  UniqueFd second;
};

// A pipe: first is the read end. Both ends are close-on-exec.
StatusOr<FdPair> MakePipe();
// A connected pair of stream sockets, both close-on-exec.
StatusOr<FdPair> MakeSocketPair();

Status SetCloseOnExec(int fd, bool on);
Status SetNonBlocking(int fd);

// read() and write() that retry EINTR.
ssize_t ReadRetry(int fd, void* buffer, size_t size);
ssize_t WriteRetry(int fd, const void* buffer, size_t size);

}  // namespace msb

#endif  // MSB_BASE_FD_OPS_H_
