#include "system/extents.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace rackboot {
namespace {

/// Extents asked for at a time; 56 octets each.
constexpr uint32_t kExtentsAtOnce = 512;

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

int eachExtent(int fd, bool flush, const std::function<bool(const fiemap_extent&)>& visit) {
  std::vector<uint64_t> memory((sizeof(fiemap) + kExtentsAtOnce * sizeof(fiemap_extent)) / sizeof(uint64_t));
  auto* map = reinterpret_cast<fiemap*>(memory.data());
  for (uint64_t from = 0;;) {
    memset(map, 0, sizeof *map);
    map->fm_start = from;
    map->fm_length = FIEMAP_MAX_OFFSET - from;
    map->fm_flags = flush ? FIEMAP_FLAG_SYNC : 0;
    map->fm_extent_count = kExtentsAtOnce;
    if (ioctl(fd, FS_IOC_FIEMAP, map) != 0) return -errno;
    flush = false;
    if (map->fm_mapped_extents == 0) return 0;
    for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
      const fiemap_extent& extent = map->fm_extents[i];
      if (!visit(extent) || (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return 0;
      from = extent.fe_logical + extent.fe_length;
    }
  }
}

int measureExtents(const std::string& path, ExtentFacts& facts) {
  const File file(path, O_RDONLY);
  if (file.fd() < 0) return -errno;
  return eachExtent(file.fd(), false, [&facts](const fiemap_extent& extent) {
    ++facts.extents;
    ((extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0 ? facts.sharedBytes : facts.ownBytes) += extent.fe_length;
    return true;
  });
}

int dataRange(int fd, uint64_t from, uint64_t& start, uint64_t& end) {
  const off_t data = lseek(fd, static_cast<off_t>(from), SEEK_DATA);
  // A block device refuses to tell (EINVAL): all of it is data.
  if (data < 0 && errno == EINVAL) {
    const off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0) return -errno;
    if (from >= static_cast<uint64_t>(size)) return -ENXIO;
    start = from;
    end = static_cast<uint64_t>(size);
    return 0;
  }
  if (data < 0) return -errno;
  const off_t hole = lseek(fd, data, SEEK_HOLE);
  if (hole < 0) return -errno;
  start = static_cast<uint64_t>(data);
  end = static_cast<uint64_t>(hole);
  return 0;
}

int dataRuns(const std::string& path, uint64_t from, uint32_t most, std::vector<std::pair<uint64_t, uint64_t>>& runs) {
  const File file(path, O_RDONLY);
  if (file.fd() < 0) return -errno;
  uint64_t start = 0, end = from;
  while (runs.size() < most) {
    const int error = dataRange(file.fd(), end, start, end);
    if (error == -ENXIO) break;
    if (error != 0) return error;
    runs.emplace_back(start, end);
  }
  return 0;
}

int exchangePaths(const std::string& left, const std::string& right) {
  return renameat2(AT_FDCWD, left.c_str(), AT_FDCWD, right.c_str(), RENAME_EXCHANGE) == 0 ? 0 : -errno;
}

int setCopyOnWriteHint(const std::string& folder, uint32_t bytes) {
  const File file(folder, O_RDONLY | O_DIRECTORY);
  if (file.fd() < 0) return -errno;
  fsxattr attributes{};
  if (ioctl(file.fd(), FS_IOC_FSGETXATTR, &attributes) != 0) return -errno;
  attributes.fsx_xflags |= FS_XFLAG_COWEXTSIZE;
  attributes.fsx_cowextsize = bytes;
  if (ioctl(file.fd(), FS_IOC_FSSETXATTR, &attributes) != 0) return -errno;
  // Others take the hint without a word and forget it.
  fsxattr kept{};
  if (ioctl(file.fd(), FS_IOC_FSGETXATTR, &kept) != 0) return -errno;
  return (kept.fsx_xflags & FS_XFLAG_COWEXTSIZE) != 0 && kept.fsx_cowextsize == bytes ? 0 : -EOPNOTSUPP;
}

}  // namespace rackboot
