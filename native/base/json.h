#ifndef MSB_BASE_JSON_H_
#define MSB_BASE_JSON_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace msb {

// Strict JSON (RFC 8259) with limits, for messages from other processes.
//
// Strings hold bytes. A byte that is not part of valid UTF-8 is written as the lone surrogate
// \udc80 + (byte - 0x80) and read back to that byte (the surrogateescape rule of
// src/agent/PROTOCOL.md). Other lone surrogates, raw invalid UTF-8, NUL escapes inside object keys,
// duplicate keys, trailing bytes and a depth over 16 are errors.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  static constexpr int kMaxDepth = 16;

  Json() = default;                                              // null
  Json(bool value) : value_(value) {}                            // NOLINT: implicit by design
  Json(int value) : value_(static_cast<int64_t>(value)) {}       // NOLINT
  Json(int64_t value) : value_(value) {}                         // NOLINT
  Json(uint32_t value) : value_(static_cast<int64_t>(value)) {}  // NOLINT
  Json(uint64_t value) : value_(static_cast<int64_t>(value)) {}  // NOLINT
  Json(double value) : value_(value) {}                          // NOLINT
  Json(std::string value) : value_(std::move(value)) {}          // NOLINT
  Json(std::string_view value) : value_(std::string(value)) {}   // NOLINT
  Json(const char* value) : value_(std::string(value)) {}        // NOLINT
  Json(Array value) : value_(std::move(value)) {}                // NOLINT
  Json(Object value) : value_(std::move(value)) {}               // NOLINT

  // Numbers without fraction and exponent within +-(2^53 - 1) become int64; others become double.
  static StatusOr<Json> Parse(std::string_view text, size_t max_bytes);
  std::string Serialize() const;

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  const bool* AsBool() const { return std::get_if<bool>(&value_); }
  const int64_t* AsInt() const { return std::get_if<int64_t>(&value_); }
  const double* AsDouble() const { return std::get_if<double>(&value_); }
  const std::string* AsString() const { return std::get_if<std::string>(&value_); }
  const Array* AsArray() const { return std::get_if<Array>(&value_); }
  const Object* AsObject() const { return std::get_if<Object>(&value_); }

  // The member of an object; null when this is no object or has no such member.
  const Json* Find(std::string_view key) const;

  // Typed members. Each is an error that names `key` when the member is absent (without fallback),
  // of the wrong type or out of range.
  StatusOr<std::string> GetString(std::string_view key,
                                  std::optional<std::string> fallback = std::nullopt) const;
  StatusOr<int64_t> GetInt(std::string_view key, int64_t min, int64_t max,
                           std::optional<int64_t> fallback = std::nullopt) const;
  StatusOr<bool> GetBool(std::string_view key, std::optional<bool> fallback = std::nullopt) const;
  StatusOr<std::vector<std::string>> GetStrings(std::string_view key, size_t max_count) const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

}  // namespace msb

#endif  // MSB_BASE_JSON_H_
