#ifndef MSB_VMM_SIGNAL_PIPE_H_
#define MSB_VMM_SIGNAL_PIPE_H_

#include "base/status.h"
#include "base/unique_fd.h"

namespace msb::vmm {

// Makes signals readable: handlers write to a pipe that a poll loop watches. One a process.
class SignalPipe {
 public:
  SignalPipe() = default;
  SignalPipe(const SignalPipe&) = delete;
  ~SignalPipe();

  // From now on SIGCHLD, SIGTERM, SIGINT and SIGHUP go through the pipe.
  Status Open();
  int fd() const { return read_end_.get(); }

  struct Seen {
    bool child = false;
    bool terminate = false;
  };
  // What has come since the last call.
  Seen Take();

 private:
  UniqueFd read_end_;
  UniqueFd write_end_;
};

}  // namespace msb::vmm

#endif  // MSB_VMM_SIGNAL_PIPE_H_
