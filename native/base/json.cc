#include "base/json.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace msb {
namespace {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The length of the valid UTF-8 sequence at the start of `text` (no overlong forms, no surrogates,
// at most U+10FFFF); 0 if there is none.
size_t Utf8SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) return 0;
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | (code >> 6)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | (code >> 12)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | (code >> 18)));
    out->push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

void AppendQuoted(std::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    const unsigned char lead = static_cast<unsigned char>(text[0]);
    char escape[8];
    if (length == 0) {
      std::snprintf(escape, sizeof(escape), "\\udc%02x", lead);
      out->append(escape);
      text.remove_prefix(1);
      continue;
    }
    if (lead == '"' || lead == '\\') {
      out->push_back('\\');
      out->push_back(static_cast<char>(lead));
    } else if (lead == '\n') {
      out->append("\\n");
    } else if (lead < 0x20 || lead == 0x7f) {
      std::snprintf(escape, sizeof(escape), "\\u%04x", lead);
      out->append(escape);
    } else {
      out->append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out->push_back('"');
}

void AppendDouble(double value, std::string* out) {
  if (!std::isfinite(value)) {  // JSON has no word for it.
    out->append("null");
    return;
  }
  char digits[40];
  std::snprintf(digits, sizeof(digits), "%.15g", value);
  if (std::strtod(digits, nullptr) != value) std::snprintf(digits, sizeof(digits), "%.17g", value);
  for (char* c = digits; *c != '\0'; ++c) {
    if (*c == ',') *c = '.';  // The decimal point of some locales.
  }
  out->append(digits);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  StatusOr<Json> ParseDocument() {
    Json value;
    SkipSpace();
    if (!ParseValue(0, &value)) return Failure();
    SkipSpace();
    if (position_ != text_.size()) {
      Fail("bytes after the value");
      return Failure();
    }
    return value;
  }

 private:
  Status Failure() const {
    return Status::Invalid("json", std::string(problem_) + " at byte " + std::to_string(position_));
  }

  bool Fail(const char* problem) {
    if (problem_ == nullptr) problem_ = problem;
    return false;
  }

  bool AtEnd() const { return position_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[position_]; }

  bool Take(char expected) {
    if (AtEnd() || text_[position_] != expected) return false;
    ++position_;
    return true;
  }

  void SkipSpace() {
    while (!AtEnd()) {
      const char c = text_[position_];
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
      ++position_;
    }
  }

  bool ParseWord(std::string_view word, Json value, Json* out) {
    if (text_.substr(position_, word.size()) != word) return Fail("unknown word");
    position_ += word.size();
    *out = std::move(value);
    return true;
  }

  // `depth` counts the arrays and objects around the value.
  bool ParseValue(int depth, Json* out) {
    if (AtEnd()) return Fail("value expected");
    switch (Peek()) {
      case '{':
        return ParseObject(depth + 1, out);
      case '[':
        return ParseArray(depth + 1, out);
      case '"': {
        std::string text;
        if (!ParseString(&text)) return false;
        *out = Json(std::move(text));
        return true;
      }
      case 't':
        return ParseWord("true", Json(true), out);
      case 'f':
        return ParseWord("false", Json(false), out);
      case 'n':
        return ParseWord("null", Json(), out);
      default:
        return ParseNumber(out);
    }
  }

  bool ParseArray(int depth, Json* out) {
    if (depth > Json::kMaxDepth) return Fail("too deep");
    ++position_;
    Json::Array array;
    SkipSpace();
    if (!Take(']')) {
      while (true) {
        SkipSpace();
        Json item;
        if (!ParseValue(depth, &item)) return false;
        array.push_back(std::move(item));
        SkipSpace();
        if (Take(']')) break;
        if (!Take(',')) return Fail("comma or ] expected");
      }
    }
    *out = Json(std::move(array));
    return true;
  }

  bool ParseObject(int depth, Json* out) {
    if (depth > Json::kMaxDepth) return Fail("too deep");
    ++position_;
    Json::Object object;
    SkipSpace();
    if (!Take('}')) {
      while (true) {
        SkipSpace();
        if (Peek() != '"') return Fail("key expected");
        std::string key;
        if (!ParseString(&key)) return false;
        if (key.find('\0') != std::string::npos) return Fail("NUL in a key");
        SkipSpace();
        if (!Take(':')) return Fail("colon expected");
        SkipSpace();
        Json value;
        if (!ParseValue(depth, &value)) return false;
        if (!object.emplace(std::move(key), std::move(value)).second) return Fail("duplicate key");
        SkipSpace();
        if (Take('}')) break;
        if (!Take(',')) return Fail("comma or } expected");
      }
    }
    *out = Json(std::move(object));
    return true;
  }

  bool ParseString(std::string* out) {
    ++position_;
    while (!AtEnd()) {
      const unsigned char lead = static_cast<unsigned char>(text_[position_]);
      if (lead == '"') {
        ++position_;
        return true;
      }
      if (lead == '\\') {
        ++position_;
        if (!ParseEscape(out)) return false;
        continue;
      }
      if (lead < 0x20) return Fail("control character in a string");
      const size_t length = Utf8SequenceLength(text_.substr(position_));
      if (length == 0) return Fail("invalid UTF-8");
      out->append(text_.substr(position_, length));
      position_ += length;
    }
    return Fail("unfinished string");
  }

  bool ParseEscape(std::string* out) {
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char name = Peek();
    if (name == 'u') {
      ++position_;
      return ParseUnicodeEscape(out);
    }
    const size_t index = AtEnd() ? std::string_view::npos : kNames.find(name);
    if (index == std::string_view::npos) return Fail("unknown escape");
    ++position_;
    out->push_back(kMeanings[index]);
    return true;
  }

  bool ParseUnicodeEscape(std::string* out) {
    uint32_t code = 0;
    if (!ParseHex4(&code)) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
      uint32_t low = 0;
      if (!Take('\\') || !Take('u')) return Fail("lone surrogate");
      if (!ParseHex4(&low)) return false;
      if (low < 0xdc00 || low > 0xdfff) return Fail("lone surrogate");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc80 && code <= 0xdcff) {
      out->push_back(static_cast<char>(code - 0xdc00));
      return true;
    } else if (code >= 0xdc00 && code <= 0xdfff) {
      return Fail("lone surrogate");
    }
    AppendUtf8(code, out);
    return true;
  }

  bool ParseHex4(uint32_t* code) {
    for (int i = 0; i < 4; ++i) {
      const char c = Peek();
      uint32_t digit = 0;
      if (IsDigit(c)) {
        digit = static_cast<uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        digit = static_cast<uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        digit = static_cast<uint32_t>(c - 'A' + 10);
      } else {
        return Fail("four hex digits expected");
      }
      *code = *code * 16 + digit;
      ++position_;
    }
    return true;
  }

  bool ParseNumber(Json* out) {
    const size_t start = position_;
    const bool negative = Take('-');
    bool integral = true;
    if (Take('0')) {
      if (IsDigit(Peek())) return Fail("leading zero");
    } else if (!SkipDigits()) {
      return Fail(negative ? "digit expected" : "value expected");
    }
    if (Take('.')) {
      integral = false;
      if (!SkipDigits()) return Fail("digit expected");
    }
    if (Take('e') || Take('E')) {
      integral = false;
      if (!Take('+')) Take('-');
      if (!SkipDigits()) return Fail("digit expected");
    }
    const std::string digits(text_.substr(start, position_ - start));
    if (integral && digits.size() <= 17) {
      const int64_t value = std::strtoll(digits.c_str(), nullptr, 10);
      if (value >= -kMaxSafeInteger && value <= kMaxSafeInteger) {
        *out = Json(value);
        return true;
      }
    }
    const double value = std::strtod(digits.c_str(), nullptr);
    if (!std::isfinite(value)) return Fail("number out of range");
    *out = Json(value);
    return true;
  }

  bool SkipDigits() {
    const size_t start = position_;
    while (IsDigit(Peek())) ++position_;
    return position_ > start;
  }

  const std::string_view text_;
  size_t position_ = 0;
  const char* problem_ = nullptr;
};

void AppendJson(const Json& json, std::string* out) {
  if (const bool* value = json.AsBool()) {
    out->append(*value ? "true" : "false");
  } else if (const int64_t* value = json.AsInt()) {
    out->append(std::to_string(*value));
  } else if (const double* value = json.AsDouble()) {
    AppendDouble(*value, out);
  } else if (const std::string* value = json.AsString()) {
    AppendQuoted(*value, out);
  } else if (const Json::Array* array = json.AsArray()) {
    out->push_back('[');
    bool first = true;
    for (const Json& item : *array) {
      if (!first) out->push_back(',');
      first = false;
      AppendJson(item, out);
    }
    out->push_back(']');
  } else if (const Json::Object* object = json.AsObject()) {
    out->push_back('{');
    bool first = true;
    for (const auto& [key, value] : *object) {
      if (!first) out->push_back(',');
      first = false;
      AppendQuoted(key, out);
      out->push_back(':');
      AppendJson(value, out);
    }
    out->push_back('}');
  } else {
    out->append("null");
  }
}

Status Missing(std::string_view key) {
  return Status::Invalid(std::string(key), std::string(key) + " is missing");
}

Status WrongType(std::string_view key, const char* expected) {
  return Status::Invalid(std::string(key), std::string(key) + " must be " + expected);
}

}  // namespace

StatusOr<Json> Json::Parse(std::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return Status::Invalid("json", "more than " + std::to_string(max_bytes) + " bytes");
  }
  return Parser(text).ParseDocument();
}

std::string Json::Serialize() const {
  std::string out;
  AppendJson(*this, &out);
  return out;
}

const Json* Json::Find(std::string_view key) const {
  const Object* object = AsObject();
  if (object == nullptr) return nullptr;
  const auto member = object->find(key);
  return member == object->end() ? nullptr : &member->second;
}

StatusOr<std::string> Json::GetString(std::string_view key,
                                      std::optional<std::string> fallback) const {
  const Json* member = Find(key);
  if (member == nullptr) {
    if (fallback.has_value()) return *std::move(fallback);
    return Missing(key);
  }
  const std::string* text = member->AsString();
  if (text == nullptr) return WrongType(key, "a string");
  return *text;
}

StatusOr<int64_t> Json::GetInt(std::string_view key, int64_t min, int64_t max,
                               std::optional<int64_t> fallback) const {
  const Json* member = Find(key);
  if (member == nullptr) {
    if (fallback.has_value()) return *fallback;
    return Missing(key);
  }
  const int64_t* value = member->AsInt();
  if (value == nullptr) return WrongType(key, "an integer");
  if (*value < min || *value > max) {
    return Status::Invalid(
        std::string(key),
        std::string(key) + " must be from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return *value;
}

StatusOr<bool> Json::GetBool(std::string_view key, std::optional<bool> fallback) const {
  const Json* member = Find(key);
  if (member == nullptr) {
    if (fallback.has_value()) return *fallback;
    return Missing(key);
  }
  const bool* value = member->AsBool();
  if (value == nullptr) return WrongType(key, "true or false");
  return *value;
}

StatusOr<std::vector<std::string>> Json::GetStrings(std::string_view key, size_t max_count) const {
  const Json* member = Find(key);
  if (member == nullptr) return Missing(key);
  const Array* array = member->AsArray();
  if (array == nullptr) return WrongType(key, "an array of strings");
  if (array->size() > max_count) {
    return Status::Invalid(std::string(key), std::string(key) + " must have at most " +
                                                 std::to_string(max_count) + " items");
  }
  std::vector<std::string> strings;
  strings.reserve(array->size());
  for (const Json& item : *array) {
    const std::string* text = item.AsString();
    if (text == nullptr) return WrongType(key, "an array of strings");
    strings.push_back(*text);
  }
  return strings;
}

}  // namespace msb
