#ifndef MSB_AGENT_FILE_SERVICE_H_
#define MSB_AGENT_FILE_SERVICE_H_

#include <map>
#include <memory>
#include <optional>

#include "agent/connection.h"
#include "agent/event_loop.h"
#include "agent/file_stream.h"
#include "agent/messages.h"

namespace msb::agent {

// The requests about files, and the transfers under way. A handler without a reply answers later.
class FileService {
 public:
  FileService(EventLoop* loop, Connection* connection) : loop_(loop), connection_(connection) {}

  std::optional<Reply> Read(const Request& request);
  std::optional<Reply> Write(const Request& request);
  std::optional<Reply> List(const Request& request);
  std::optional<Reply> Stat(const Request& request);
  std::optional<Reply> MakeDirectory(const Request& request);
  std::optional<Reply> Remove(const Request& request);
  std::optional<Reply> Rename(const Request& request);

  // Null when there is none.
  FileStream* Find(uint32_t stream) const;
  // Ends a transfer where it stands. It is destroyed once the present callback has returned.
  void Cancel(uint32_t stream);
  // The host is gone, and every transfer with it.
  void CancelAll();

 private:
  bool IsFull() const { return streams_.size() >= kMaxFileStreams; }
  OnFileStreamEnd EndOf(uint32_t stream);
  // Sends the reply, then what the stream has.
  void Begin(const Request& request, const Reply& reply, std::unique_ptr<FileStream> stream);

  EventLoop* const loop_;
  Connection* const connection_;
  std::map<uint32_t, std::unique_ptr<FileStream>> streams_;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_FILE_SERVICE_H_
