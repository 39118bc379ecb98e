#include "agent/output_reader.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "agent/messages.h"
#include "check.h"

namespace msb::agent {
namespace {

// A reader with the program's ends of its three descriptors.
struct Program {
  OutputBuffer buffer;
  OutputReader reader{&buffer};
  UniqueFd out;
  UniqueFd err;
  UniqueFd control;

  Program() {
    Connect(Channel::kStdout, &out);
    Connect(Channel::kStderr, &err);
    int fds[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    Hand(Channel::kControl, fds[0]);
    control.Reset(fds[1]);
  }

  void Connect(Channel channel, UniqueFd *end) {
    int fds[2];
    EXPECT(pipe(fds) == 0);
    Hand(channel, fds[0]);
    end->Reset(fds[1]);
  }

  void Hand(Channel channel, int fd) {
    EXPECT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    reader.Open(channel, UniqueFd(fd));
  }

  // What is in the buffer, as "o:text|c:text|"; frees it.
  std::string Take() {
    std::string text;
    uint64_t offset = buffer.start();
    while (offset < buffer.end()) {
      const OutputBuffer::Piece piece = buffer.At(offset, kWindowBytes);
      text += "?oec"[static_cast<size_t>(piece.channel)];
      text += ":" + std::string(piece.bytes) + "|";
      offset += piece.bytes.size();
    }
    buffer.Release(offset);
    return text;
  }
};

void Write(const UniqueFd &fd, std::string_view bytes) {
  EXPECT(write(fd.get(), bytes.data(), bytes.size()) ==
         static_cast<ssize_t>(bytes.size()));
}

TEST(ReaderPutsControlBehindTheOutputThatWasThere) {
  Program program;
  Write(program.out, "a");
  Write(program.err, "b");
  Write(program.control, "c");
  EXPECT(program.reader.ReadPass());
  EXPECT(program.Take() == "o:a|e:b|c:c|");
  EXPECT(!program.reader.ReadPass());
}

// More than a piece is in the pipe when the control byte is read: all of it is
// handed on first.
TEST(ReaderReadsWholePipesBeforeControl) {
  Program program;
  const std::string much(60'000, 'x');
  Write(program.out, much);
  Write(program.err, much);
  Write(program.control, "c");
  EXPECT(program.reader.ReadPass());
  const std::string taken = program.Take();
  EXPECT(taken.ends_with("|c:c|"));
  size_t bytes = 0;
  for (const char byte : taken)
    bytes += byte == 'x';
  EXPECT(bytes == 120'000);
}

// A program that never stops writing delays control by what its pipe holds,
// and no more.
TEST(ReaderLetsNoFloodHoldControlBack) {
  Program program;
  EXPECT(fcntl(program.out.get(), F_SETFL, O_NONBLOCK) == 0);
  const std::string flood(65'536, 'x');
  const auto fill = [&] {
    while (write(program.out.get(), flood.data(), flood.size()) > 0) {
    }
  };
  fill();
  Write(program.control, "c");
  std::string seen;
  for (int pass = 0; pass < 3 && !seen.ends_with("c:c|"); ++pass) {
    program.reader.ReadPass();
    fill();
    seen += program.Take();
  }
  EXPECT(seen.ends_with("c:c|"));
}

TEST(ReaderHoldsControlUntilThereIsRoom) {
  Program program;
  program.buffer.Append(Channel::kStdout, std::string(kWindowBytes - 2, 'x'));
  Write(program.control, "12345");
  EXPECT(program.reader.ReadPass());
  EXPECT(program.reader.holding() && program.buffer.room() == 0);
  // Written later, so it comes later.
  Write(program.out, "out");
  EXPECT(!program.reader.ReadPass());
  program.buffer.Release(kWindowBytes - 2);
  EXPECT(program.reader.ReadPass());
  EXPECT(!program.reader.holding());
  EXPECT(program.Take() == "c:12345|o:out|");
}

TEST(ReaderTellsWhereControlEnded) {
  Program program;
  Write(program.out, "abc");
  Write(program.control, "c");
  program.control.Reset();
  while (program.reader.ReadPass()) {
  }
  EXPECT(program.reader.ended(Channel::kControl));
  EXPECT(program.reader.control_end() == 4);
  EXPECT(!program.reader.at_end());
  Write(program.out, "later");
  program.out.Reset();
  program.err.Reset();
  while (program.reader.ReadPass()) {
  }
  EXPECT(program.Take() == "o:abc|c:c|o:later|");
  EXPECT(program.reader.at_end());
}

// Another process may read what FIONREAD counted.
TEST(ReaderDoesNotWaitForStolenOutput) {
  Program program;
  program.buffer.Append(Channel::kStdout, std::string(kWindowBytes - 1, 'x'));
  Write(program.out, "ab");
  Write(program.control, "c");
  program.reader.ReadPass();
  program.buffer.Release(1);
  program.reader.ReadPass();
  char stolen[8];
  (void)!read(program.reader.fd(Channel::kStdout), stolen, sizeof(stolen));
  program.buffer.Release(kWindowBytes);
  while (program.reader.ReadPass()) {
  }
  EXPECT(!program.reader.holding());
  EXPECT(program.Take().ends_with("c:c|"));
}

TEST(ReaderDropsWhatComesTooLate) {
  Program program;
  program.reader.Drop();
  Write(program.out, "a");
  Write(program.control, "b");
  while (program.reader.ReadPass()) {
  }
  EXPECT(program.buffer.end() == 0 && !program.reader.holding());
}

} // namespace
} // namespace msb::agent
