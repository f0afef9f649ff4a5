// What a session makes of the octets that arrive; what it sends is in session.cpp.
#include <algorithm>
#include <cstring>

#include "crc32c.hpp"
#include "pattern.hpp"
#include "session.hpp"

namespace loadgen {
namespace {

constexpr std::uint32_t kMaxAttempts = 16;
constexpr std::size_t kMaxGathered = 8192;
constexpr std::size_t kMaxComplaints = 10;

}  // namespace

void Session::received(std::span<const std::uint8_t> octets, std::uint64_t nowNs, bool measuring) {
  const auto take = [&octets](std::size_t most) {
    const auto some = octets.first(std::min(most, octets.size()));
    octets = octets.subspan(some.size());
    return some;
  };
  while (!octets.empty()) {
    if (headerHave_ < pdu::kHeaderBytes) {
      const auto some = take(pdu::kHeaderBytes - headerHave_);
      std::memcpy(header_ + headerHave_, some.data(), some.size());
      headerHave_ += static_cast<std::uint32_t>(some.size());
      if (headerHave_ < pdu::kHeaderBytes) return;
      headerArrived();
    } else if (skipLeft_ > 0) {
      skipLeft_ -= static_cast<std::uint32_t>(take(skipLeft_).size());
    } else if (dataDone_ < dataLength_) {
      dataArrived(take(dataLength_ - dataDone_));
    } else {
      const auto some = take(trailerLeft_);
      std::memmove(trailer_, trailer_ + some.size(), sizeof trailer_ - some.size());
      std::memcpy(trailer_ + sizeof trailer_ - some.size(), some.data(), some.size());
      trailerLeft_ -= static_cast<std::uint32_t>(some.size());
    }
    if (skipLeft_ > 0 || dataDone_ < dataLength_ || trailerLeft_ > 0) continue;
    checkDigest();
    headerHave_ = 0;
    pduArrived(nowNs, measuring);
  }
}

void Session::headerArrived() {
  dataLength_ = pdu::get24(header_ + pdu::kDataLength);
  dataDone_ = 0;
  skipLeft_ = 4u * header_[pdu::kAhsWords] + (sn_.headerDigest ? 4 : 0);
  trailerLeft_ = pdu::padding(dataLength_) + (sn_.dataDigest && dataLength_ > 0 ? 4 : 0);
  crc_ = 0;
  gathered_.clear();
  if (!options_.raw && dataLength_ > options_.maxRecvBytes)
    throw RunError("a data segment of " + std::to_string(dataLength_) + " octets, more than MaxRecvDataSegmentLength");
  if ((header_[0] & 0x3f) != pdu::kDataIn) return;
  const Task& task = taskOf("Data-In");
  const std::uint32_t offset = pdu::get32(header_ + pdu::kBufferOffset);
  if (task.operation.write) throw RunError("Data-In for a write");
  if (offset != task.transferred)
    throw RunError("Data-In out of order: offset " + std::to_string(offset) + ", expected " + std::to_string(task.transferred));
  if (offset + std::uint64_t{dataLength_} > options_.blockBytes) throw RunError("Data-In beyond the expected length");
}

Session::Task& Session::taskOf(const char* what) {
  const std::uint32_t itt = pdu::get32(header_ + pdu::kItt);
  if (itt >= tasks_.size() || tasks_[itt].stage == Stage::kIdle)
    throw RunError(std::string(what) + " for no task: tag " + std::to_string(itt));
  return tasks_[itt];
}

void Session::dataArrived(std::span<const std::uint8_t> octets) {
  if (sn_.dataDigest) crc_ = crc32c(crc_, octets.data(), octets.size());
  dataDone_ += static_cast<std::uint32_t>(octets.size());
  if ((header_[0] & 0x3f) != pdu::kDataIn) {
    if (gathered_.size() + octets.size() <= kMaxGathered) gathered_.insert(gathered_.end(), octets.begin(), octets.end());
    return;
  }
  Task& task = tasks_[indexOf()];
  const std::uint32_t at = task.transferred;
  task.transferred += static_cast<std::uint32_t>(octets.size());
  if (!task.contents || task.operation.generation == 0) return;
  totals_.verifiedBytes += octets.size();
  const std::uint8_t* wanted = task.contents.get() + at;
  if (std::memcmp(wanted, octets.data(), octets.size()) == 0) return;
  const auto differs = std::mismatch(octets.begin(), octets.end(), wanted).first - octets.begin();
  // Described by its whole sector where this piece holds the sector's start.
  const std::uint32_t sector = (at + static_cast<std::uint32_t>(differs)) / kSectorBytes * kSectorBytes;
  const auto found = sector >= at ? octets.subspan(sector - at) : std::span<const std::uint8_t>();
  ++totals_.mismatches;
  if (totals_.complaints.size() < kMaxComplaints)
    totals_.complaints.push_back(describeMismatch(task.operation.byteOffset + sector, task.operation.generation, found));
}

void Session::checkDigest() {
  if (!sn_.dataDigest || dataLength_ == 0) return;
  // Padding counts (RFC 7143, 11.2.4); it is zero for every data segment of whole words.
  std::uint8_t padded[4];
  const std::uint32_t padding = pdu::padding(dataLength_);
  std::memcpy(padded, trailer_ + 4 - padding, padding);
  std::uint8_t wanted[4];
  putDigest(wanted, crc32c(crc_, padded, padding));
  if (std::memcmp(wanted, trailer_ + 4, 4) != 0) throw RunError("a data digest is wrong");
}

void Session::pduArrived(std::uint64_t nowNs, bool measuring) {
  const std::uint8_t opcode = header_[0] & 0x3f;
  // The window never shrinks (RFC 7143, 4.2.2.1).
  const std::uint32_t maxCmdSn = pdu::get32(header_ + pdu::kMaxCmdSn);
  if (pdu::serialAtMost(sn_.maxCmdSn, maxCmdSn)) sn_.maxCmdSn = maxCmdSn;
  const bool status = opcode != pdu::kR2t && (opcode != pdu::kDataIn || header_[pdu::kFlags] & pdu::kDataInStatus);
  const bool ping = opcode == pdu::kNopIn && pdu::get32(header_ + pdu::kItt) == pdu::kNoTag;
  if (status && !ping) sn_.expStatSn = pdu::get32(header_ + pdu::kStatSn) + 1;

  switch (opcode) {
    case pdu::kDataIn:
      if (status) ended(indexOf(), header_[pdu::kStatus], nowNs, measuring);
      return;
    case pdu::kScsiResponse:
      taskOf("SCSI Response");
      if (header_[pdu::kResponse] != 0)
        throw RunError("a command was not completed at the target: response " + std::to_string(header_[pdu::kResponse]));
      ended(indexOf(), header_[pdu::kStatus], nowNs, measuring);
      return;
    case pdu::kR2t: readyToTransfer(); return;
    case pdu::kNopIn:
      if (ping) answerNop();
      return;
    case pdu::kReject: throw RunError("the target rejected a PDU: reason " + std::to_string(header_[2]));
    case pdu::kAsync: throw RunError("the target sent an asynchronous message: event " + std::to_string(header_[36]));
    default: throw RunError("the target sent opcode " + std::to_string(opcode));
  }
}

void Session::readyToTransfer() {
  Task& task = taskOf("R2T");
  const std::uint32_t offset = pdu::get32(header_ + pdu::kBufferOffset);
  const std::uint32_t length = pdu::get32(header_ + pdu::kDesiredLength);
  if (!task.operation.write || offset + std::uint64_t{length} > options_.blockBytes || length == 0)
    throw RunError("R2T for what there is not");
  if (length > sn_.maxBurstBytes) throw RunError("R2T for " + std::to_string(length) + " octets, more than MaxBurstLength");
  ++totals_.r2ts;
  task.transferred += length;
  sendDataOut(indexOf(), pdu::get32(header_ + pdu::kTtt), offset, length);
}

void Session::answerNop() {
  ++totals_.nops;
  if (pdu::get32(header_ + pdu::kTtt) == pdu::kNoTag) return;
  pdu::Header header{};
  header[0] = pdu::kNopOut | pdu::kImmediate;
  header[pdu::kFlags] = pdu::kFinal;
  std::memcpy(&header[pdu::kLun], header_ + pdu::kLun, 8);
  pdu::put32(&header[pdu::kItt], pdu::kNoTag);
  std::memcpy(&header[pdu::kTtt], header_ + pdu::kTtt, 4);
  pdu::put32(&header[pdu::kCmdSn], sn_.cmdSn);
  queue(header, nullptr, 0);
}

void Session::ended(std::uint32_t index, std::uint8_t status, std::uint64_t nowNs, bool measuring) {
  Task& task = tasks_[index];
  if (status != pdu::kGood) {
    failed(index, status);
    return;
  }
  if (task.stage == Stage::kTransfer) {
    if (header_[pdu::kFlags] & (pdu::kUnderflow | pdu::kOverflow))
      throw RunError("GOOD with a residual of " + std::to_string(pdu::get32(header_ + pdu::kResidual)));
    if (task.transferred != options_.blockBytes)
      throw RunError("GOOD after " + std::to_string(task.transferred) + " of " + std::to_string(options_.blockBytes) + " octets");
    if (options_.flush) {
      task.stage = Stage::kFlush;
      waiting_.push_back(index);
      return;
    }
  }
  task.stage = Stage::kIdle;
  workload_.finished(task.operation);
  idle_.push_back(index);
  --inFlight_;
  ++totals_.operations;
  if (!measuring) return;
  ++measured_.operations;
  measured_.bytes += options_.blockBytes;
  measured_.latency.record(nowNs - task.startNs);
}

// Unit attentions, and a target with a full queue, are part of life: again. Everything else ends the run.
void Session::failed(std::uint32_t index, std::uint8_t status) {
  Task& task = tasks_[index];
  const std::uint32_t key = gathered_.size() > 4 ? gathered_[4] & 0xf : 0;
  const bool attention = status == pdu::kCheckCondition && key == 6;
  if (attention) ++totals_.unitAttentions;
  if ((!attention && status != pdu::kBusy && status != pdu::kTaskSetFull) || ++task.attempts > kMaxAttempts) {
    std::string what = std::string(task.operation.write ? "write" : "read") + " at octet " + std::to_string(task.operation.byteOffset) +
                       " failed: status " + std::to_string(status);
    if (gathered_.size() > 15)
      what += ", sense key " + std::to_string(key) + ", additional " + std::to_string(gathered_[14]) + "/" + std::to_string(gathered_[15]);
    throw RunError(what);
  }
  ++totals_.retries;
  waiting_.push_back(index);
}

}  // namespace loadgen
