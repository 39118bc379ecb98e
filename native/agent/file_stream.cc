#include "agent/file_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/file_ops.h"

namespace msb::agent {

bool FileSender::TakeCredit(uint64_t consumed, uint64_t limit) {
  if (consumed > sent_) return false;
  limit_ = std::max(limit_, limit);
  return true;
}

bool FileSender::HasFrame() const { return !ended_ && sent_ < limit_; }

void FileSender::AppendFrame(std::string* tx) {
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(limit_ - sent_, kMaxDataBytes));
  if (!at_end_ && buffer_.size() < wanted) {
    const Status filled = Fill(wanted - buffer_.size(), &buffer_, &at_end_);
    if (!filled.ok()) {
      ended_ = true;
      on_end_(Reply::System(filled).ToStreamError());
      return;
    }
  }
  const size_t size = std::min(wanted, buffer_.size());
  ended_ = at_end_ && size == buffer_.size();
  msb::AppendFrame({.type = FrameType::kData,
                    .end = ended_,
                    .stream = stream_,
                    .payload = std::string_view(buffer_).substr(0, size)},
                   tx);
  buffer_.erase(0, size);
  sent_ += size;
  if (ended_) on_end_(Json());
}

StatusOr<std::unique_ptr<FileReader>> FileReader::Open(uint32_t stream, const std::string& path,
                                                       int64_t offset, int64_t length,
                                                       OnFileStreamEnd on_end,
                                                       Json::Object* reply) {
  // O_NONBLOCK: a fifo without a writer must not stop the agent.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return Status::Errno("open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return Status::Errno("fstat", path);
  if (S_ISDIR(info.st_mode)) return Status::Error("open", EISDIR, path + " is a directory");
  if (offset > 0 && lseek(fd.get(), offset, SEEK_SET) < 0) return Status::Errno("lseek", path);
  (*reply)["size"] = static_cast<int64_t>(info.st_size);
  (*reply)["mode"] = static_cast<int64_t>(info.st_mode & 07777);
  return std::unique_ptr<FileReader>(
      new FileReader(stream, std::move(fd), length, std::move(on_end)));
}

Status FileReader::Fill(size_t wanted, std::string* buffer, bool* at_end) {
  if (left_ >= 0) wanted = std::min(wanted, static_cast<size_t>(left_));
  const size_t before = buffer->size();
  buffer->resize(before + wanted);
  ssize_t count = 0;
  if (wanted > 0) {
    do {
      count = read(fd_.get(), buffer->data() + before, wanted);
    } while (count < 0 && errno == EINTR);
  }
  if (count < 0) return Status::Errno("read", "the file");
  buffer->resize(before + static_cast<size_t>(count));
  if (left_ >= 0) left_ -= count;
  *at_end = count == 0 || left_ == 0;
  return {};
}

StatusOr<std::unique_ptr<DirectoryLister>> DirectoryLister::Open(uint32_t stream,
                                                                 const std::string& path,
                                                                 OnFileStreamEnd on_end) {
  Folder folder(opendir(path.c_str()), closedir);
  if (folder == nullptr) return Status::Errno("opendir", path);
  return std::unique_ptr<DirectoryLister>(
      new DirectoryLister(stream, std::move(folder), std::move(on_end)));
}

Status DirectoryLister::Fill(size_t wanted, std::string* buffer, bool* at_end) {
  const size_t enough = buffer->size() + wanted;
  while (buffer->size() < enough) {
    errno = 0;
    const dirent* entry = readdir(folder_.get());
    if (entry == nullptr) {
      if (errno != 0) return Status::Errno("readdir", "the directory");
      *at_end = true;
      return {};
    }
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    StatusOr<Json::Object> info = DescribeFile(dirfd(folder_.get()), name, false);
    if (!info.ok()) continue;  // It is gone by now.
    info.value()["name"] = name;
    buffer->append(Json(std::move(info.value())).Serialize());
    buffer->push_back('\n');
  }
  return {};
}

}  // namespace msb::agent
