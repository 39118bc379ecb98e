#include "agent/file_service.h"

#include <fcntl.h>

#include "agent/file_ops.h"
#include "agent/file_writer.h"

namespace msb::agent {
namespace {

constexpr int64_t kMaxMode = 07777;
// (uid_t)-1 means "no change" to the kernel.
constexpr int64_t kMaxUserId = UINT32_MAX - 1;

Reply TooManyStreams() {
  return Reply::Error("limit", "there are " + std::to_string(kMaxFileStreams) + " file transfers");
}

Reply ToReply(const Status& status) { return status.ok() ? Reply::Ok() : Reply::System(status); }

// An optional integer member.
template <typename T>
Status GetOptional(const Json& body, const char* key, int64_t max, std::optional<T>* out) {
  if (body.Find(key) == nullptr) return {};
  StatusOr<int64_t> value = body.GetInt(key, 0, max);
  if (!value.ok()) return value.status();
  *out = static_cast<T>(value.value());
  return {};
}

StatusOr<FileWriteRequest> ParseWrite(const Json& body) {
  FileWriteRequest write;
  StatusOr<std::string> path = GetPath(body, "path");
  if (!path.ok()) return path.status();
  write.path = std::move(path.value());
  MSB_RETURN_IF_ERROR(GetOptional(body, "mode", kMaxMode, &write.mode));
  MSB_RETURN_IF_ERROR(GetOptional(body, "uid", kMaxUserId, &write.uid));
  MSB_RETURN_IF_ERROR(GetOptional(body, "gid", kMaxUserId, &write.gid));
  return write;
}

}  // namespace

std::optional<Reply> FileService::Read(const Request& request) {
  if (IsFull()) return TooManyStreams();
  StatusOr<std::string> path = GetPath(*request.body, "path");
  if (!path.ok()) return Reply::Invalid(path.status());
  StatusOr<int64_t> offset = request.body->GetInt("offset", 0, kMaxSafeInteger, 0);
  if (!offset.ok()) return Reply::Invalid(offset.status());
  int64_t length = -1;
  if (request.body->Find("length") != nullptr) {
    StatusOr<int64_t> value = request.body->GetInt("length", 0, kMaxSafeInteger);
    if (!value.ok()) return Reply::Invalid(value.status());
    length = value.value();
  }
  Json::Object fields;
  StatusOr<std::unique_ptr<FileReader>> reader = FileReader::Open(
      request.stream, path.value(), offset.value(), length, EndOf(request.stream), &fields);
  if (!reader.ok()) return Reply::System(reader.status());
  Begin(request, Reply::Ok(std::move(fields)), std::move(reader.value()));
  return std::nullopt;
}

std::optional<Reply> FileService::List(const Request& request) {
  if (IsFull()) return TooManyStreams();
  StatusOr<std::string> path = GetPath(*request.body, "path");
  if (!path.ok()) return Reply::Invalid(path.status());
  StatusOr<std::unique_ptr<DirectoryLister>> lister =
      DirectoryLister::Open(request.stream, path.value(), EndOf(request.stream));
  if (!lister.ok()) return Reply::System(lister.status());
  Begin(request, Reply::Ok(), std::move(lister.value()));
  return std::nullopt;
}

std::optional<Reply> FileService::Write(const Request& request) {
  if (IsFull()) return TooManyStreams();
  StatusOr<FileWriteRequest> write = ParseWrite(*request.body);
  if (!write.ok()) return Reply::Invalid(write.status());
  const uint32_t stream = request.stream;
  StatusOr<std::unique_ptr<FileWriter>> writer = FileWriter::Open(
      stream, write.value(),
      [this, stream](uint64_t consumed, uint64_t limit) {
        connection_->SendCredit(stream, consumed, limit);
      },
      [this, stream, id = request.id](const Reply& reply) {
        connection_->SendMessage(stream, reply.ToJson(id));
        Cancel(stream);
      });
  if (!writer.ok()) return Reply::System(writer.status());
  streams_[stream] = std::move(writer.value());
  return std::nullopt;
}

std::optional<Reply> FileService::Stat(const Request& request) {
  StatusOr<std::string> path = GetPath(*request.body, "path");
  if (!path.ok()) return Reply::Invalid(path.status());
  StatusOr<bool> follow = request.body->GetBool("follow", true);
  if (!follow.ok()) return Reply::Invalid(follow.status());
  StatusOr<Json::Object> fields = DescribeFile(AT_FDCWD, path.value(), follow.value());
  if (!fields.ok()) return Reply::System(fields.status());
  return Reply::Ok(std::move(fields.value()));
}

std::optional<Reply> FileService::MakeDirectory(const Request& request) {
  StatusOr<std::string> path = GetPath(*request.body, "path");
  if (!path.ok()) return Reply::Invalid(path.status());
  StatusOr<int64_t> mode = request.body->GetInt("mode", 0, kMaxMode, 0755);
  if (!mode.ok()) return Reply::Invalid(mode.status());
  StatusOr<bool> recursive = request.body->GetBool("recursive", false);
  if (!recursive.ok()) return Reply::Invalid(recursive.status());
  return ToReply(
      agent::MakeDirectory(path.value(), static_cast<mode_t>(mode.value()), recursive.value()));
}

std::optional<Reply> FileService::Remove(const Request& request) {
  StatusOr<std::string> path = GetPath(*request.body, "path");
  if (!path.ok()) return Reply::Invalid(path.status());
  StatusOr<bool> recursive = request.body->GetBool("recursive", false);
  if (!recursive.ok()) return Reply::Invalid(recursive.status());
  return ToReply(RemovePath(path.value(), recursive.value()));
}

std::optional<Reply> FileService::Rename(const Request& request) {
  StatusOr<std::string> from = GetPath(*request.body, "from");
  if (!from.ok()) return Reply::Invalid(from.status());
  StatusOr<std::string> to = GetPath(*request.body, "to");
  if (!to.ok()) return Reply::Invalid(to.status());
  return ToReply(RenamePath(from.value(), to.value()));
}

FileStream* FileService::Find(uint32_t stream) const {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second.get();
}

void FileService::Cancel(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  connection_->Forget(found->second.get());
  // std::function wants copies, which a unique_ptr has not.
  std::shared_ptr<FileStream> ended = std::move(found->second);
  streams_.erase(found);
  loop_->Defer([ended = std::move(ended)] {});
}

void FileService::CancelAll() {
  while (!streams_.empty()) Cancel(streams_.begin()->first);
}

OnFileStreamEnd FileService::EndOf(uint32_t stream) {
  return [this, stream](const Json& last_message) {
    if (!last_message.is_null()) connection_->SendMessage(stream, last_message);
    Cancel(stream);
  };
}

void FileService::Begin(const Request& request, const Reply& reply,
                        std::unique_ptr<FileStream> stream) {
  connection_->SendMessage(request.stream, reply.ToJson(request.id));
  FileStream* source = stream.get();
  streams_[request.stream] = std::move(stream);
  connection_->MarkReady(source);
}

}  // namespace msb::agent
