#include "agent/file_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "agent/clock.h"

namespace msb::agent {
namespace {

constexpr int kMaxLinks = 40;

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// Follows symlinks in the last part of `path`, also when their target does not exist.
StatusOr<std::string> ResolveLinks(std::string path) {
  for (int i = 0; i < kMaxLinks; ++i) {
    char link[PATH_MAX];
    const ssize_t length = readlink(path.c_str(), link, sizeof(link));
    if (length < 0) return path;
    const std::string target(link, static_cast<size_t>(length));
    path = target.starts_with('/') ? target : FolderOf(path) + target;
  }
  return Status::Error("readlink", ELOOP, "too many symlinks: " + path);
}

}  // namespace

StatusOr<std::unique_ptr<FileWriter>> FileWriter::Open(uint32_t stream,
                                                       const FileWriteRequest& request,
                                                       GrantCredit grant, OnDone on_done) {
  std::unique_ptr<FileWriter> writer(new FileWriter(std::move(grant), std::move(on_done)));
  MSB_RETURN_IF_ERROR(writer->OpenTarget(stream, request));
  return writer;
}

FileWriter::~FileWriter() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status FileWriter::OpenTarget(uint32_t stream, const FileWriteRequest& request) {
  StatusOr<std::string> resolved = ResolveLinks(request.path);
  if (!resolved.ok()) return resolved.status();
  target_ = std::move(resolved.value());
  struct stat old;
  const bool exists = lstat(target_.c_str(), &old) == 0;
  if (!exists && errno != ENOENT) return Status::Errno("open", request.path);
  if (target_.ends_with('/') || (exists && S_ISDIR(old.st_mode))) {
    return Status::Error("open", EISDIR, request.path + " is a directory");
  }
  if (exists && !S_ISREG(old.st_mode)) {
    // A device, fifo or socket cannot be replaced; it is written as it is.
    fd_.Reset(open(target_.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd_.valid()) return Status::Errno("open", request.path);
    return {};
  }
  char name[64];
  std::snprintf(name, sizeof(name), ".msb-%x-%llx", stream,
                static_cast<unsigned long long>(MonotonicUsec()));
  std::string temporary = FolderOf(target_) + name;
  fd_.Reset(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd_.valid()) return Status::Errno("open", request.path);
  temporary_ = std::move(temporary);
  const uid_t uid = request.uid.value_or(exists ? old.st_uid : 0);
  const gid_t gid = request.gid.value_or(exists ? old.st_gid : 0);
  if (fchown(fd_.get(), uid, gid) != 0) return Status::Errno("fchown", request.path);
  const mode_t mode = request.mode.value_or(exists ? old.st_mode & 07777 : 0644);
  if (fchmod(fd_.get(), mode) != 0) return Status::Errno("fchmod", request.path);
  return {};
}

bool FileWriter::TakeData(const Frame& frame) {
  if (done_) return true;
  if (frame.channel != Channel::kInput) return false;
  if (received_ + frame.payload.size() > credited_ + kWindowBytes) return false;
  received_ += frame.payload.size();
  Status status = Write(frame.payload);
  if (status.ok() && frame.end) status = PutInPlace();
  if (!status.ok() || frame.end) {
    done_ = true;
    on_done_(status.ok() ? Reply::Ok({{"size", received_}}) : Reply::System(status));
    return true;
  }
  if (received_ - credited_ >= kWindowBytes / 4) {
    credited_ = received_;
    grant_(credited_, credited_ + kWindowBytes);
  }
  return true;
}

Status FileWriter::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Status::Errno("write", target_);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

Status FileWriter::PutInPlace() {
  if (temporary_.empty()) return {};
  if (rename(temporary_.c_str(), target_.c_str()) != 0) return Status::Errno("rename", target_);
  temporary_.clear();
  return {};
}

}  // namespace msb::agent
