// What the volumes over one file read through other, immutable files, so that forty clones of one disk have its blocks in the page
// cache once. Until the map is built everything is read from the file itself, and writes are remembered for the map.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/shared-map.h"

namespace rackboot {

/// Files that one volume's blocks may be found in.
constexpr size_t kMostOrigins = 8;
/// Writes that are remembered while a map is built; a volume that gets more keeps its blocks to itself until it is opened again.
constexpr size_t kMostWritesWhileBuilding = 64 * 1024;

/// Which file it is, whatever it is called.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const FileId&) const = default;
};

class SharedBlocks {
 public:
  /// Nothing is shared.
  SharedBlocks() = default;
  ~SharedBlocks();
  SharedBlocks(const SharedBlocks&) = delete;
  SharedBlocks& operator=(const SharedBlocks&) = delete;

  /// Opens those of the origins that are there, on the same file system. Before anybody uses the volume.
  void prepare(int file, FileId id, const std::vector<std::string>& origins);

  struct Source {
    int fd;
    bool borrowed;  // of another file
    uint64_t length;
  };
  /// Where the octets at `offset` are read, and how many of them, `length` at most. `file` is the volume's own.
  Source source(int file, uint64_t offset, uint64_t length) const {
    const SharedMap* map = map_.load(std::memory_order_acquire);
    if (map == nullptr) return {file, false, length};
    const SharedMap::Run run = map->at(offset, length);
    return {run.shared ? origins_[run.origin].fd : file, run.shared, run.length};
  }
  /// Before a write is issued. A read that is under way may still bring what was there before, as it may without any sharing.
  void diverge(uint64_t offset, uint64_t length) {
    if (building_.load(std::memory_order_acquire) && remember(offset, length)) return;
    if (SharedMap* map = map_.load(std::memory_order_acquire)) map->diverge(offset, length);
  }
  bool active() const { return !origins_.empty(); }

  /// Another file is going away: whoever reads through it reads the own file from now on, and nothing keeps its storage. True where it was
  /// one of the origins.
  bool withdraw(FileId origin);

  // For the builder.
  bool building() const { return building_.load(std::memory_order_acquire); }
  int file() const { return file_; }
  std::vector<int> originFiles() const;
  /// In force from now on, without what was written meanwhile. False: too much was.
  bool publish(std::unique_ptr<SharedMap> map);
  /// Nothing will be shared.
  void giveUp();

 private:
  struct Origin {
    int fd;
    FileId id;
  };
  struct Written {
    uint64_t offset;
    uint64_t length;
  };
  bool remember(uint64_t offset, uint64_t length);

  int file_ = -1;  // a description of its own: what flushing for the map learns of lost pages is not taken from the volume's
  std::vector<Origin> origins_;
  std::atomic<SharedMap*> map_{nullptr};
  std::atomic<bool> building_{false};
  std::mutex mutex_;
  std::vector<Written> written_;
  bool overflowed_ = false;
};

}  // namespace rackboot
