#ifndef MSB_AGENT_EXEC_TABLE_H_
#define MSB_AGENT_EXEC_TABLE_H_

#include <map>
#include <memory>
#include <optional>

#include "agent/exec_session.h"
#include "agent/messages.h"

namespace msb::agent {

// The execs by stream, and the requests about them. A handler without a reply answers later.
class ExecTable {
 public:
  explicit ExecTable(const ExecContext& context) : context_(context) {}

  std::optional<Reply> Start(const Request& request);
  std::optional<Reply> Signal(const Request& request);
  std::optional<Reply> Resize(const Request& request);
  std::optional<Reply> Attach(const Request& request);
  std::optional<Reply> Close(const Request& request);

  // Null when there is none.
  ExecSession* Find(uint32_t stream) const;
  // The host is gone; see ExecSession::Detach.
  void DetachAll();
  Json DescribeAll() const;

 private:
  void Retire(uint32_t stream);
  // The program has ended, and what it left behind goes on.
  void Linger(uint32_t stream);
  // Once the present callback has returned.
  void Destroy(std::unique_ptr<ExecSession> owned);

  const ExecContext context_;
  std::map<uint32_t, std::unique_ptr<ExecSession>> sessions_;
  // Closed ones whose descendants hold their output; the limit of processes is theirs, too.
  std::map<uint32_t, std::unique_ptr<ExecSession>> lingering_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_EXEC_TABLE_H_
