#include "agent/process_spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "agent/small_file.h"
#include "agent/user_lookup.h"

namespace msb::agent {
namespace {

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr gid_t kTtyGroup = 5;

enum class Stage : int { kFork, kPty, kUser, kRlimit, kChdir, kExecve };
constexpr const char* kStageNames[] = {"fork", "pty", "user", "rlimit", "chdir", "execve"};

struct SpawnFailure {
  Stage stage;
  int error_number;
};

Status StageError(Stage stage, std::string what) {
  return Status::Errno(kStageNames[static_cast<int>(stage)], std::move(what));
}

// All that the child needs, made before the fork.
struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::string> candidates;  // paths of the program, in the order of PATH
  const ExecStartRequest* request = nullptr;
  Credentials credentials;
  int stdio[3] = {-1, -1, -1};
  // -1 without a control channel. This and the report are above kControlFd.
  int control = -1;
  int report = -1;
  int join_cgroup = -1;  // its directory, when clone3 did not put the child there
};

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> ProgramCandidates(const ExecStartRequest& request) {
  const std::string& program = request.argv[0];
  if (program.find('/') != std::string::npos) return {program};
  std::string_view path = kDefaultPath;
  for (const std::string& variable : request.env) {
    if (variable.starts_with("PATH=")) path = std::string_view(variable).substr(5);
  }
  std::vector<std::string> candidates;
  while (true) {
    const size_t end = path.find(':');
    const std::string_view folder = path.substr(0, end);
    // An empty part of PATH is the working directory.
    candidates.push_back(folder.empty() ? "./" + program : std::string(folder) + "/" + program);
    if (end == std::string_view::npos) return candidates;
    path.remove_prefix(end + 1);
  }
}

[[noreturn]] void FailChild(const ChildPlan& plan, Stage stage) {
  const SpawnFailure failure = {stage, errno};
  (void)!write(plan.report, &failure, sizeof(failure));
  _exit(127);
}

void SetUpChildStdio(const ChildPlan& plan) {
  if (setsid() < 0) FailChild(plan, Stage::kFork);
  if (plan.request->pty.has_value() && ioctl(plan.stdio[0], TIOCSCTTY, 0) != 0) {
    FailChild(plan, Stage::kPty);
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (dup2(plan.stdio[fd], fd) < 0) FailChild(plan, Stage::kFork);
  }
  unsigned int first_to_close = 3;
  if (plan.control >= 0) {
    if (dup2(plan.control, kControlFd) < 0) FailChild(plan, Stage::kFork);
    first_to_close = kControlFd + 1;
  }
  // The report pipe has to stay open until execve.
  if (close_range(first_to_close, ~0U, CLOSE_RANGE_CLOEXEC) != 0) FailChild(plan, Stage::kFork);
}

void SetUpChildIdentity(const ChildPlan& plan) {
  for (const ResourceLimit& limit : plan.request->rlimits) {
    const rlimit value = {limit.soft, limit.hard};
    if (setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) != 0) {
      FailChild(plan, Stage::kRlimit);
    }
  }
  const Credentials& who = plan.credentials;
  if (setgroups(who.groups.size(), who.groups.data()) != 0 ||
      setresgid(who.gid, who.gid, who.gid) != 0 || setresuid(who.uid, who.uid, who.uid) != 0) {
    FailChild(plan, Stage::kUser);
  }
}

[[noreturn]] void RunChild(const ChildPlan& plan) {
  if (plan.join_cgroup >= 0) {
    UniqueFd procs(openat(plan.join_cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC));
    if (write(procs.get(), "0", 1) < 0) FailChild(plan, Stage::kFork);
  }
  // The agent's own score of -1000 must not protect its children.
  (void)WriteSmallFile("/proc/self/oom_score_adj", "0");
  SetUpChildStdio(plan);
  SetUpChildIdentity(plan);
  umask(022);
  if (chdir(plan.request->cwd.c_str()) != 0) FailChild(plan, Stage::kChdir);
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int error_number = ENOENT;
  for (const std::string& candidate : plan.candidates) {
    execve(candidate.c_str(), plan.argv.data(), plan.envp.data());
    if (errno == ENOENT || errno == ENOTDIR) continue;
    // As shells do: a later folder may have a program that may be executed.
    error_number = errno;
    if (errno != EACCES) break;
  }
  errno = error_number;
  FailChild(plan, Stage::kExecve);
}

// Clones right into the cgroup if the kernel can; else the child joins it by itself.
pid_t ForkInto(int cgroup_directory, ChildPlan* plan) {
  if (cgroup_directory >= 0) {
    clone_args arguments = {};
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = static_cast<uint64_t>(cgroup_directory);
    const long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid >= 0 || errno == EAGAIN || errno == ENOMEM) return static_cast<pid_t>(pid);
    plan->join_cgroup = cgroup_directory;
  }
  return fork();
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

bool OpenPipe(Pipe* pipe) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return false;
  pipe->read_end.Reset(fds[0]);
  pipe->write_end.Reset(fds[1]);
  return true;
}

// The agent's end only: programs expect theirs to block.
bool SetNonBlocking(const UniqueFd& fd) { return fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0; }

// The child puts its control channel at kControlFd, where nothing that it still needs may be.
bool MoveAboveControl(UniqueFd* fd) {
  fd->Reset(fcntl(fd->get(), F_DUPFD_CLOEXEC, kControlFd + 1));
  return fd->valid();
}

// The child's ends, which the agent closes after the fork.
struct ChildFds {
  UniqueFd input;
  UniqueFd output;
  UniqueFd error_output;
  UniqueFd control;
};

Status OpenControl(SpawnedProcess* process, ChildFds* child) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return StageError(Stage::kFork, "socketpair");
  }
  process->control.Reset(fds[0]);
  child->control.Reset(fds[1]);
  if (!SetNonBlocking(process->control) || !MoveAboveControl(&child->control)) {
    return StageError(Stage::kFork, "fcntl");
  }
  return {};
}

Status OpenPipes(const ExecStartRequest& request, uid_t uid, SpawnedProcess* process,
                 ChildFds* child) {
  Pipe output;
  Pipe error_output;
  if (!OpenPipe(&output) || !OpenPipe(&error_output)) return StageError(Stage::kFork, "pipe");
  if (!SetNonBlocking(output.read_end) || !SetNonBlocking(error_output.read_end)) {
    return StageError(Stage::kFork, "fcntl");
  }
  process->output = std::move(output.read_end);
  process->error_output = std::move(error_output.read_end);
  child->output = std::move(output.write_end);
  child->error_output = std::move(error_output.write_end);
  if (request.has_stdin) {
    Pipe input;
    if (!OpenPipe(&input) || !SetNonBlocking(input.write_end)) {
      return StageError(Stage::kFork, "pipe");
    }
    process->input = std::move(input.write_end);
    child->input = std::move(input.read_end);
  } else {
    child->input.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!child->input.valid()) return StageError(Stage::kFork, "/dev/null");
  }
  if (uid == 0) return {};
  // Without this the user could not open /dev/stdout again, as many programs do for their logs.
  for (const UniqueFd* fd : {&child->output, &child->error_output})
    (void)!fchown(fd->get(), uid, -1);
  if (request.has_stdin) (void)!fchown(child->input.get(), uid, -1);
  return {};
}

Status OpenPty(const PtySize& size, uid_t uid, SpawnedProcess* process, ChildFds* child) {
  UniqueFd master(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!master.valid()) return StageError(Stage::kPty, "/dev/ptmx");
  int unlock = 0;
  if (ioctl(master.get(), TIOCSPTLCK, &unlock) != 0) return StageError(Stage::kPty, "TIOCSPTLCK");
  MSB_RETURN_IF_ERROR(ResizePty(master.get(), size));
  // Erasing a character of several bytes takes this.
  termios settings = {};
  if (tcgetattr(master.get(), &settings) == 0) {
    settings.c_iflag |= IUTF8;
    tcsetattr(master.get(), TCSANOW, &settings);
  }
  child->input.Reset(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!child->input.valid()) return StageError(Stage::kPty, "TIOCGPTPEER");
  if (uid != 0) (void)!fchown(child->input.get(), uid, kTtyGroup);
  child->output.Reset(fcntl(child->input.get(), F_DUPFD_CLOEXEC, 3));
  child->error_output.Reset(fcntl(child->input.get(), F_DUPFD_CLOEXEC, 3));
  process->input.Reset(fcntl(master.get(), F_DUPFD_CLOEXEC, 3));
  if (!child->output.valid() || !child->error_output.valid() || !process->input.valid()) {
    return StageError(Stage::kPty, "fcntl");
  }
  process->output = std::move(master);
  return {};
}

}  // namespace

Status ResizePty(int pty, const PtySize& size) {
  winsize window = {};
  window.ws_col = size.cols;
  window.ws_row = size.rows;
  if (ioctl(pty, TIOCSWINSZ, &window) != 0) return StageError(Stage::kPty, "TIOCSWINSZ");
  return {};
}

Status ReadStartReport(int start_report, const ExecStartRequest& request) {
  SpawnFailure failure;
  const ssize_t count = read(start_report, &failure, sizeof(failure));
  if (count != sizeof(failure)) return {};
  std::string what;
  switch (failure.stage) {
    case Stage::kChdir:
      what = request.cwd;
      break;
    case Stage::kExecve:
      what = request.argv[0];
      break;
    default:
      what = "cannot prepare the process";
  }
  errno = failure.error_number;
  return StageError(failure.stage, std::move(what));
}

StatusOr<SpawnedProcess> SpawnProcess(const ExecStartRequest& request, int cgroup_directory) {
  ChildPlan plan;
  plan.request = &request;
  plan.argv = Pointers(request.argv);
  plan.envp = Pointers(request.env);
  plan.candidates = ProgramCandidates(request);
  StatusOr<Credentials> credentials = LookupGuestUser(request.user);
  if (!credentials.ok()) return credentials.status();
  plan.credentials = std::move(credentials.value());

  SpawnedProcess process;
  ChildFds child;
  if (request.pty.has_value()) {
    MSB_RETURN_IF_ERROR(OpenPty(*request.pty, plan.credentials.uid, &process, &child));
  } else {
    MSB_RETURN_IF_ERROR(OpenPipes(request, plan.credentials.uid, &process, &child));
  }
  if (request.has_control) MSB_RETURN_IF_ERROR(OpenControl(&process, &child));
  Pipe report;
  if (!OpenPipe(&report) || !SetNonBlocking(report.read_end) ||
      !MoveAboveControl(&report.write_end)) {
    return StageError(Stage::kFork, "pipe");
  }
  plan.stdio[0] = child.input.get();
  plan.stdio[1] = child.output.get();
  plan.stdio[2] = child.error_output.get();
  plan.control = child.control.get();
  plan.report = report.write_end.get();

  const pid_t pid = ForkInto(cgroup_directory, &plan);
  if (pid == 0) RunChild(plan);
  if (pid < 0) return StageError(Stage::kFork, "cannot make a process");
  process.pid = pid;
  process.start_report = std::move(report.read_end);
  return process;
}

}  // namespace msb::agent
