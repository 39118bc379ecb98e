#include "agent/agent.h"

#include <limits.h>
#include <sys/mman.h>

#include <cstdio>

#include "agent/clock.h"
#include "agent/metrics.h"
#include "agent/shutdown.h"

namespace msb::agent {
namespace {

constexpr size_t kMaxPingBytes = 4096;  // 1,024 characters of up to 4 bytes
constexpr int64_t kDefaultGraceMs = 1'000;
constexpr int64_t kMaxGraceMs = 3'600'000;
// Time for the reply to core.shutdown to reach the host.
constexpr int64_t kLastWordsMs = 200;

}  // namespace

struct Agent::Handler {
  enum class Needs { kNothing, kSetUp, kNewStream };
  std::string_view type;
  Needs needs;
  std::optional<Reply> (*handle)(Agent* agent, const Request& request);
};

const Agent::Handler Agent::kHandlers[] = {
    {"core.setup", Handler::Needs::kNothing,
     [](Agent* agent, const Request& request) { return agent->SetUp(request); }},
    {"core.resume", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->Resume(request); }},
    {"core.ping", Handler::Needs::kNothing,
     [](Agent* agent, const Request& request) { return agent->Ping(request); }},
    {"core.time", Handler::Needs::kNothing,
     [](Agent* agent, const Request& request) { return agent->SetTime(request); }},
    {"core.metrics", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->Metrics(request); }},
    {"core.shutdown", Handler::Needs::kNothing,
     [](Agent* agent, const Request& request) { return agent->ShutDown(request); }},
    {"exec.start", Handler::Needs::kNewStream,
     [](Agent* agent, const Request& request) { return agent->execs_.Start(request); }},
    {"exec.signal", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->execs_.Signal(request); }},
    {"exec.resize", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->execs_.Resize(request); }},
    {"exec.attach", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->execs_.Attach(request); }},
    {"exec.close", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->execs_.Close(request); }},
    {"file.read", Handler::Needs::kNewStream,
     [](Agent* agent, const Request& request) { return agent->files_.Read(request); }},
    {"file.write", Handler::Needs::kNewStream,
     [](Agent* agent, const Request& request) { return agent->files_.Write(request); }},
    {"file.list", Handler::Needs::kNewStream,
     [](Agent* agent, const Request& request) { return agent->files_.List(request); }},
    {"file.stat", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->files_.Stat(request); }},
    {"file.mkdir", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->files_.MakeDirectory(request); }},
    {"file.remove", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->files_.Remove(request); }},
    {"file.rename", Handler::Needs::kSetUp,
     [](Agent* agent, const Request& request) { return agent->files_.Rename(request); }},
};

Agent::Agent(const Timings& timings)
    : timings_(timings),
      memory_guard_(&loop_),
      connection_(&loop_, this),
      execs_({&loop_, &connection_, &reaper_, &cgroups_}),
      files_(&loop_, &connection_) {}

Status Agent::Serve(UniqueFd port) {
  MSB_RETURN_IF_ERROR(loop_.Open());
  MSB_RETURN_IF_ERROR(reaper_.Open(&loop_));
  reaper_.AfterReaping([this] { cgroups_.RemoveEmpty(); });
  MSB_RETURN_IF_ERROR(connection_.Open(std::move(port)));
  while (true) MSB_RETURN_IF_ERROR(loop_.RunOnce());
}

void Agent::OnHello(Json::Object* reply) {
  execs_.DetachAll();
  files_.CancelAll();
  (*reply)["state"] = state_ == State::kReady ? "ready" : "new";
  (*reply)["uptimeMs"] = MonotonicMs();
  (*reply)["nextStream"] = int64_t{last_stream_} + 1;
  (*reply)["execs"] = execs_.DescribeAll();
}

void Agent::OnMessage(uint32_t stream, const Json& message) {
  StatusOr<std::string> type = message.GetString("type");
  if (message.Find("id") == nullptr) {
    if (type.ok() && type.value() == "stream.cancel") files_.Cancel(stream);
    return;
  }
  StatusOr<int64_t> id = message.GetInt("id", 1, INT_MAX);
  // Without an id nobody can be told.
  if (!id.ok()) return;
  std::optional<Reply> reply;
  if (type.ok()) {
    reply = Handle({id.value(), stream, std::move(type.value()), &message});
  } else {
    reply = Reply::Invalid(type.status());
  }
  if (reply.has_value()) connection_.SendMessage(stream, reply->ToJson(id.value()));
}

std::optional<Reply> Agent::Handle(const Request& request) {
  for (const Handler& handler : kHandlers) {
    if (handler.type != request.type) continue;
    if (handler.needs == Handler::Needs::kNewStream) {
      const Status taken = TakeStreamNumber(request.stream);
      if (!taken.ok()) return Reply::Invalid(taken);
    }
    if (handler.needs != Handler::Needs::kNothing && state_ != State::kReady) {
      return Reply::Error("state", request.type + " needs core.setup");
    }
    return handler.handle(this, request);
  }
  return Reply::Error("unknown", "unknown type " + request.type);
}

Status Agent::TakeStreamNumber(uint32_t stream) {
  if (stream <= last_stream_) {
    return Status::Invalid("stream",
                           "stream must be at least " + std::to_string(int64_t{last_stream_} + 1));
  }
  last_stream_ = stream;
  return {};
}

bool Agent::OnData(const Frame& frame) {
  if (ExecSession* exec = execs_.Find(frame.stream)) return exec->TakeInput(frame);
  if (FileStream* file = files_.Find(frame.stream)) return file->TakeData(frame);
  // It may have been on its way when the stream ended.
  return frame.stream <= last_stream_;
}

bool Agent::OnCredit(uint32_t stream, uint64_t consumed, uint64_t limit) {
  if (ExecSession* exec = execs_.Find(stream)) return exec->TakeCredit(consumed, limit);
  if (FileStream* file = files_.Find(stream)) {
    if (!file->TakeCredit(consumed, limit)) return false;
    connection_.MarkReady(file);
    return true;
  }
  return stream <= last_stream_;
}

std::optional<Reply> Agent::SetUp(const Request& request) {
  if (state_ != State::kNew) return Reply::Error("state", "core.setup was called before");
  StatusOr<SetupRequest> setup = ParseSetup(*request.body);
  if (!setup.ok()) return Reply::Invalid(setup.status());
  timings_.Mark("request");
  StatusOr<UniqueFd> upper = SetUpGuest(setup.value(), &timings_);
  if (!upper.ok()) {
    state_ = State::kFailed;
    return Reply::System(upper.status());
  }
  upper_ = std::move(upper.value());
  const Status limited = cgroups_.SetUp();
  // A kernel that cannot limit memory has nothing to guard.
  if (limited.ok()) (void)memory_guard_.Start(CgroupTree::kRun);
  if (!limited.ok()) {
    std::fprintf(stderr, "msb-agent: no cgroups: %s: %s\n", limited.operation().c_str(),
                 limited.message().c_str());
  }
  timings_.Mark("cgroup");
  state_ = State::kReady;
  // Programs that use up the memory must not push the agent's code out of it. After the reply,
  // since it takes time.
  loop_.Defer([] { mlockall(MCL_CURRENT); });
  return Reply::Ok({{"timings", timings_.ToJson()}});
}

std::optional<Reply> Agent::Resume(const Request& request) {
  StatusOr<ResumeRequest> resume = ParseResume(*request.body);
  if (!resume.ok()) return Reply::Invalid(resume.status());
  const Status taken = TakeIdentity(resume.value().identity);
  if (!taken.ok()) return Reply::System(taken);
  connection_.ReplaceNonce(std::move(resume.value().nonce));
  return Reply::Ok();
}

std::optional<Reply> Agent::Ping(const Request& request) {
  StatusOr<std::string> data = request.body->GetString("data", "");
  if (!data.ok()) return Reply::Invalid(data.status());
  if (data.value().size() > kMaxPingBytes) {
    return Reply::Error("invalid", "data must have at most 1,024 characters");
  }
  return Reply::Ok({{"data", std::move(data.value())}});
}

std::optional<Reply> Agent::SetTime(const Request& request) {
  StatusOr<int64_t> clock_ms = request.body->GetInt("clockMs", 0, kMaxSafeInteger);
  if (!clock_ms.ok()) return Reply::Invalid(clock_ms.status());
  const Status set = SetClock(clock_ms.value());
  return set.ok() ? Reply::Ok() : Reply::System(set);
}

std::optional<Reply> Agent::Metrics(const Request&) {
  StatusOr<Json::Object> metrics = ReadMetrics(upper_.get());
  if (!metrics.ok()) return Reply::System(metrics.status());
  return Reply::Ok(std::move(metrics.value()));
}

std::optional<Reply> Agent::ShutDown(const Request& request) {
  StatusOr<int64_t> grace_ms = request.body->GetInt("graceMs", 0, kMaxGraceMs, kDefaultGraceMs);
  if (!grace_ms.ok()) return Reply::Invalid(grace_ms.status());
  connection_.SendMessage(request.stream, Reply::Ok().ToJson(request.id));
  connection_.Drain(kLastWordsMs);
  agent::ShutDown(&reaper_, grace_ms.value(), upper_.get());
}

}  // namespace msb::agent
