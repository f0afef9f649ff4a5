// System calls for src/native/extents.ts. Results are 0 or more, or -errno.
#pragma once

#include <linux/fiemap.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace rackboot {

struct ExtentFacts {
  uint64_t extents = 0;
  uint64_t ownBytes = 0;
  uint64_t sharedBytes = 0;
};

/// FIEMAP: calls `visit` with each extent in order until it returns false. `flush` (FIEMAP_FLAG_SYNC) has what is dirty written first.
/// A call of the kernel brings few enough that writers of the file do not wait long.
int eachExtent(int fd, bool flush, const std::function<bool(const fiemap_extent&)>& visit);

/// Nothing is flushed.
int measureExtents(const std::string& path, ExtentFacts& facts);

/// The first run of data at or after `from`; 0 where there is one, -ENXIO where only a hole follows.
int dataRange(int fd, uint64_t from, uint64_t& start, uint64_t& end);

/// At most `most` runs of data at or after `from`: where each begins and ends.
int dataRuns(const std::string& path, uint64_t from, uint32_t most, std::vector<std::pair<uint64_t, uint64_t>>& runs);

/// renameat2(2), RENAME_EXCHANGE.
int exchangePaths(const std::string& left, const std::string& right);

/// FS_XFLAG_COWEXTSIZE, inherited by what is made in the folder from now on.
int setCopyOnWriteHint(const std::string& folder, uint32_t bytes);

}  // namespace rackboot
