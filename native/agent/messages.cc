#include "agent/messages.h"

#include <limits.h>
#include <sys/resource.h>

#include "agent/encoding.h"

namespace msb::agent {
namespace {

constexpr size_t kMaxArguments = 4096;
constexpr size_t kMaxEntropyBytes = 512;
constexpr size_t kMaxErrorText = 1024;
constexpr std::string_view kControlVariable = "MSB_CONTROL_FD=";

struct ResourceName {
  const char* name;
  int resource;
};
constexpr ResourceName kResources[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

Status CheckNoNul(const char* field, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (HasNul(text)) return Status::Invalid(field, std::string(field) + " has a NUL byte");
  }
  return {};
}

StatusOr<ResourceLimit> ParseLimit(const Json& item) {
  StatusOr<std::string> name = item.GetString("resource");
  if (!name.ok()) return name.status();
  // -1 is RLIM_INFINITY.
  StatusOr<int64_t> soft = item.GetInt("soft", -1, kMaxSafeInteger);
  if (!soft.ok()) return soft.status();
  StatusOr<int64_t> hard = item.GetInt("hard", -1, kMaxSafeInteger);
  if (!hard.ok()) return hard.status();
  for (const ResourceName& known : kResources) {
    if (name.value() != known.name) continue;
    return ResourceLimit{known.resource, static_cast<uint64_t>(soft.value()),
                         static_cast<uint64_t>(hard.value())};
  }
  return Status::Invalid("rlimits", "rlimits has an unknown resource " + name.value());
}

Status ParseLimits(const Json& body, std::vector<ResourceLimit>* limits) {
  const Json* member = body.Find("rlimits");
  if (member == nullptr) return {};
  const Json::Array* array = member->AsArray();
  if (array == nullptr || array->size() > std::size(kResources)) {
    return Status::Invalid("rlimits", "rlimits must be an array with one item a resource");
  }
  for (const Json& item : *array) {
    StatusOr<ResourceLimit> limit = ParseLimit(item);
    if (!limit.ok()) return limit.status();
    limits->push_back(limit.value());
  }
  return {};
}

StatusOr<Identity> ParseIdentity(const Json& body) {
  Identity identity;
  StatusOr<std::string> hostname = body.GetString("hostname");
  if (!hostname.ok()) return hostname.status();
  identity.hostname = std::move(hostname.value());
  if (identity.hostname.empty() || identity.hostname.size() > HOST_NAME_MAX ||
      HasNul(identity.hostname) || identity.hostname.find_first_of(" \t\n") != std::string::npos) {
    return Status::Invalid("hostname", "hostname must be 1 to 64 bytes without space");
  }
  StatusOr<int64_t> clock_ms = body.GetInt("clockMs", 0, kMaxSafeInteger);
  if (!clock_ms.ok()) return clock_ms.status();
  identity.clock_ms = clock_ms.value();
  StatusOr<std::string> entropy = body.GetString("entropy");
  if (!entropy.ok()) return entropy.status();
  if (!DecodeBase64(entropy.value(), &identity.entropy) ||
      identity.entropy.size() > kMaxEntropyBytes) {
    return Status::Invalid("entropy", "entropy must be base64 of at most 512 bytes");
  }
  return identity;
}

StatusOr<std::string> ParseHex16(const Json& body, const char* key) {
  StatusOr<std::string> digits = body.GetString(key);
  if (!digits.ok()) return digits.status();
  std::string bytes;
  if (digits.value().size() != 32 || !DecodeHex(digits.value(), &bytes)) {
    return Status::Invalid(key, std::string(key) + " must be 32 hex digits");
  }
  return bytes;
}

}  // namespace

Reply Reply::Ok(Json::Object fields) {
  Reply reply;
  reply.fields_ = std::move(fields);
  return reply;
}

Reply Reply::Error(std::string code, std::string message) {
  Reply reply;
  reply.ok_ = false;
  // A path in the message may be long; the whole frame must stay below its limit.
  if (message.size() > kMaxErrorText) message.resize(kMaxErrorText);
  reply.fields_["code"] = std::move(code);
  reply.fields_["message"] = std::move(message);
  return reply;
}

Reply Reply::Failed(std::string code, const Status& status) {
  Reply reply = Error(std::move(code), status.message());
  reply.fields_["operation"] = status.operation();
  reply.fields_["errno"] = status.error_number();
  return reply;
}

Json Reply::ToJson(int64_t id) const {
  Json::Object message = fields_;
  message["id"] = id;
  message["type"] = ok_ ? "ok" : "error";
  return message;
}

Json Reply::ToStreamError() const {
  Json::Object message = fields_;
  message["type"] = "stream.error";
  return message;
}

StatusOr<HelloRequest> ParseHello(const Json& body) {
  HelloRequest hello;
  StatusOr<int64_t> id = body.GetInt("id", 1, INT_MAX);
  if (!id.ok()) return id.status();
  hello.id = id.value();
  StatusOr<int64_t> generation = body.GetInt("generation", 0, INT_MAX);
  if (!generation.ok()) return generation.status();
  hello.generation = generation.value();
  StatusOr<std::string> session = ParseHex16(body, "session");
  if (!session.ok()) return session.status();
  hello.session = std::move(session.value());
  StatusOr<std::string> nonce = ParseHex16(body, "nonce");
  if (!nonce.ok()) return nonce.status();
  hello.nonce = std::move(nonce.value());
  return hello;
}

StatusOr<SetupRequest> ParseSetup(const Json& body) {
  SetupRequest setup;
  StatusOr<std::string> image = GetPath(body, "image");
  if (!image.ok()) return image.status();
  setup.image = std::move(image.value());
  const Json* upper = body.Find("upper");
  if (upper == nullptr || !upper->is_null()) {
    StatusOr<std::string> path = GetPath(body, "upper");
    if (!path.ok()) return path.status();
    setup.upper = std::move(path.value());
  }
  StatusOr<Identity> identity = ParseIdentity(body);
  if (!identity.ok()) return identity.status();
  setup.identity = std::move(identity.value());
  return setup;
}

StatusOr<ResumeRequest> ParseResume(const Json& body) {
  ResumeRequest resume;
  StatusOr<std::string> nonce = ParseHex16(body, "nonce");
  if (!nonce.ok()) return nonce.status();
  resume.nonce = std::move(nonce.value());
  StatusOr<Identity> identity = ParseIdentity(body);
  if (!identity.ok()) return identity.status();
  resume.identity = std::move(identity.value());
  return resume;
}

StatusOr<PtySize> ParsePtySize(const Json& body) {
  StatusOr<int64_t> cols = body.GetInt("cols", 1, UINT16_MAX);
  if (!cols.ok()) return cols.status();
  StatusOr<int64_t> rows = body.GetInt("rows", 1, UINT16_MAX);
  if (!rows.ok()) return rows.status();
  return PtySize{static_cast<uint16_t>(cols.value()), static_cast<uint16_t>(rows.value())};
}

StatusOr<ExecStartRequest> ParseExecStart(const Json& body) {
  ExecStartRequest start;
  StatusOr<std::vector<std::string>> argv = body.GetStrings("argv", kMaxArguments);
  if (!argv.ok()) return argv.status();
  start.argv = std::move(argv.value());
  if (start.argv.empty() || start.argv[0].empty()) {
    return Status::Invalid("argv", "argv must begin with a program");
  }
  MSB_RETURN_IF_ERROR(CheckNoNul("argv", start.argv));
  if (body.Find("env") != nullptr) {
    StatusOr<std::vector<std::string>> env = body.GetStrings("env", kMaxArguments);
    if (!env.ok()) return env.status();
    start.env = std::move(env.value());
    MSB_RETURN_IF_ERROR(CheckNoNul("env", start.env));
    for (const std::string& variable : start.env) {
      const size_t equals = variable.find('=');
      if (equals == std::string::npos || equals == 0) {
        return Status::Invalid("env", "env must have items of the form K=V");
      }
    }
  }
  start.cwd = "/";
  if (body.Find("cwd") != nullptr) {
    StatusOr<std::string> cwd = GetPath(body, "cwd");
    if (!cwd.ok()) return cwd.status();
    start.cwd = std::move(cwd.value());
  }
  StatusOr<std::string> user = body.GetString("user", "");
  if (!user.ok()) return user.status();
  start.user = std::move(user.value());
  if (const Json* pty = body.Find("pty"); pty != nullptr && !pty->is_null()) {
    StatusOr<PtySize> size = ParsePtySize(*pty);
    if (!size.ok()) return size.status();
    start.pty = size.value();
  }
  StatusOr<bool> has_stdin = body.GetBool("stdin", false);
  if (!has_stdin.ok()) return has_stdin.status();
  start.has_stdin = has_stdin.value();
  StatusOr<bool> has_control = body.GetBool("control", false);
  if (!has_control.ok()) return has_control.status();
  start.has_control = has_control.value();
  // The host's own value would say something else than what is true.
  if (start.has_control) {
    std::erase_if(start.env, [](const std::string& variable) {
      return variable.starts_with(kControlVariable);
    });
    start.env.push_back(std::string(kControlVariable) + std::to_string(kControlFd));
  }
  StatusOr<int64_t> timeout_ms = body.GetInt("timeoutMs", 0, kMaxSafeInteger, 0);
  if (!timeout_ms.ok()) return timeout_ms.status();
  start.timeout_ms = timeout_ms.value();
  MSB_RETURN_IF_ERROR(ParseLimits(body, &start.rlimits));
  return start;
}

StatusOr<std::string> GetPath(const Json& body, std::string_view key) {
  StatusOr<std::string> path = body.GetString(key);
  if (!path.ok()) return path;
  const std::string& text = path.value();
  if (text.empty() || text[0] != '/' || text.size() >= PATH_MAX || HasNul(text)) {
    return Status::Invalid(std::string(key),
                           std::string(key) + " must be an absolute path of at most 4,095 bytes");
  }
  return path;
}

}  // namespace msb::agent
