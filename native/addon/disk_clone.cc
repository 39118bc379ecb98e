#include "addon/disk_clone.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "addon/promise_worker.h"
#include "base/fd_ops.h"
#include "base/unique_fd.h"

#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif

namespace msb {
namespace {

struct Clone {
  int64_t size_bytes = 0;
  int64_t data_bytes = 0;
};

constexpr size_t kBufferBytes = 1 << 20;

Status CopyByBuffer(int source, int target, off_t offset, off_t end) {
  std::vector<char> buffer(kBufferBytes);
  while (offset < end) {
    const size_t wanted = static_cast<size_t>(std::min<off_t>(end - offset, kBufferBytes));
    const ssize_t got = pread(source, buffer.data(), wanted, offset);
    if (got <= 0) return Status::Errno("pread", "cannot read the source disk");
    for (ssize_t done = 0; done < got;) {
      const ssize_t put =
          pwrite(target, buffer.data() + done, static_cast<size_t>(got - done), offset + done);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return Status::Errno("pwrite", "cannot write the new disk");
      done += put;
    }
    offset += got;
  }
  return Status();
}

Status CopyExtent(int source, int target, off_t offset, off_t end) {
#ifdef __linux__
  while (offset < end) {
    off_t from = offset;
    off_t to = offset;
    const ssize_t count =
        copy_file_range(source, &from, target, &to, static_cast<size_t>(end - offset), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == ENOSPC)
      return Status::Errno("copy_file_range", "cannot write the new disk");
    // Not every pair of filesystems can do it, and one that says it copied nothing did not reach
    // the end.
    if (count <= 0) break;
    offset += count;
  }
#endif
  return CopyByBuffer(source, target, offset, end);
}

StatusOr<int64_t> CopyExtents(int source, int target, off_t size) {
  int64_t copied = 0;
  off_t offset = 0;
  while (offset < size) {
    const off_t data = lseek(source, offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return Status::Errno("lseek", "cannot find the data of the source disk");
    off_t hole = lseek(source, data, SEEK_HOLE);
    if (hole < 0) return Status::Errno("lseek", "cannot find the holes of the source disk");
    hole = std::min(hole, size);
    MSB_RETURN_IF_ERROR(CopyExtent(source, target, data, hole));
    copied += hole - data;
    offset = hole;
  }
  return copied;
}

StatusOr<Clone> FillClone(int source, int target) {
  struct stat info {};
  if (fstat(source, &info) != 0) return Status::Errno("fstat", "cannot read the source disk");
  if (!S_ISREG(info.st_mode)) return Status::Invalid("source", "the source disk is not a file");
  Clone clone{info.st_size, 0};
#ifdef FICLONE
  if (ioctl(target, FICLONE, source) == 0) return clone;
#endif
  if (ftruncate(target, info.st_size) != 0)
    return Status::Errno("ftruncate", "cannot size the new disk");
  StatusOr<int64_t> copied = CopyExtents(source, target, info.st_size);
  if (!copied.ok()) return copied.status();
  clone.data_bytes = copied.value();
  return clone;
}

StatusOr<Clone> CloneFile(const std::string& source_path, const std::string& target_path) {
  UniqueFd source(open(source_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.valid()) return Status::Errno("open", source_path);
  UniqueFd target(open(target_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!target.valid()) return Status::Errno("open", target_path);
  StatusOr<Clone> clone = FillClone(source.get(), target.get());
  if (!clone.ok()) unlink(target_path.c_str());
  return clone;
}

}  // namespace

Napi::Value CloneSparse(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsString() || !info[1].IsString()) {
    Napi::TypeError::New(env, "cloneSparse takes two paths").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const std::string source = info[0].As<Napi::String>().Utf8Value();
  const std::string target = info[1].As<Napi::String>().Utf8Value();
  return PromiseWorker<Clone>::Run(
      env, [source, target] { return CloneFile(source, target); },
      [](Napi::Env result_env, const Clone& clone) -> Napi::Value {
        Napi::Object object = Napi::Object::New(result_env);
        object.Set("sizeBytes", static_cast<double>(clone.size_bytes));
        object.Set("dataBytes", static_cast<double>(clone.data_bytes));
        return object;
      });
}

}  // namespace msb
