#ifndef MSB_AGENT_FILE_WRITER_H_
#define MSB_AGENT_FILE_WRITER_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/file_stream.h"

namespace msb::agent {

struct FileWriteRequest {
  std::string path;
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
};

// Receives a file. A regular or new one is written beside its place and renamed at the end;
// destroyed before that, it leaves the old content.
class FileWriter final : public FileStream {
 public:
  using GrantCredit = std::function<void(uint64_t consumed, uint64_t limit)>;
  // Called once, at the end or at the first failure.
  using OnDone = std::function<void(const Reply& reply)>;

  static StatusOr<std::unique_ptr<FileWriter>> Open(uint32_t stream,
                                                    const FileWriteRequest& request,
                                                    GrantCredit grant, OnDone on_done);
  ~FileWriter() override;

  bool TakeData(const Frame& frame) override;
  bool TakeCredit(uint64_t, uint64_t) override { return false; }
  bool HasFrame() const override { return false; }
  void AppendFrame(std::string*) override {}

 private:
  FileWriter(GrantCredit grant, OnDone on_done)
      : grant_(std::move(grant)), on_done_(std::move(on_done)) {}
  Status OpenTarget(uint32_t stream, const FileWriteRequest& request);
  Status Write(std::string_view bytes);
  Status PutInPlace();

  const GrantCredit grant_;
  const OnDone on_done_;
  std::string target_;
  std::string temporary_;  // empty when the target itself is written, as with a device
  UniqueFd fd_;
  bool done_ = false;
  uint64_t received_ = 0;
  uint64_t credited_ = 0;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_FILE_WRITER_H_
