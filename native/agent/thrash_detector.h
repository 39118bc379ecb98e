#ifndef MSB_AGENT_THRASH_DETECTOR_H_
#define MSB_AGENT_THRASH_DETECTOR_H_

#include <cstdint>
#include <optional>

namespace msb::agent {

// Of a cgroup, from its memory.events and memory.stat. All but the last two only grow.
struct MemorySample {
  int64_t limit_hits = 0;
  // Pages of files that were read again after they had been evicted.
  int64_t refaulted_pages = 0;
  int64_t major_faults = 0;
  int64_t file_bytes = 0;
  int64_t reclaimable_slab_bytes = 0;
};

// A program whose own memory just fits below its limit can go on without ever getting further: the
// kernel evicts what is left of the files in memory, mostly the program's own code, which is read
// again at once. For the kernel each of these pages is progress, so it kills nothing.
class ThrashDetector {
 public:
  // Once a second. True when it has gone on for so long that it will not end by itself.
  bool Take(const MemorySample& sample, int64_t limit_bytes);
  // Whether the limit was reached since the sample before the last.
  bool at_limit() const { return at_limit_; }
  void Reset();

 private:
  std::optional<MemorySample> before_;
  bool at_limit_ = false;
  int turns_ = 0;
};

}  // namespace msb::agent

#endif  // MSB_AGENT_THRASH_DETECTOR_H_
