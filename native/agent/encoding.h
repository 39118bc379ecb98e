#ifndef MSB_AGENT_ENCODING_H_
#define MSB_AGENT_ENCODING_H_

#include <string>
#include <string_view>

namespace msb::agent {

// Both append to `out` and are strict: false for any character or length that an encoder would not
// have written.
bool DecodeHex(std::string_view text, std::string* out);
bool DecodeBase64(std::string_view text, std::string* out);

}  // namespace msb::agent

#endif  // MSB_AGENT_ENCODING_H_
