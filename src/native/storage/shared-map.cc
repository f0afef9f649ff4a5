#include "storage/shared-map.h"

#include <algorithm>

namespace rackboot {
namespace {

uint64_t granulesOf(uint64_t length) {
  return (length + kGranuleBytes - 1) / kGranuleBytes;
}

/// Drops the shortest until the bounds are kept.
void limit(std::vector<SharedRange>& ranges) {
  for (uint64_t least = 2 * 4096; ranges.size() > kMostRanges; least *= 2) {
    std::erase_if(ranges, [least](const SharedRange& range) { return range.length < least; });
  }
  uint64_t granules = 0;
  std::erase_if(ranges, [&granules](const SharedRange& range) {
    const uint64_t needed = granulesOf(range.length);
    if (needed > kMostGranules - granules) return true;
    granules += needed;
    return false;
  });
}

}  // namespace

std::vector<Extent> takeShared(const std::vector<Extent>& own, const std::vector<Extent>& theirs, uint32_t origin,
                               std::vector<SharedRange>& shared) {
  std::vector<Extent> left;
  const auto keep = [&left](const Extent& extent, uint64_t from, uint64_t to) {
    if (from < to) left.push_back({from, extent.physical + (from - extent.offset), to - from});
  };
  auto other = theirs.begin();
  for (const Extent& extent : own) {
    uint64_t from = extent.offset;
    while (other != theirs.end() && other->end() <= extent.offset) ++other;
    // One of theirs may reach into several of ours, so it is left behind only by one of ours that begins beyond it.
    for (auto each = other; each != theirs.end() && each->offset < extent.end(); ++each) {
      // The same distance from place to offset: what both have there lies in the same place. Differences wrap around alike.
      if (each->physical - each->offset != extent.physical - extent.offset) continue;
      const uint64_t start = std::max(from, each->offset);
      const uint64_t end = std::min(extent.end(), each->end());
      keep(extent, from, start);
      shared.push_back({start, end - start, origin});
      from = end;
    }
    keep(extent, from, extent.end());
  }
  return left;
}

void mergeRanges(std::vector<SharedRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const SharedRange& a, const SharedRange& b) { return a.offset < b.offset; });
  size_t kept = 0;
  for (const SharedRange& range : ranges) {
    SharedRange* before = kept > 0 ? &ranges[kept - 1] : nullptr;
    if (before != nullptr && before->end() == range.offset && before->origin == range.origin) {
      before->length += range.length;
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
}

SharedMap::SharedMap(std::vector<SharedRange> ranges) {
  limit(ranges);
  segments_.reserve(ranges.size());
  uint64_t granules = 0;
  for (const SharedRange& range : ranges) {
    segments_.push_back({range.offset, range.end(), static_cast<uint32_t>(granules), range.origin});
    granules += granulesOf(range.length);
    bytes_ += range.length;
  }
  const size_t words = granules / 64 + 1;
  bits_ = std::make_unique<std::atomic<uint64_t>[]>(words);
  for (size_t i = 0; i < words; ++i) bits_[i].store(~uint64_t{0}, std::memory_order_relaxed);
}

/// The first segment that ends behind `offset`.
size_t SharedMap::find(uint64_t offset) const {
  const auto found =
      std::upper_bound(segments_.begin(), segments_.end(), offset, [](uint64_t at, const Segment& segment) { return at < segment.end; });
  return static_cast<size_t>(found - segments_.begin());
}

SharedMap::Run SharedMap::at(uint64_t offset, uint64_t length) const {
  const size_t index = find(offset);
  if (index == segments_.size()) return {false, 0, length};
  const Segment& segment = segments_[index];
  if (offset < segment.offset) return {false, 0, std::min(length, segment.offset - offset)};
  uint64_t granule = (offset - segment.offset) / kGranuleBytes;
  const bool shared = isShared(segment.firstGranule + granule);
  const uint64_t end = std::min(segment.end, offset + length);
  uint64_t until = segment.offset + ++granule * kGranuleBytes;
  while (until < end && isShared(segment.firstGranule + granule) == shared) until = segment.offset + ++granule * kGranuleBytes;
  return {shared, segment.origin, std::min(until, end) - offset};
}

bool SharedMap::diverge(uint64_t offset, uint64_t length) {
  bool changed = false;
  const uint64_t end = offset + length;
  for (size_t index = find(offset); index < segments_.size() && segments_[index].offset < end; ++index) {
    const Segment& segment = segments_[index];
    const uint64_t first = segment.firstGranule + (std::max(offset, segment.offset) - segment.offset) / kGranuleBytes;
    const uint64_t last = segment.firstGranule + (std::min(end, segment.end) - 1 - segment.offset) / kGranuleBytes;
    for (uint64_t word = first / 64; word <= last / 64; ++word) {
      uint64_t mask = ~uint64_t{0};
      if (word == first / 64) mask &= ~uint64_t{0} << (first % 64);
      if (word == last / 64) mask &= ~uint64_t{0} >> (63 - last % 64);
      // Most writes go where others went before.
      if ((bits_[word].load(std::memory_order_relaxed) & mask) == 0) continue;
      changed |= (bits_[word].fetch_and(~mask, std::memory_order_acq_rel) & mask) != 0;
    }
  }
  return changed;
}

}  // namespace rackboot
