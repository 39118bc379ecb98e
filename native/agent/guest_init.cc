#include "agent/guest_init.h"

#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "agent/clock.h"

namespace msb::agent {
namespace {

constexpr char kImage[] = "/mnt/image";
constexpr char kUpper[] = "/mnt/upper";
constexpr char kRoot[] = "/mnt/root";
constexpr char kHosts[] = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

Status Mount(const char* source, const char* target, const char* type, unsigned long flags,
             const char* options) {
  if (mount(source, target, type, flags, options) != 0) {
    return Status::Errno("mount", std::string(type) + " on " + target);
  }
  return {};
}

Status MakeDirectory(const char* path, mode_t mode) {
  if (mkdir(path, mode) != 0 && errno != EEXIST) return Status::Errno("mkdir", path);
  return {};
}

Status MountImage(const SetupRequest& request) {
  for (const char* path : {kImage, kUpper, kRoot}) MSB_RETURN_IF_ERROR(MakeDirectory(path, 0755));
  return Mount(request.image.c_str(), kImage, "erofs", MS_RDONLY, nullptr);
}

StatusOr<UniqueFd> MountUpper(const SetupRequest& request) {
  if (request.upper.has_value()) {
    MSB_RETURN_IF_ERROR(Mount(request.upper->c_str(), kUpper, "ext4", MS_NOATIME, nullptr));
  } else {
    MSB_RETURN_IF_ERROR(Mount("tmpfs", kUpper, "tmpfs", 0, "mode=755"));
  }
  MSB_RETURN_IF_ERROR(MakeDirectory("/mnt/upper/upper", 0755));
  MSB_RETURN_IF_ERROR(MakeDirectory("/mnt/upper/work", 0755));
  UniqueFd upper(open(kUpper, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!upper.valid()) return Status::Errno("open", kUpper);
  return upper;
}

// The upper directory becomes the root of the guest, and its mode and owner are seen there.
Status CopyRootAttributes() {
  struct stat root;
  if (stat(kImage, &root) != 0) return Status::Errno("stat", kImage);
  if (chown("/mnt/upper/upper", root.st_uid, root.st_gid) != 0 ||
      chmod("/mnt/upper/upper", root.st_mode & 07777) != 0) {
    return Status::Errno("chmod", "upper");
  }
  return {};
}

Status MountOverlay() {
  MSB_RETURN_IF_ERROR(CopyRootAttributes());
  // redirect_dir lets programs rename directories of the image, which they expect to work.
  return Mount("overlay", kRoot, "overlay", 0,
               "lowerdir=/mnt/image,upperdir=/mnt/upper/upper,workdir=/mnt/upper/work,"
               "index=off,redirect_dir=on");
}

Status ChangeRoot() {
  for (const char* name : {"/dev", "/proc", "/sys"}) {
    const std::string target = std::string(kRoot) + name;
    MSB_RETURN_IF_ERROR(MakeDirectory(target.c_str(), 0755));
    if (mount(name, target.c_str(), nullptr, MS_MOVE, nullptr) != 0) {
      return Status::Errno("mount", std::string("move of ") + name);
    }
  }
  if (chdir(kRoot) != 0) return Status::Errno("chdir", kRoot);
  if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return Status::Errno("mount", "move of /");
  if (chroot(".") != 0) return Status::Errno("chroot", kRoot);
  if (chdir("/") != 0) return Status::Errno("chdir", "/");
  return {};
}

Status MountRest() {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  MSB_RETURN_IF_ERROR(MakeDirectory("/dev/pts", 0755));
  MSB_RETURN_IF_ERROR(MakeDirectory("/dev/shm", 01777));
  MSB_RETURN_IF_ERROR(MakeDirectory("/run", 0755));
  MSB_RETURN_IF_ERROR(Mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                            "newinstance,ptmxmode=666,gid=5,mode=620"));
  MSB_RETURN_IF_ERROR(Mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
  MSB_RETURN_IF_ERROR(Mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"));
  // Both are parts of the kernel that a build may leave out.
  if (mkdir("/dev/mqueue", 01777) == 0 || errno == EEXIST) {
    (void)Mount("mqueue", "/dev/mqueue", "mqueue", kFlags, nullptr);
  }
  (void)Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", kFlags, nullptr);
  if (mkdir("/tmp", 01777) == 0 && chmod("/tmp", 01777) != 0) return Status::Errno("chmod", "/tmp");
  return {};
}

// The kernel's /dev has devices, but not what user space adds to it.
void LinkDevices() {
  (void)!symlink("/proc/self/fd", "/dev/fd");
  (void)!symlink("/proc/self/fd/0", "/dev/stdin");
  (void)!symlink("/proc/self/fd/1", "/dev/stdout");
  (void)!symlink("/proc/self/fd/2", "/dev/stderr");
  // devtmpfs makes its own ptmx, which would open a terminal of another devpts instance.
  unlink("/dev/ptmx");
  (void)!symlink("pts/ptmx", "/dev/ptmx");
}

Status BringUpLoopback() {
  UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return {};  // A kernel without IP has no interface to bring up.
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0) return Status::Errno("ioctl", "lo");
  return {};
}

Status AddEntropy(const std::string& entropy) {
  if (entropy.empty()) return {};
  UniqueFd random(open("/dev/random", O_WRONLY | O_CLOEXEC));
  if (!random.valid()) return Status::Errno("open", "/dev/random");
  alignas(rand_pool_info) char buffer[sizeof(rand_pool_info) + 512];
  auto* const pool = reinterpret_cast<rand_pool_info*>(buffer);
  pool->entropy_count = static_cast<int>(entropy.size()) * 8;
  pool->buf_size = static_cast<int>(entropy.size());
  std::memcpy(buffer + offsetof(rand_pool_info, buf), entropy.data(), entropy.size());
  if (ioctl(random.get(), RNDADDENTROPY, pool) != 0) return Status::Errno("ioctl", "RNDADDENTROPY");
  // Else what is known of the generator's state would be true for up to a minute more.
  if (ioctl(random.get(), RNDRESEEDCRNG) != 0) return Status::Errno("ioctl", "RNDRESEEDCRNG");
  return {};
}

// Without this `localhost` has no address: images of containers leave the file to their runtime.
void WriteHostsIfAbsent() {
  struct stat info;
  if (stat("/etc/hosts", &info) == 0 ? info.st_size > 0 : errno != ENOENT) return;
  (void)MakeDirectory("/etc", 0755);
  UniqueFd hosts(open("/etc/hosts", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644));
  if (hosts.valid()) (void)!write(hosts.get(), kHosts, sizeof(kHosts) - 1);
}

}  // namespace

void Timings::Mark(const char* step) {
  const double ms = std::round(static_cast<double>(MonotonicUsec() - start_usec_)) / 1000;
  steps_.push_back(Json::Object{{"step", step}, {"ms", ms}});
}

Json Timings::ToJson() const { return steps_; }

Status MountEarly() {
  // The kernel may have mounted it by itself.
  if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755") != 0 && errno != EBUSY) {
    return Status::Errno("mount", "devtmpfs on /dev");
  }
  MSB_RETURN_IF_ERROR(Mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
  MSB_RETURN_IF_ERROR(Mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
  if (fcntl(STDERR_FILENO, F_GETFD) >= 0) return {};
  int console = open("/dev/console", O_RDWR | O_NOCTTY);
  if (console < 0) console = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) {
    if (console != fd && dup2(console, fd) < 0) return Status::Errno("dup2", "standard streams");
  }
  if (console > 2) close(console);
  return {};
}

StatusOr<UniqueFd> SetUpGuest(const SetupRequest& request, Timings* timings) {
  // Before the disks, so that what is written to them has the right time.
  MSB_RETURN_IF_ERROR(TakeIdentity(request.identity));
  timings->Mark("clock");
  MSB_RETURN_IF_ERROR(MountImage(request));
  timings->Mark("image");
  StatusOr<UniqueFd> upper = MountUpper(request);
  if (!upper.ok()) return upper;
  timings->Mark("upper");
  MSB_RETURN_IF_ERROR(MountOverlay());
  timings->Mark("overlay");
  MSB_RETURN_IF_ERROR(ChangeRoot());
  timings->Mark("root");
  MSB_RETURN_IF_ERROR(MountRest());
  LinkDevices();
  timings->Mark("mounts");
  MSB_RETURN_IF_ERROR(BringUpLoopback());
  WriteHostsIfAbsent();
  timings->Mark("network");
  return upper;
}

Status TakeIdentity(const Identity& identity) {
  MSB_RETURN_IF_ERROR(SetClock(identity.clock_ms));
  MSB_RETURN_IF_ERROR(AddEntropy(identity.entropy));
  if (sethostname(identity.hostname.data(), identity.hostname.size()) != 0) {
    return Status::Errno("sethostname", identity.hostname);
  }
  return {};
}

Status SetClock(int64_t clock_ms) {
  const timespec time = {static_cast<time_t>(clock_ms / 1000), clock_ms % 1000 * 1'000'000};
  if (clock_settime(CLOCK_REALTIME, &time) != 0) {
    return Status::Errno("clock_settime", std::to_string(clock_ms));
  }
  return {};
}

}  // namespace msb::agent
