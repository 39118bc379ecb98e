// The floors of a VM: PID 1 that says one word on the console. If there is a port for the agent it
// then sends each line back that comes there, when it has done what the line begins with. Else it
// ends the VM.
//
//   f          starts a program, and waits for its end
//   i<count>   reads so many bytes, which follow the line
//   o<count>   writes so many bytes, in place of the line
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr char kPorts[] = "/sys/class/virtio-ports/";
constexpr char kPortName[] = "msb-agent\n";

// What is read and written at once.
char piece[64 * 1024];

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

ssize_t ReadSome(int port, char* bytes, size_t size) {
  while (true) {
    const ssize_t count = read(port, bytes, size);
    if (count > 0) return count;
    // Nobody is at the other end.
    usleep(1000);
  }
}

void Receive(int port, size_t left) {
  while (left > 0) left -= static_cast<size_t>(ReadSome(port, piece, std::min(left, sizeof piece)));
}

void Send(int port, size_t left) {
  while (left > 0) {
    const ssize_t count = write(port, piece, std::min(left, sizeof piece));
    if (count > 0) left -= static_cast<size_t>(count);
  }
}

[[noreturn]] void Serve(int port, char* program) {
  // With a zero behind it.
  char line[256] = {};
  size_t size = 0;
  while (true) {
    size += static_cast<size_t>(ReadSome(port, line + size, sizeof line - 1 - size));
    const char* end = static_cast<const char*>(memchr(line, '\n', size));
    if (end == nullptr && size < sizeof line - 1) continue;
    const size_t length = end == nullptr ? size : static_cast<size_t>(end - line) + 1;
    const size_t count = strtoul(line + 1, nullptr, 10);
    if (line[0] == 'f') RunToEnd(program);
    // What has come with the line is the beginning of the bytes.
    if (line[0] == 'i') Receive(port, count - std::min(count, size - length));
    if (line[0] == 'o') {
      Send(port, count);
    } else {
      (void)!write(port, line, length);
    }
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
