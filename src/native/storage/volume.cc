#include "storage/volume.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

namespace rackboot {
namespace {

/// Asks the file system itself, with a read of one octet: some say EOPNOTSUPP to RWF_NOWAIT, and a file system in memory need
/// not be asked.
InlineIo probeInlineReads(int fd, bool inMemory) {
  if (inMemory) return InlineIo::always;
  uint8_t octet;
  iovec vector{&octet, 1};
  const ssize_t n = preadv2(fd, &vector, 1, 0, RWF_NOWAIT);
  return n >= 0 || errno == EAGAIN ? InlineIo::nowait : InlineIo::never;
}

/// A write of nothing tells whether the file system takes RWF_NOWAIT for buffered writes (XFS and btrfs do).
InlineIo probeInlineWrites(int fd, bool inMemory, bool readOnly) {
  if (readOnly) return InlineIo::never;
  if (inMemory) return InlineIo::always;
  iovec vector{nullptr, 0};
  const ssize_t n = pwritev2(fd, &vector, 1, 0, RWF_NOWAIT);
  return n >= 0 || errno == EAGAIN ? InlineIo::nowait : InlineIo::never;
}

int64_t sizeOf(int fd, FileId* id = nullptr) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (id != nullptr) *id = {status.st_dev, status.st_ino};
  if (S_ISREG(status.st_mode)) return status.st_size;
  if (!S_ISBLK(status.st_mode)) return -EINVAL;
  uint64_t bytes = 0;
  return ioctl(fd, BLKGETSIZE64, &bytes) == 0 ? static_cast<int64_t>(bytes) : -errno;
}

}  // namespace

Volume::~Volume() {
  closeFile();
}

void Volume::closeFile() {
  // First: as long as somebody has the blocks, the file is open and its inode is nobody else's.
  blocks.reset();
  if (fd >= 0) close(fd);
  if (witness_ >= 0) close(witness_);
  fd = witness_ = -1;
}

int64_t Volume::fileBytes() const {
  return sizeOf(fd);
}

int Volume::lostPages(const std::function<void(int)>& tell) {
  const std::lock_guard lock(witnessMutex_);
  if (failed.load(std::memory_order_relaxed)) return EIO;
  // Behind the last octet that a file can have, nothing has to be waited for: what is left of the call is the question.
  constexpr off64_t kBeyond = std::numeric_limits<off64_t>::max() - 1;
  if (witness_ < 0 || sync_file_range(witness_, kBeyond, 1, SYNC_FILE_RANGE_WAIT_BEFORE) == 0) return 0;
  const int error = errno;
  if (error == EINVAL || error == ENOSYS || error == ESPIPE || error == EINTR) return 0;  // it cannot tell
  tell(error);
  return error;
}

std::shared_ptr<Volume> openVolume(VolumeId id, const VolumeSpec& spec, uint32_t threads, int& error, std::string& message) {
  const auto fail = [&](int code, std::string why) {
    error = code;
    message = std::move(why);
    return nullptr;
  };
  const int fd = open(spec.path.c_str(), (spec.readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (fd < 0) {
    const int code = errno;
    return fail(code, "volume file " + spec.path + " cannot be opened: " + strerror(code) +
                          (code == ENOENT ? ". Create it, or correct its path" : ""));
  }
  auto volume = std::make_shared<Volume>();
  volume->id = id;
  volume->spec = spec;
  volume->fd = fd;
  volume->witness_ = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC);
  volume->stats = std::vector<IoStats>(threads);
  const int64_t size = sizeOf(fd, &volume->file);
  if (size < 0) return fail(static_cast<int>(-size), "volume file " + spec.path + " is neither a regular file nor a block device");
  if (volume->spec.sizeBytes == 0) volume->spec.sizeBytes = static_cast<uint64_t>(size) / spec.blockSize * spec.blockSize;
  if (volume->spec.sizeBytes > static_cast<uint64_t>(size)) {
    return fail(EINVAL, "volume file " + spec.path + " has " + std::to_string(size) + " octets, fewer than the " +
                            std::to_string(spec.sizeBytes) + " of its volume. Grow the file, or correct the size");
  }
  struct statfs system;
  const bool inMemory = fstatfs(fd, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
  volume->inlineReads = probeInlineReads(fd, inMemory);
  volume->inlineWrites = probeInlineWrites(fd, inMemory, spec.readOnly);
  return volume;
}

}  // namespace rackboot
