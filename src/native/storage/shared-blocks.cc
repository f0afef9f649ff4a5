#include "storage/shared-blocks.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace rackboot {
namespace {

/// A file of XFS may lie on a second device, whose places have nothing to do with those of the first.
bool isRealtime(int fd) {
  fsxattr attributes{};
  return ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0 && (attributes.fsx_xflags & FS_XFLAG_REALTIME) != 0;
}

}  // namespace

SharedBlocks::~SharedBlocks() {
  delete map_.load();
  for (const Origin& origin : origins_) close(origin.fd);
  if (file_ >= 0) close(file_);
}

void SharedBlocks::prepare(int file, FileId id, const std::vector<std::string>& origins) {
  const bool realtime = isRealtime(file);
  for (const std::string& path : origins) {
    if (origins_.size() == kMostOrigins) break;
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat status;
    const bool fits = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_dev == id.device && status.st_ino != id.inode;
    if (fits && isRealtime(fd) == realtime) {
      origins_.push_back({fd, {status.st_dev, status.st_ino}});
    } else {
      close(fd);
    }
  }
  if (origins_.empty()) return;
  file_ = open(("/proc/self/fd/" + std::to_string(file)).c_str(), O_RDONLY | O_CLOEXEC);
  building_.store(file_ >= 0);
}

std::vector<int> SharedBlocks::originFiles() const {
  std::vector<int> files;
  for (const Origin& origin : origins_) files.push_back(origin.fd);
  return files;
}

/// The descriptor becomes one of the own file, in one step: whoever reads through it, now or later, gets the same octets.
bool SharedBlocks::withdraw(FileId id) {
  bool found = false;
  for (const Origin& origin : origins_) {
    if (origin.id == id && file_ >= 0) found |= dup3(file_, origin.fd, O_CLOEXEC) >= 0;
  }
  return found;
}

/// False: the map is in force by now.
bool SharedBlocks::remember(uint64_t offset, uint64_t length) {
  const std::lock_guard lock(mutex_);
  if (!building_.load(std::memory_order_relaxed)) return false;
  if (!written_.empty() && written_.back().offset + written_.back().length == offset) {
    written_.back().length += length;
  } else if (written_.size() < kMostWritesWhileBuilding) {
    written_.push_back({offset, length});
  } else {
    overflowed_ = true;
  }
  return true;
}

bool SharedBlocks::publish(std::unique_ptr<SharedMap> map) {
  const std::lock_guard lock(mutex_);
  const bool complete = !overflowed_;
  for (const Written& written : written_) map->diverge(written.offset, written.length);
  written_ = {};
  if (complete) map_.store(map.release(), std::memory_order_release);
  // Second: who finds that nothing is being built finds the map.
  building_.store(false, std::memory_order_release);
  return complete;
}

void SharedBlocks::giveUp() {
  const std::lock_guard lock(mutex_);
  written_ = {};
  building_.store(false, std::memory_order_release);
}

}  // namespace rackboot
