// The floors of a VM: PID 1 that says one word on the console. If there is a port for the agent it
// then answers lines on it: one that begins with "f" when a program has been started and has ended,
// any other at once. Else it ends the VM.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace {

constexpr char kPorts[] = "/sys/class/virtio-ports/";
constexpr char kPortName[] = "msb-agent\n";

bool HasName(const std::string& port) {
  char name[64] = {};
  const int fd = open((kPorts + port + "/name").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t size = read(fd, name, sizeof name - 1);
  close(fd);
  return size > 0 && strcmp(name, kPortName) == 0;
}

int OpenPort() {
  DIR* folder = opendir(kPorts);
  if (folder == nullptr) return -1;
  int port = -1;
  while (const dirent* entry = readdir(folder)) {
    if (!HasName(entry->d_name)) continue;
    port = open((std::string("/dev/") + entry->d_name).c_str(), O_RDWR | O_CLOEXEC);
  }
  closedir(folder);
  return port;
}

void RunToEnd(char* program) {
  const pid_t child = fork();
  if (child == 0) {
    char word[] = "end";
    char* const argv[] = {program, word, nullptr};
    execv(program, argv);
    _exit(127);
  }
  waitpid(child, nullptr, 0);
}

[[noreturn]] void Serve(int port, char* program) {
  char line[256];
  size_t size = 0;
  while (true) {
    const ssize_t count = read(port, line + size, sizeof line - size);
    if (count <= 0) {
      // Nobody is at the other end.
      usleep(1000);
      continue;
    }
    size += static_cast<size_t>(count);
    if (line[size - 1] != '\n' && size < sizeof line) continue;
    if (line[0] == 'f') RunToEnd(program);
    (void)!write(port, line, size);
    size = 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return 0;
  const int console = open("/dev/console", O_WRONLY);
  (void)!write(console >= 0 ? console : 1, "up\n", 3);
  mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
  mount("sysfs", "/sys", "sysfs", 0, nullptr);
  // A port may come late. Where there is none, the reader of the word needs a moment before the VM
  // is gone.
  for (int left = 100; left > 0; --left) {
    const int port = OpenPort();
    if (port >= 0) Serve(port, argv[0]);
    usleep(10'000);
  }
  reboot(RB_AUTOBOOT);
}
