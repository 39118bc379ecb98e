#include "vmm/vm_process.h"

#include <fcntl.h>
#include <sys/types.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "base/fd_util.h"
#include "vmm/sanitize.h"
#include "vmm/vm_entry.h"

namespace msb::vmm {
namespace {

// libkrun makes a port the guest's console only when it is a terminal.
Status MakeTerminal(UniqueFd* master, UniqueFd* slave) {
  UniqueFd opened(posix_openpt(O_RDWR | O_NOCTTY));
  if (!opened.valid()) return Status::Errno("posix_openpt", "cannot make a terminal");
  MSB_RETURN_IF_ERROR(SetCloseOnExec(opened.get(), true));
  if (grantpt(opened.get()) != 0 || unlockpt(opened.get()) != 0) {
    return Status::Errno("unlockpt", "cannot prepare a terminal");
  }
  const char* const path = ptsname(opened.get());
  if (path == nullptr) return Status::Errno("ptsname", "cannot name a terminal");
  slave->Reset(open(path, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave->valid()) return Status::Errno("open", path);
  // Raw, so that the guest's bytes come through as they are.
  termios settings = {};
  if (tcgetattr(slave->get(), &settings) != 0) return Status::Errno("tcgetattr", path);
  cfmakeraw(&settings);
  if (tcsetattr(slave->get(), TCSANOW, &settings) != 0) return Status::Errno("tcsetattr", path);
  *master = std::move(opened);
  return Status();
}

}  // namespace

StatusOr<VmProcess> StartVmProcess(const krun::VmConfig& config) {
  VmProcess process;
  std::vector<UniqueFd> vm_ends;
  for (const std::string& name : config.channels) {
    UniqueFd ours, theirs;
    const bool needs_terminal =
        config.driver == krun::Driver::kLibkrun && name == krun::kConsoleChannel;
    MSB_RETURN_IF_ERROR(needs_terminal ? MakeTerminal(&ours, &theirs)
                                       : MakeSocketPair(&ours, &theirs));
    MSB_RETURN_IF_ERROR(SetNonBlocking(ours.get()));
    process.channels.push_back(std::move(ours));
    vm_ends.push_back(std::move(theirs));
  }
  // Only the new process keeps them.
  std::vector<UniqueFd> files;
  const int first_file = kFirstChannelFd + static_cast<int>(config.channels.size());
  for (size_t i = 0; i < config.file_count; ++i) {
    files.emplace_back(first_file + static_cast<int>(i));
  }
  UniqueFd messages_in, output_in;
  MSB_RETURN_IF_ERROR(MakePipe(&process.messages, &messages_in));
  MSB_RETURN_IF_ERROR(MakePipe(&process.output, &output_in));
  MSB_RETURN_IF_ERROR(SetNonBlocking(process.messages.get()));
  MSB_RETURN_IF_ERROR(SetNonBlocking(process.output.get()));

  const pid_t supervisor = getpid();
  process.pid = fork();
  if (process.pid < 0) return Status::Errno("fork", "cannot start the VM process");
  if (process.pid > 0) return StatusOr<VmProcess>(std::move(process));

  VmEntry entry;
  entry.supervisor = supervisor;
  entry.messages = messages_in.get();
  entry.output = output_in.get();
  for (const UniqueFd& end : vm_ends) entry.channels.push_back(end.get());
  for (const UniqueFd& file : files) entry.files.push_back(file.get());
  // Not exit(): buffers and handlers are the supervisor's.
  _exit(EnterVm(config, entry));
}

}  // namespace msb::vmm
