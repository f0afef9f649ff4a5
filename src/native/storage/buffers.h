// Data buffers of one thread: slabs of 1 MiB, cut into blocks of one size class each, bounded by a budget per purpose.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace rackboot {

constexpr uint32_t kSmallestBlock = 4096;
constexpr uint32_t kLargestBlock = 1 << 20;
constexpr uint32_t kSlabBytes = kLargestBlock;
constexpr int kSizeClasses = 9;  // 4 KiB ... 1 MiB
/// The least that a thread can work with: a few bursts of each purpose.
constexpr uint64_t kLeastPoolBytes = 4 << 20;

/// What a buffer is for. Each purpose has a budget of its own: a peer that floods with immediate data cannot take the buffers
/// that an R2T has promised, and a peer that does not read its replies cannot stop writes.
enum class Purpose : uint8_t { read, solicited, unsolicited, receive };
constexpr int kPurposes = 4;

struct Slab;
class BufferPool;

struct Buffer {
  uint8_t* data;
  uint32_t capacity;
  uint32_t references;
  Slab* slab;
  Buffer* next;
  Purpose purpose;
};

/// Shares a buffer within its thread; the last reference gives it back.
class BufferRef {
 public:
  BufferRef() = default;
  BufferRef(BufferPool* pool, Buffer* buffer) : pool_(pool), buffer_(buffer) {}
  BufferRef(const BufferRef& other) : pool_(other.pool_), buffer_(other.buffer_) {
    if (buffer_) ++buffer_->references;
  }
  BufferRef(BufferRef&& other) noexcept : pool_(other.pool_), buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef();

  explicit operator bool() const { return buffer_ != nullptr; }
  uint8_t* data() const { return buffer_->data; }
  uint32_t capacity() const { return buffer_->capacity; }
  bool shared() const { return buffer_->references > 1; }

 private:
  BufferPool* pool_ = nullptr;
  Buffer* buffer_ = nullptr;
};

class BufferPool {
 public:
  explicit BufferPool(uint64_t budgetBytes);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// At least `length` octets (at most kLargestBlock). Empty when the budget of `purpose` is spent. `receive` always gets one: the limit on
  /// connections bounds those that are received into, and its budget, which whoever keeps one asks for, those that data is kept in.
  BufferRef take(Purpose purpose, uint32_t length);

  uint64_t budget(Purpose purpose) const { return budgets_[static_cast<size_t>(purpose)]; }
  uint64_t used(Purpose purpose) const { return used_[static_cast<size_t>(purpose)]; }
  /// Octets of memory that the slabs take.
  uint64_t residentBytes() const { return slabs_ * kSlabBytes; }
  uint64_t usedBytes() const { return used_[0] + used_[1] + used_[2] + used_[3]; }
  /// Gives empty slabs back to the system. For quiet moments: under load, mapping and faulting pages anew costs more than it saves.
  void trim();
  bool hasEmptySlabs() const;
  /// Grows with every buffer that comes back, so that who waits for one knows when asking again makes sense.
  uint64_t returns() const { return returns_; }

 private:
  friend class BufferRef;
  void giveBack(Buffer* buffer);
  Slab* addSlab(int sizeClass);
  void link(Slab*& head, Slab* slab);
  void unlink(Slab*& head, Slab* slab);

  std::array<Slab*, kSizeClasses> open_{};  // slabs with a free block, by size class
  std::array<uint64_t, kPurposes> budgets_{};
  std::array<uint64_t, kPurposes> used_{};
  std::array<Slab*, kSizeClasses> empty_{};  // kept as they are cut until trim()
  uint64_t slabs_ = 0;
  uint64_t returns_ = 0;
};

inline BufferRef::~BufferRef() {
  if (buffer_ && --buffer_->references == 0) pool_->giveBack(buffer_);
}

}  // namespace rackboot
