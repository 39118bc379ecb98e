#ifndef MSB_AGENT_MESSAGES_H_
#define MSB_AGENT_MESSAGES_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/frame.h"
#include "base/json.h"
#include "base/status.h"

// Wire types of src/agent/PROTOCOL.md and their checks. Twin of src/agent/messages.ts.
namespace msb::agent {

inline constexpr int kGeneration = 3;
inline constexpr char kAgentVersion[] = "0.1.0";
// Bytes a sender may be ahead of its receiver on one stream and direction.
inline constexpr uint64_t kWindowBytes = 262'144;
// The kernel takes this much in one write to the port.
inline constexpr size_t kPortWriteBytes = 32'768;
// A data frame of the agent carries at most this much, so that streams take turns; the whole frame
// is one write.
inline constexpr size_t kMaxDataBytes = kPortWriteBytes - kFrameHeaderBytes - 1;
// Where a program finds its control channel.
inline constexpr int kControlFd = 3;
inline constexpr size_t kMaxExecs = 256;
inline constexpr size_t kMaxFileStreams = 64;

struct Request {
  int64_t id = 0;
  uint32_t stream = 0;
  std::string type;
  const Json* body = nullptr;
};

// What the guest answers to a request.
class Reply {
 public:
  static Reply Ok(Json::Object fields = {});
  static Reply Invalid(const Status& status) { return Error("invalid", status.message()); }
  static Reply Error(std::string code, std::string message);
  // A failed system call; also code `exec`, whose operations PROTOCOL.md lists.
  static Reply Failed(std::string code, const Status& status);
  static Reply System(const Status& status) { return Failed("system", status); }

  bool ok() const { return ok_; }
  // The whole message.
  Json ToJson(int64_t id) const;
  // The event that ends a file stream after its first reply.
  Json ToStreamError() const;

 private:
  bool ok_ = true;
  Json::Object fields_;
};

struct HelloRequest {
  int64_t id = 0;
  int64_t generation = 0;
  std::string session;  // 16 bytes
  std::string nonce;
};
StatusOr<HelloRequest> ParseHello(const Json& body);

// What no two guests share.
struct Identity {
  std::string hostname;
  int64_t clock_ms = 0;
  std::string entropy;  // decoded
};

struct SetupRequest {
  std::string image;
  std::optional<std::string> upper;
  Identity identity;
};
StatusOr<SetupRequest> ParseSetup(const Json& body);

struct ResumeRequest {
  std::string nonce;  // 16 bytes
  Identity identity;
};
StatusOr<ResumeRequest> ParseResume(const Json& body);

struct PtySize {
  uint16_t cols = 0;
  uint16_t rows = 0;
};
StatusOr<PtySize> ParsePtySize(const Json& body);

struct ResourceLimit {
  int resource = 0;  // RLIMIT_*
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct ExecStartRequest {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;  // empty: root
  std::optional<PtySize> pty;
  bool has_stdin = false;
  bool has_control = false;
  int64_t timeout_ms = 0;
  std::vector<ResourceLimit> rlimits;
};
StatusOr<ExecStartRequest> ParseExecStart(const Json& body);

// An absolute path that a system call accepts.
StatusOr<std::string> GetPath(const Json& body, std::string_view key);

// The largest integer that JSON carries exactly.
inline constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

}  // namespace msb::agent

#endif  // MSB_AGENT_MESSAGES_H_
