#include "base/status.h"

#include <cstring>

namespace msb {

Status Status::Errno(std::string operation, std::string message) {
  const int error_number = errno;
  message += ": ";
  message += std::strerror(error_number);
  return Error(std::move(operation), error_number, std::move(message));
}

}  // namespace msb
