#include "agent/file_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/file_ops.h"

namespace msb::agent {
namespace {

// Shared by all readers: there is one thread.
char piece[kMaxDataBytes];

}  // namespace

bool FileSender::TakeCredit(uint64_t consumed, uint64_t limit) {
  if (consumed > sent_) return false;
  limit_ = std::max(limit_, limit);
  return true;
}

bool FileSender::HasFrame() const { return !ended_ && sent_ < limit_; }

void FileSender::AppendFrame(std::string* tx) {
  StatusOr<Piece> next =
      Next(static_cast<size_t>(std::min<uint64_t>(limit_ - sent_, kMaxDataBytes)));
  if (!next.ok()) {
    ended_ = true;
    on_end_(Reply::System(next.status()).ToStreamError());
    return;
  }
  const auto [bytes, is_last] = next.value();
  ended_ = is_last;
  sent_ += bytes.size();
  msb::AppendFrame({.type = FrameType::kData, .end = is_last, .stream = stream_, .payload = bytes},
                   tx);
  if (is_last) on_end_(Json());
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

StatusOr<FileSender::Piece> FileReader::Next(size_t max_bytes) {
  const size_t wanted =
      left_ < 0 ? max_bytes : static_cast<size_t>(std::min<uint64_t>(max_bytes, left_));
  ssize_t count = 0;
  if (wanted > 0) {
    do {
      count = read(fd_.get(), piece, wanted);
    } while (count < 0 && errno == EINTR);
  }
  if (count < 0) return Status::Errno("read", "the file");
  if (left_ >= 0) left_ -= count;
  return Piece{{piece, static_cast<size_t>(count)}, count == 0 || left_ == 0};
}

StatusOr<std::unique_ptr<DirectoryLister>> DirectoryLister::Open(uint32_t stream,
                                                                 const std::string& path,
                                                                 OnFileStreamEnd on_end) {
  Folder folder(opendir(path.c_str()), closedir);
  if (folder == nullptr) return Status::Errno("opendir", path);
  return std::unique_ptr<DirectoryLister>(
      new DirectoryLister(stream, std::move(folder), std::move(on_end)));
}

StatusOr<FileSender::Piece> DirectoryLister::Next(size_t max_bytes) {
  lines_.erase(0, taken_);
  if (!at_end_ && lines_.size() < max_bytes) MSB_RETURN_IF_ERROR(AddLines(max_bytes));
  taken_ = std::min(max_bytes, lines_.size());
  return Piece{std::string_view(lines_).substr(0, taken_), at_end_ && taken_ == lines_.size()};
}

Status DirectoryLister::AddLines(size_t enough) {
  while (lines_.size() < enough) {
    errno = 0;
    const dirent* entry = readdir(folder_.get());
    if (entry == nullptr) {
      if (errno != 0) return Status::Errno("readdir", "the directory");
      at_end_ = true;
      return {};
    }
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    StatusOr<Json::Object> info = DescribeFile(dirfd(folder_.get()), name, false);
    if (!info.ok()) continue;  // It is gone by now.
    info.value()["name"] = name;
    lines_.append(Json(std::move(info.value())).Serialize());
    lines_.push_back('\n');
  }
  return {};
}

}  // namespace msb::agent
