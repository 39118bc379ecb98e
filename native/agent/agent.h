#ifndef MSB_AGENT_AGENT_H_
#define MSB_AGENT_AGENT_H_

#include <cstdint>
#include <optional>

#include "agent/cgroup.h"
#include "agent/connection.h"
#include "agent/event_loop.h"
#include "agent/exec_table.h"
#include "agent/file_service.h"
#include "agent/guest_init.h"
#include "agent/memory_guard.h"
#include "agent/messages.h"
#include "agent/reaper.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::agent {

// Answers the host: takes requests, and gives data and credit to the streams they belong to.
class Agent final : public Connection::Delegate {
 public:
  explicit Agent(const Timings& timings);

  // Returns only what makes it impossible to go on.
  Status Serve(UniqueFd port);

  void OnHello(Json::Object* reply) override;
  void OnMessage(uint32_t stream, const Json& message) override;
  bool OnData(const Frame& frame) override;
  bool OnCredit(uint32_t stream, uint64_t consumed, uint64_t limit) override;

 private:
  enum class State { kNew, kReady, kFailed };
  struct Handler;
  static const Handler kHandlers[];

  // No reply: it was sent or comes later.
  std::optional<Reply> Handle(const Request& request);
  // Streams are numbered upwards and never used again.
  Status TakeStreamNumber(uint32_t stream);

  std::optional<Reply> SetUp(const Request& request);
  std::optional<Reply> Resume(const Request& request);
  std::optional<Reply> Ping(const Request& request);
  std::optional<Reply> SetTime(const Request& request);
  std::optional<Reply> Metrics(const Request& request);
  std::optional<Reply> ShutDown(const Request& request);

  Timings timings_;
  EventLoop loop_;
  Reaper reaper_;
  CgroupTree cgroups_;
  MemoryGuard memory_guard_;
  Connection connection_;
  ExecTable execs_;
  FileService files_;
  State state_ = State::kNew;
  UniqueFd upper_;
  uint32_t last_stream_ = 0;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_AGENT_H_
