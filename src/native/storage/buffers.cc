#include "storage/buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <vector>

namespace rackboot {

struct Slab {
  uint8_t* memory = nullptr;
  int sizeClass = 0;
  uint32_t inUse = 0;
  Buffer* free = nullptr;
  std::vector<Buffer> buffers;
  Slab* previous = nullptr;
  Slab* next = nullptr;
};

namespace {
int classOf(uint32_t length) {
  const uint32_t rounded = std::bit_ceil(std::max(length, kSmallestBlock));
  return std::countr_zero(rounded) - std::countr_zero(kSmallestBlock);
}

void cut(Slab* slab, int sizeClass) {
  const uint32_t block = kSmallestBlock << sizeClass;
  slab->sizeClass = sizeClass;
  slab->buffers.assign(kSlabBytes / block, Buffer{});
  slab->free = nullptr;
  for (size_t i = slab->buffers.size(); i-- > 0;) {
    slab->buffers[i] = Buffer{slab->memory + i * block, block, 0, slab, slab->free, Purpose::read};
    slab->free = &slab->buffers[i];
  }
}
}  // namespace

BufferPool::BufferPool(uint64_t budgetBytes) {
  const uint64_t budget = std::max(budgetBytes, kLeastPoolBytes);
  const uint64_t kept = budget / 16;
  budgets_[static_cast<size_t>(Purpose::read)] = budget / 2 - kept;
  budgets_[static_cast<size_t>(Purpose::solicited)] = budget / 4;
  budgets_[static_cast<size_t>(Purpose::unsolicited)] = budget / 4;
  budgets_[static_cast<size_t>(Purpose::receive)] = kept;
}

BufferPool::~BufferPool() {
  trim();
  for ([[maybe_unused]] Slab* slab : open_) assert(slab == nullptr);
}

BufferRef BufferPool::take(Purpose purpose, uint32_t length) {
  assert(length <= kLargestBlock);
  const int sizeClass = classOf(length);
  const uint32_t block = kSmallestBlock << sizeClass;
  uint64_t& used = used_[static_cast<size_t>(purpose)];
  if (purpose != Purpose::receive && used + block > budgets_[static_cast<size_t>(purpose)]) return {};
  Slab*& open = open_[static_cast<size_t>(sizeClass)];
  Slab* slab = open;
  if (slab == nullptr && (slab = addSlab(sizeClass)) == nullptr) return {};
  Buffer* buffer = slab->free;
  slab->free = buffer->next;
  ++slab->inUse;
  if (slab->free == nullptr) unlink(open, slab);
  used += block;
  buffer->references = 1;
  buffer->purpose = purpose;
  return BufferRef(this, buffer);
}

Slab* BufferPool::addSlab(int sizeClass) {
  Slab* slab = empty_[static_cast<size_t>(sizeClass)];
  for (int other = 0; slab == nullptr && other < kSizeClasses; ++other) slab = empty_[static_cast<size_t>(other)];
  if (slab != nullptr) {
    unlink(empty_[static_cast<size_t>(slab->sizeClass)], slab);
    if (slab->sizeClass != sizeClass) cut(slab, sizeClass);
  } else {
    void* memory = mmap(nullptr, kSlabBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    slab = new Slab;
    slab->memory = static_cast<uint8_t*>(memory);
    ++slabs_;
    cut(slab, sizeClass);
  }
  link(open_[static_cast<size_t>(sizeClass)], slab);
  return slab;
}

void BufferPool::giveBack(Buffer* buffer) {
  Slab* slab = buffer->slab;
  Slab*& open = open_[static_cast<size_t>(slab->sizeClass)];
  used_[static_cast<size_t>(buffer->purpose)] -= buffer->capacity;
  ++returns_;
  if (slab->free == nullptr) link(open, slab);
  buffer->next = slab->free;
  slab->free = buffer;
  if (--slab->inUse > 0) return;
  unlink(open, slab);
  link(empty_[static_cast<size_t>(slab->sizeClass)], slab);
}

bool BufferPool::hasEmptySlabs() const {
  return std::any_of(empty_.begin(), empty_.end(), [](const Slab* slab) { return slab != nullptr; });
}

void BufferPool::trim() {
  for (Slab*& head : empty_) {
    while (head != nullptr) {
      Slab* slab = head;
      unlink(head, slab);
      munmap(slab->memory, kSlabBytes);
      delete slab;
      --slabs_;
    }
  }
}

void BufferPool::link(Slab*& head, Slab* slab) {
  slab->previous = nullptr;
  slab->next = head;
  if (head != nullptr) head->previous = slab;
  head = slab;
}

void BufferPool::unlink(Slab*& head, Slab* slab) {
  if (slab->previous != nullptr) slab->previous->next = slab->next;
  if (slab->next != nullptr) slab->next->previous = slab->previous;
  if (head == slab) head = slab->next;
  slab->previous = slab->next = nullptr;
}

}  // namespace rackboot
