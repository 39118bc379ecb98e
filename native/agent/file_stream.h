#ifndef MSB_AGENT_FILE_STREAM_H_
#define MSB_AGENT_FILE_STREAM_H_

#include <dirent.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/connection.h"
#include "agent/messages.h"
#include "base/unique_fd.h"

namespace msb::agent {

// A transfer of file.read, file.write or file.list. It ends by itself, through its table.
class FileStream : public StreamSource {
 public:
  ~FileStream() override = default;

  // False is a protocol error.
  virtual bool TakeData(const Frame& frame) = 0;
  virtual bool TakeCredit(uint64_t consumed, uint64_t limit) = 0;
};

// What a stream tells its table: it has ended, with a message to send first unless that is null.
using OnFileStreamEnd = std::function<void(const Json& last_message)>;

// Sends what Next() gives, as far as the host's credit goes, then END.
class FileSender : public FileStream {
 public:
  bool TakeData(const Frame& frame) override { return false; }
  bool TakeCredit(uint64_t consumed, uint64_t limit) override;
  bool HasFrame() const override;
  void AppendFrame(std::string* tx) override;

 protected:
  FileSender(uint32_t stream, OnFileStreamEnd on_end)
      : stream_(stream), on_end_(std::move(on_end)) {}

  struct Piece {
    std::string_view bytes;
    bool is_last = false;
  };
  // At most `max_bytes`, valid until the next call.
  virtual StatusOr<Piece> Next(size_t max_bytes) = 0;

 private:
  const uint32_t stream_;
  const OnFileStreamEnd on_end_;
  bool ended_ = false;
  uint64_t sent_ = 0;
  uint64_t limit_ = kWindowBytes;
};

class FileReader final : public FileSender {
 public:
  // `length` is negative for "all". Adds size and mode to `reply`.
  static StatusOr<std::unique_ptr<FileReader>> Open(uint32_t stream, const std::string& path,
                                                    int64_t offset, int64_t length,
                                                    OnFileStreamEnd on_end, Json::Object* reply);

 private:
  FileReader(uint32_t stream, UniqueFd fd, int64_t length, OnFileStreamEnd on_end)
      : FileSender(stream, std::move(on_end)), fd_(std::move(fd)), left_(length) {}
  StatusOr<Piece> Next(size_t max_bytes) override;

  const UniqueFd fd_;
  int64_t left_;
};

class DirectoryLister final : public FileSender {
 public:
  static StatusOr<std::unique_ptr<DirectoryLister>> Open(uint32_t stream, const std::string& path,
                                                         OnFileStreamEnd on_end);

 private:
  using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;
  DirectoryLister(uint32_t stream, Folder folder, OnFileStreamEnd on_end)
      : FileSender(stream, std::move(on_end)), folder_(std::move(folder)) {}
  StatusOr<Piece> Next(size_t max_bytes) override;
  // Until there are `enough` bytes of lines, or no more entries.
  Status AddLines(size_t enough);

  const Folder folder_;
  std::string lines_;
  // The bytes of them that the last piece was.
  size_t taken_ = 0;
  bool at_end_ = false;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_FILE_STREAM_H_
