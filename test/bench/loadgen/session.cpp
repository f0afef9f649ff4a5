#include "session.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "crc32c.hpp"
#include "pattern.hpp"

namespace loadgen {
namespace {

// Contents of writes that nobody checks: not zeroes, which a file system might leave out.
const std::uint8_t* sharedPayload() {
  static const std::vector<std::uint8_t> payload = [] {
    std::vector<std::uint8_t> bytes(kMaxBlockBytes);
    fillPattern(bytes, 0, 1);
    return bytes;
  }();
  return payload.data();
}

}  // namespace

Session::Session(const Options& options, const Negotiated& negotiated, std::uint32_t lun, std::uint32_t blockBytes, Workload workload,
                 Totals& totals, Measured& measured)
    : options_(options),
      sn_(negotiated),
      lun_(lun),
      blockBytes_(blockBytes),
      workload_(std::move(workload)),
      totals_(totals),
      measured_(measured),
      tasks_(options.depth) {
  for (std::uint32_t i = options.depth; i > 0; --i) idle_.push_back(i - 1);
  if (options.verify)
    for (Task& task : tasks_) task.contents = std::make_unique<std::uint8_t[]>(options.blockBytes);
}

std::uint64_t Session::oldestNs() const {
  std::uint64_t oldest = 0;
  for (const Task& task : tasks_)
    if (task.stage != Stage::kIdle && (oldest == 0 || task.startNs < oldest)) oldest = task.startNs;
  return oldest;
}

const std::uint8_t* Session::payloadOf(const Task& task) const {
  return task.contents ? task.contents.get() : sharedPayload();
}

void Session::issue(Phase phase, std::uint64_t nowNs, std::uint64_t& budget) {
  for (; !waiting_.empty() && pdu::serialAtMost(sn_.cmdSn, sn_.maxCmdSn); waiting_.pop_back()) {
    const std::uint32_t index = waiting_.back();
    if (tasks_[index].stage == Stage::kFlush)
      sendFlush(index);
    else
      sendCommand(index);
  }
  while (!idle_.empty() && pdu::serialAtMost(sn_.cmdSn, sn_.maxCmdSn)) {
    Operation operation;
    if (phase == Phase::kLoad) {
      if (budget == 0 || workload_.done()) return;
      --budget;
      operation = workload_.next();
    } else if (phase == Phase::kReadBack) {
      const auto next = workload_.nextReadBack();
      readBackDone_ = !next;
      if (!next) return;
      operation = *next;
    } else {
      return;
    }
    const std::uint32_t index = idle_.back();
    idle_.pop_back();
    start(index, operation, nowNs);
  }
}

void Session::start(std::uint32_t index, const Operation& operation, std::uint64_t nowNs) {
  Task& task = tasks_[index];
  task.stage = Stage::kTransfer;
  task.operation = operation;
  task.startNs = nowNs;
  task.attempts = 0;
  ++inFlight_;
  if (task.contents && operation.generation != 0)
    fillPattern({task.contents.get(), options_.blockBytes}, operation.byteOffset, operation.generation);
  sendCommand(index);
}

void Session::sendCommand(std::uint32_t index) {
  Task& task = tasks_[index];
  task.transferred = 0;
  const bool write = task.operation.write;
  const auto total = static_cast<std::uint32_t>(options_.blockBytes);
  const std::uint64_t lba = task.operation.byteOffset / blockBytes_;
  const std::uint32_t blocks = total / blockBytes_;

  pdu::Header header{};
  header[0] = pdu::kScsiCommand;
  pdu::putLun(&header[pdu::kLun], lun_);
  pdu::put32(&header[pdu::kItt], index);
  pdu::put32(&header[pdu::kExpectedLength], total);
  pdu::put32(&header[pdu::kCmdSn], sn_.cmdSn++);
  std::uint8_t* cdb = &header[pdu::kCdb];
  if (options_.wideCdb || lba + blocks > 0xffffffff || blocks > 0xffff) {
    cdb[0] = write ? pdu::kWrite16 : pdu::kRead16;
    pdu::put64(cdb + 2, lba);
    pdu::put32(cdb + 10, blocks);
  } else {
    cdb[0] = write ? pdu::kWrite10 : pdu::kRead10;
    pdu::put32(cdb + 2, static_cast<std::uint32_t>(lba));
    pdu::put16(cdb + 7, blocks);
  }
  if (!write) {
    header[pdu::kFlags] = pdu::kFinal | pdu::kRead | pdu::kSimpleTask;
    queue(header, nullptr, 0);
    return;
  }

  // What may go out without being asked for (RFC 7143, 13.10, 13.11, 13.14): with the command, then in PDUs of its own.
  const std::uint32_t unasked = std::min(total, sn_.firstBurstBytes);
  const std::uint32_t immediate = sn_.immediateData ? std::min(unasked, sn_.maxSendBytes) : 0;
  const std::uint32_t unsolicited = sn_.initialR2t ? immediate : unasked;
  header[pdu::kFlags] = pdu::kWrite | pdu::kSimpleTask;
  if (unsolicited == immediate) header[pdu::kFlags] |= pdu::kFinal;
  task.transferred = unsolicited;
  queue(header, payloadOf(task), immediate);
  if (unsolicited > immediate) sendDataOut(index, pdu::kNoTag, immediate, unsolicited - immediate);
}

void Session::sendFlush(std::uint32_t index) {
  pdu::Header header{};
  header[0] = pdu::kScsiCommand;
  header[pdu::kFlags] = pdu::kFinal | pdu::kSimpleTask;
  pdu::putLun(&header[pdu::kLun], lun_);
  pdu::put32(&header[pdu::kItt], index);
  pdu::put32(&header[pdu::kCmdSn], sn_.cmdSn++);
  header[pdu::kCdb] = pdu::kSynchronizeCache10;
  queue(header, nullptr, 0);
}

void Session::sendDataOut(std::uint32_t index, std::uint32_t ttt, std::uint32_t offset, std::uint32_t length) {
  const std::uint8_t* payload = payloadOf(tasks_[index]);
  for (std::uint32_t dataSn = 0; length > 0; ++dataSn) {
    const std::uint32_t some = std::min(length, sn_.maxSendBytes);
    pdu::Header header{};
    header[0] = pdu::kDataOut;
    header[pdu::kFlags] = some == length ? pdu::kFinal : 0;
    // With a target transfer tag the LUN is the one that the R2T named (RFC 7143, 11.7.1).
    pdu::putLun(&header[pdu::kLun], lun_);
    pdu::put32(&header[pdu::kItt], index);
    pdu::put32(&header[pdu::kTtt], ttt);
    pdu::put32(&header[pdu::kDataSn], dataSn);
    pdu::put32(&header[pdu::kBufferOffset], offset);
    queue(header, payload + offset, some);
    offset += some;
    length -= some;
  }
}

void Session::queue(pdu::Header& header, const std::uint8_t* data, std::uint32_t length) {
  pdu::put24(&header[pdu::kDataLength], length);
  pdu::put32(&header[pdu::kExpStatSn], sn_.expStatSn);
  OutPdu& out = gathering_.emplace_back();
  std::memcpy(out.header, header.data(), header.size());
  out.headerBytes = pdu::kHeaderBytes;
  if (sn_.headerDigest) {
    putDigest(out.header + pdu::kHeaderBytes, crc32c(0, out.header, pdu::kHeaderBytes));
    out.headerBytes += 4;
  }
  out.data = data;
  out.length = length;
  out.trailerBytes = 0;
  // No padding: blocks are multiples of 512 octets, and Portal rounds the target's limit down to whole words.
  if (sn_.dataDigest && length > 0) {
    putDigest(out.trailer, crc32c(0, data, length));
    out.trailerBytes = 4;
  }
}

std::span<iovec> Session::sendable(std::size_t most) {
  if (piecesDone_ == pieces_.size()) {
    pieces_.clear();
    piecesDone_ = 0;
    sending_.clear();
    std::swap(sending_, gathering_);
    for (OutPdu& out : sending_) {
      pieces_.push_back({out.header, out.headerBytes});
      if (out.length > 0) pieces_.push_back({const_cast<std::uint8_t*>(out.data), out.length});
      if (out.trailerBytes > 0) pieces_.push_back({out.trailer, out.trailerBytes});
    }
  }
  return {pieces_.data() + piecesDone_, std::min(most, pieces_.size() - piecesDone_)};
}

void Session::sent(std::size_t octets) {
  while (octets > 0) {
    iovec& piece = pieces_[piecesDone_];
    const std::size_t some = std::min(octets, piece.iov_len);
    piece.iov_base = static_cast<std::uint8_t*>(piece.iov_base) + some;
    piece.iov_len -= some;
    octets -= some;
    if (piece.iov_len == 0) ++piecesDone_;
  }
}

}  // namespace loadgen
