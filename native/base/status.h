#ifndef MSB_BASE_STATUS_H_
#define MSB_BASE_STATUS_H_

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace msb {

// What failed: the operation ("open", "krun_add_disk"), the errno if there is one, and words for
// people. Default-constructed it means success.
class [[nodiscard]] Status {
 public:
  Status() = default;
  static Status Error(std::string operation, int error_number, std::string message) {
    Status status;
    status.failed_ = true;
    status.operation_ = std::move(operation);
    status.error_number_ = error_number;
    status.message_ = std::move(message);
    return status;
  }
  // The current errno, with its text appended to `message`.
  static Status Errno(std::string operation, std::string message);
  // A value from outside that is not acceptable; `field` names it.
  static Status Invalid(std::string field, std::string message) {
    return Error(std::move(field), EINVAL, std::move(message));
  }

  bool ok() const { return !failed_; }
  const std::string& operation() const { return operation_; }
  int error_number() const { return error_number_; }
  const std::string& message() const { return message_; }

 private:
  bool failed_ = false;
  int error_number_ = 0;
  std::string operation_;
  std::string message_;
};

// A value or the Status that says why there is none.
template <typename T>
class [[nodiscard]] StatusOr {
 public:
  StatusOr(T value) : state_(std::move(value)) {}         // NOLINT: implicit by design
  StatusOr(Status status) : state_(std::move(status)) {}  // NOLINT: implicit by design

  bool ok() const { return std::holds_alternative<T>(state_); }
  const Status& status() const { return std::get<Status>(state_); }
  T& value() { return std::get<T>(state_); }
  const T& value() const { return std::get<T>(state_); }

 private:
  std::variant<Status, T> state_;
};

}  // namespace msb

// Returns from the enclosing function when `expression` is not ok.
#define MSB_RETURN_IF_ERROR(expression)                                      \
  do {                                                                       \
    if (::msb::Status status_ = (expression); !status_.ok()) return status_; \
  } while (0)

#endif  // MSB_BASE_STATUS_H_
