#include "agent/exec_table.h"

#include <csignal>

namespace msb::agent {
namespace {

Reply NoSuchExec(uint32_t stream) {
  return Reply::Error("not-found", "there is no exec " + std::to_string(stream));
}

}  // namespace

std::optional<Reply> ExecTable::Start(const Request& request) {
  if (sessions_.size() >= kMaxExecs) {
    return Reply::Error("limit", "there are " + std::to_string(kMaxExecs) + " execs");
  }
  StatusOr<ExecStartRequest> start = ParseExecStart(*request.body);
  if (!start.ok()) return Reply::Invalid(start.status());
  auto owned = std::make_unique<ExecSession>(request.stream, context_);
  ExecSession* session = owned.get();
  sessions_[request.stream] = std::move(owned);
  session->Start(std::move(start.value()),
                 [this, id = request.id, stream = request.stream,
                  epoch = context_.connection->epoch()](const Reply& reply) {
                   if (epoch == context_.connection->epoch()) {
                     context_.connection->SendMessage(stream, reply.ToJson(id));
                   }
                   if (!reply.ok()) Retire(stream);
                 });
  return std::nullopt;
}

std::optional<Reply> ExecTable::Signal(const Request& request) {
  ExecSession* session = Find(request.stream);
  if (session == nullptr) return NoSuchExec(request.stream);
  StatusOr<int64_t> signal = request.body->GetInt("signal", 1, SIGRTMAX);
  if (!signal.ok()) return Reply::Invalid(signal.status());
  StatusOr<std::string> scope = request.body->GetString("scope", "process");
  if (!scope.ok()) return Reply::Invalid(scope.status());
  if (scope.value() != "process" && scope.value() != "tree") {
    return Reply::Error("invalid", "scope must be process or tree");
  }
  return session->Signal(static_cast<int>(signal.value()), scope.value() == "tree");
}

std::optional<Reply> ExecTable::Resize(const Request& request) {
  ExecSession* session = Find(request.stream);
  if (session == nullptr) return NoSuchExec(request.stream);
  StatusOr<PtySize> size = ParsePtySize(*request.body);
  if (!size.ok()) return Reply::Invalid(size.status());
  return session->Resize(size.value());
}

std::optional<Reply> ExecTable::Attach(const Request& request) {
  ExecSession* session = Find(request.stream);
  if (session == nullptr) return NoSuchExec(request.stream);
  std::optional<uint64_t> offset;
  if (request.body->Find("outputOffset") != nullptr) {
    StatusOr<int64_t> value = request.body->GetInt("outputOffset", 0, kMaxSafeInteger);
    if (!value.ok()) return Reply::Invalid(value.status());
    offset = static_cast<uint64_t>(value.value());
  }
  const Reply reply = session->Attach(offset);
  context_.connection->SendMessage(request.stream, reply.ToJson(request.id));
  if (reply.ok()) session->Resume();
  return std::nullopt;
}

std::optional<Reply> ExecTable::Close(const Request& request) {
  ExecSession* session = Find(request.stream);
  if (session == nullptr) return NoSuchExec(request.stream);
  session->Abandon();
  if (session->LeavesWriters()) {
    Linger(request.stream);
  } else {
    Retire(request.stream);
  }
  return Reply::Ok();
}

ExecSession* ExecTable::Find(uint32_t stream) const {
  const auto found = sessions_.find(stream);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void ExecTable::DetachAll() {
  for (const auto& [stream, session] : sessions_) session->Detach();
}

Json ExecTable::DescribeAll() const {
  Json::Array list;
  for (const auto& [stream, session] : sessions_) list.push_back(session->Describe());
  return list;
}

void ExecTable::Retire(uint32_t stream) {
  const auto found = sessions_.find(stream);
  if (found == sessions_.end()) return;
  found->second->Detach();
  Destroy(std::move(found->second));
  sessions_.erase(found);
}

void ExecTable::Linger(uint32_t stream) {
  const auto found = sessions_.find(stream);
  ExecSession* session = found->second.get();
  lingering_[stream] = std::move(found->second);
  sessions_.erase(found);
  session->Linger([this, stream] {
    const auto silent = lingering_.find(stream);
    Destroy(std::move(silent->second));
    lingering_.erase(silent);
  });
}

void ExecTable::Destroy(std::unique_ptr<ExecSession> owned) {
  // std::function wants copies, which a unique_ptr has not.
  std::shared_ptr<ExecSession> session = std::move(owned);
  context_.loop->Defer([session = std::move(session)] {});
}

}  // namespace msb::agent
