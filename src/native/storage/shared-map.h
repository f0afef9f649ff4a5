// Which octets of a volume are, physically, those of an immutable file, and have not been written since: what a clone still has of
// its origin. Data only; who fills it is plane/map-builder.cc.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace rackboot {

/// A stretch of a file and where it lies on the disk, octets.
struct Extent {
  uint64_t offset = 0;
  uint64_t physical = 0;
  uint64_t length = 0;
  uint64_t end() const { return offset + length; }
};

/// A stretch of a volume that lies where the same stretch of the `origin`-th file lies.
struct SharedRange {
  uint64_t offset = 0;
  uint64_t length = 0;
  uint32_t origin = 0;
  uint64_t end() const { return offset + length; }
};

/// Ranges that both files have at the same offset in the same place are appended to `shared`; returns what is left of `own`. All are
/// sorted by offset and do not overlap.
std::vector<Extent> takeShared(const std::vector<Extent>& own, const std::vector<Extent>& theirs, uint32_t origin,
                               std::vector<SharedRange>& shared);

/// Sorts, and joins neighbours of one origin.
void mergeRanges(std::vector<SharedRange>& ranges);

/// A write takes this much away from what is shared, counted from the start of its range: one bit each.
constexpr uint64_t kGranuleBytes = 16 * 1024;
/// Bounds of one volume's map: 3 MiB of ranges and 8 MiB of bits. What is beyond (the shortest ranges first) is not shared.
constexpr size_t kMostRanges = 128 * 1024;
constexpr uint64_t kMostGranules = uint64_t{1} << 26;

/// Any thread may ask and any thread may diverge, without a lock: a bit that was cleared is never set again.
class SharedMap {
 public:
  /// Sorted, and without overlaps.
  explicit SharedMap(std::vector<SharedRange> ranges);

  struct Run {
    bool shared = false;
    uint32_t origin = 0;
    uint64_t length = 0;
  };
  /// What lies at `offset`, and for how long that stays so, `length` at most.
  Run at(uint64_t offset, uint64_t length) const;
  /// These octets are the volume's own from now on. True where one of them was not.
  bool diverge(uint64_t offset, uint64_t length);
  /// Shared at first, octets.
  uint64_t bytes() const { return bytes_; }

 private:
  struct Segment {
    uint64_t offset;
    uint64_t end;
    uint32_t firstGranule;
    uint32_t origin;
  };
  size_t find(uint64_t offset) const;
  bool isShared(uint64_t granule) const { return (bits_[granule / 64].load(std::memory_order_acquire) >> (granule % 64) & 1) != 0; }

  std::vector<Segment> segments_;
  uint64_t bytes_ = 0;
  std::unique_ptr<std::atomic<uint64_t>[]> bits_;
};

}  // namespace rackboot
