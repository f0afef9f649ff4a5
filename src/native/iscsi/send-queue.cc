#include "iscsi/send-queue.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "storage/crc32c.h"

namespace rackboot {
namespace {
/// Recycled PDUs that a connection keeps: a busy one allocates none, an idle one holds few.
constexpr uint32_t kKeptPdus = 64;

/// RFC 7143, 13.1: the digest goes out in the octet order of the processor that reflects it, least significant first.
void putDigest(uint8_t* at, uint32_t crc) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(crc >> 8 * i);
}
}  // namespace

SendQueue::~SendQueue() {
  clear();
  while (free_ != nullptr) {
    OutPdu* next = free_->next;
    delete free_;
    free_ = next;
  }
}

OutPdu* SendQueue::make() {
  OutPdu* pdu = free_;
  if (pdu != nullptr) {
    free_ = pdu->next;
    --freeCount_;
    pdu->next = nullptr;
  } else {
    pdu = new OutPdu;
  }
  memset(pdu->header, 0, kBhsBytes);
  pdu->headerLength = kBhsBytes;
  pdu->trailerLength = 0;
  pdu->data = nullptr;
  pdu->dataLength = 0;
  return pdu;
}

void SendQueue::push(OutPdu* pdu) {
  put24(pdu->header + kDataLengthAt, pdu->dataLength);
  if (headerDigest_) {
    uint32_t crc = crc32c(0, pdu->header, kBhsBytes);
    if (pdu->extra.empty()) {
      putDigest(pdu->header + kBhsBytes, crc);
      pdu->headerLength = kBhsBytes + kDigestBytes;
    } else {
      crc = crc32c(crc, pdu->extra.data(), pdu->extra.size());
      pdu->extra.resize(pdu->extra.size() + kDigestBytes);
      putDigest(pdu->extra.data() + pdu->extra.size() - kDigestBytes, crc);
    }
  }
  const uint32_t pad = padding(pdu->dataLength);
  memset(pdu->trailer, 0, pad);
  pdu->trailerLength = static_cast<uint8_t>(pad);
  if (dataDigest_ && pdu->dataLength > 0) {
    uint32_t crc = crc32c(0, pdu->data, pdu->dataLength);
    if (pad > 0) crc = crc32c(crc, pdu->trailer, pad);
    putDigest(pdu->trailer + pad, crc);
    pdu->trailerLength = static_cast<uint8_t>(pad + kDigestBytes);
  }
  (tail_ != nullptr ? tail_->next : head_) = pdu;
  tail_ = pdu;
  bytes_ += pdu->bytes();
}

void SendQueue::push(std::vector<uint8_t> header, std::vector<uint8_t> data) {
  assert(header.size() >= kBhsBytes && header.size() % 4 == 0);
  OutPdu* pdu = make();
  memcpy(pdu->header, header.data(), kBhsBytes);
  pdu->extra.assign(header.begin() + kBhsBytes, header.end());
  pdu->own = std::move(data);
  pdu->data = pdu->own.data();
  pdu->dataLength = static_cast<uint32_t>(pdu->own.size());
  push(pdu);
}

size_t SendQueue::gather(iovec* out, size_t limit, uint64_t most) const {
  size_t count = 0;
  uint64_t skip = headSent_;
  uint64_t total = 0;
  const auto add = [&](const void* base, size_t length) {
    if (skip >= length) {
      skip -= length;
      return;
    }
    out[count++] = {const_cast<uint8_t*>(static_cast<const uint8_t*>(base)) + skip, length - skip};
    total += length - skip;
    skip = 0;
  };
  for (const OutPdu* pdu = head_; pdu != nullptr && count + 4 <= limit && total < most; pdu = pdu->next) {
    add(pdu->header, pdu->headerLength);
    add(pdu->extra.data(), pdu->extra.size());
    add(pdu->data, pdu->dataLength);
    add(pdu->trailer, pdu->trailerLength);
  }
  return count;
}

void SendQueue::consume(uint64_t n) {
  assert(n <= bytes_);
  bytes_ -= n;
  n += headSent_;
  while (head_ != nullptr && n >= head_->bytes()) {
    n -= head_->bytes();
    OutPdu* sent = head_;
    head_ = sent->next;
    recycle(sent);
  }
  if (head_ == nullptr) tail_ = nullptr;
  headSent_ = n;
}

void SendQueue::clear() {
  while (head_ != nullptr) {
    OutPdu* next = head_->next;
    recycle(head_);
    head_ = next;
  }
  tail_ = nullptr;
  bytes_ = headSent_ = 0;
}

void SendQueue::recycle(OutPdu* pdu) {
  pdu->buffer = {};
  if (freeCount_ >= kKeptPdus) {
    delete pdu;
    return;
  }
  pdu->own = {};
  pdu->extra.clear();
  pdu->next = free_;
  free_ = pdu;
  ++freeCount_;
}

}  // namespace rackboot
