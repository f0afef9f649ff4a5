// Which octets of a disk were read: sorted, merged, and never more than a named number of ranges.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rackboot::look {

struct Range {
  uint64_t begin;
  uint64_t end;
};

class Ranges {
 public:
  // What a report holds at most. A reader that jumps about more than this gets coarser ranges, never fewer octets.
  static constexpr size_t kMaxReported = 4096;

  void add(uint64_t begin, uint64_t end) {
    if (begin >= end) return;
    if (!ranges_.empty() && begin >= ranges_.back().begin && begin <= ranges_.back().end) {
      ranges_.back().end = std::max(ranges_.back().end, end);
      return;
    }
    ranges_.push_back({begin, end});
    if (ranges_.size() >= kMaxHeld) settle(kMaxReported, 0);
  }

  const std::vector<Range>& settled() {
    settle(kMaxReported, 0);
    return ranges_;
  }

 private:
  static constexpr size_t kMaxHeld = 65536;

  // Merges what touches; while too many are left, merges over gaps twice as wide each time.
  void settle(size_t limit, uint64_t gap) {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    size_t kept = 0;
    for (const Range& range : ranges_) {
      if (kept > 0 && range.begin <= ranges_[kept - 1].end + gap) {
        ranges_[kept - 1].end = std::max(ranges_[kept - 1].end, range.end);
      } else {
        ranges_[kept++] = range;
      }
    }
    ranges_.resize(kept);
    if (kept > limit) settle(limit, gap == 0 ? 4096 : gap * 2);
  }

  std::vector<Range> ranges_;
};

}  // namespace rackboot::look
