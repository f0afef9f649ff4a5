// Checks the parts without I/O: contents, digests, percentiles, the choice of blocks, and a session against a scripted target.
#include <cstdio>
#include <cstring>
#include <set>

#include "crc32c.hpp"
#include "histogram.hpp"
#include "pattern.hpp"
#include "session.hpp"
#include "workload.hpp"

namespace loadgen {
namespace {

int failures = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what);
}

void checkDigests() {
  // RFC 7143, appendix A.4.
  std::uint8_t bytes[32] = {};
  expect(crc32c(0, bytes, 32) == 0x8a9136aa, "CRC32C of 32 zeroes");
  std::memset(bytes, 0xff, sizeof bytes);
  expect(crc32c(0, bytes, 32) == 0x62a8ab43, "CRC32C of 32 ones");
  for (std::uint8_t i = 0; i < 32; ++i) bytes[i] = i;
  expect(crc32c(0, bytes, 32) == 0x46dd794e, "CRC32C of 0 to 31");
  expect(crc32c(crc32c(0, bytes, 13), bytes + 13, 19) == 0x46dd794e, "CRC32C in two pieces");
}

void checkPattern() {
  std::uint8_t one[1024];
  std::uint8_t two[512];
  fillPattern(one, 4096, 7);
  fillPattern(two, 4608, 7);
  expect(std::memcmp(one + 512, two, 512) == 0, "a sector's contents depend on its address, not on the command");
  fillPattern(two, 4608, 8);
  expect(std::memcmp(one + 512, two, 512) != 0, "another generation differs");
  const std::string text = describeMismatch(4096, 9, one);
  expect(text.find("starts like sector 8 of generation 7") != std::string::npos, "a stale sector is told by its generation");
}

void checkHistogram() {
  Histogram histogram;
  for (std::uint64_t ns = 1; ns <= 100'000; ++ns) histogram.record(ns);
  const auto near = [](std::uint64_t value, double wanted) {
    return static_cast<double>(value) > wanted * 0.98 && static_cast<double>(value) < wanted * 1.02;
  };
  expect(near(histogram.percentile(0.5), 50'000), "p50 of 1 to 100,000");
  expect(near(histogram.percentile(0.99), 99'000), "p99 of 1 to 100,000");
  expect(histogram.percentile(1) == 100'000, "the largest is exact");
  expect(Histogram().percentile(0.5) == 0, "no operations, no latency");
  histogram.record(~std::uint64_t{0});
  expect(histogram.max() == ~std::uint64_t{0}, "the longest time there is has a place");
}

void checkWorkload() {
  Options options;
  options.mode = Mode::kMixed;
  options.random = true;
  options.verify = true;
  Workload workload(options, 1u << 20, 16, 3);
  std::set<std::uint64_t> flying;
  for (int i = 0; i < 8; ++i) {
    const Operation operation = workload.next();
    expect(flying.insert(operation.slot).second, "no two commands on one block at once");
    expect(operation.byteOffset >= 1u << 20 && operation.byteOffset < (1u << 20) + 16 * 4096, "blocks lie in the slice");
    if (i % 2 == 0 && operation.write) {
      workload.finished(operation);
      flying.erase(operation.slot);
    }
  }
}

pdu::Header reply(std::uint8_t opcode, std::uint8_t flags, std::uint32_t itt, std::uint32_t length) {
  pdu::Header header{};
  header[0] = opcode;
  header[pdu::kFlags] = flags;
  pdu::put24(&header[pdu::kDataLength], length);
  pdu::put32(&header[pdu::kItt], itt);
  pdu::put32(&header[pdu::kMaxCmdSn], 100);
  return header;
}

std::vector<std::uint8_t> sentBy(Session& session) {
  std::vector<std::uint8_t> all;
  for (auto pieces = session.sendable(3); !pieces.empty(); pieces = session.sendable(3)) {
    std::size_t sum = 0;
    for (const iovec& piece : pieces) {
      const auto* at = static_cast<const std::uint8_t*>(piece.iov_base);
      all.insert(all.end(), at, at + piece.iov_len);
      sum += piece.iov_len;
    }
    session.sent(sum);
  }
  return all;
}

struct Bench {
  Options options;
  Negotiated negotiated;
  Totals totals;
  Measured measured;
  Bench() {
    negotiated.maxCmdSn = 100;
    options.verify = true;
  }
  Session session() { return Session(options, negotiated, 0, 512, Workload(options, 0, 64, 1), totals, measured); }
};

void checkRead() {
  Bench bench;
  Session session = bench.session();
  std::uint64_t budget = 1;
  session.issue(Session::Phase::kLoad, 1, budget);
  const auto out = sentBy(session);
  expect(out.size() == 48 && out[pdu::kCdb] == pdu::kRead10 && pdu::get16(&out[pdu::kCdb + 7]) == 8, "READ(10) of 8 blocks");
  std::vector<std::uint8_t> in;
  std::uint8_t contents[4096];
  fillPattern(contents, 0, 1);
  for (std::uint32_t offset = 0; offset < 4096; offset += 2048) {
    pdu::Header header = reply(pdu::kDataIn, static_cast<std::uint8_t>(offset == 0 ? 0 : 0x81), 0, 2048);
    pdu::put32(&header[pdu::kBufferOffset], offset);
    in.insert(in.end(), header.begin(), header.end());
    in.insert(in.end(), contents + offset, contents + offset + 2048);
  }
  // Octet by octet: TCP promises no other boundaries.
  for (const std::uint8_t& octet : in) session.received({&octet, 1}, 1001, true);
  expect(bench.measured.operations == 1 && bench.totals.mismatches == 0 && bench.totals.verifiedBytes == 4096,
         "a read in two PDUs is checked");
}

void checkWrite() {
  Bench bench;
  bench.options.mode = Mode::kWrite;
  bench.options.blockBytes = 16384;
  bench.negotiated.maxSendBytes = 4096;
  bench.negotiated.firstBurstBytes = 8192;
  bench.negotiated.initialR2t = false;
  Session session = bench.session();
  std::uint64_t budget = 1;
  session.issue(Session::Phase::kLoad, 1, budget);
  auto out = sentBy(session);
  expect(out.size() == 2 * (48 + 4096), "immediate data, then one unsolicited Data-Out, up to FirstBurstLength");
  expect((out[1] & pdu::kFinal) == 0 && (out[48 + 4096 + 1] & pdu::kFinal) != 0, "the final bit ends the unsolicited data");
  pdu::Header header = reply(pdu::kR2t, pdu::kFinal, 0, 0);
  pdu::put32(&header[pdu::kTtt], 77);
  pdu::put32(&header[pdu::kBufferOffset], 8192);
  pdu::put32(&header[pdu::kDesiredLength], 8192);
  session.received(header, 2, true);
  out = sentBy(session);
  expect(out.size() == 2 * (48 + 4096) && pdu::get32(&out[pdu::kTtt]) == 77, "an R2T is answered in PDUs that the target takes");
  expect(pdu::get32(&out[48 + 4096 + pdu::kDataSn]) == 1 && pdu::get32(&out[48 + 4096 + pdu::kBufferOffset]) == 12288,
         "DataSN and offset count on");
  session.received(reply(pdu::kScsiResponse, pdu::kFinal, 0, 0), 3, true);
  expect(bench.measured.operations == 1 && session.inFlight() == 0, "a write ends with its response");
}

}  // namespace
}  // namespace loadgen

int main() {
  using namespace loadgen;
  checkDigests();
  checkPattern();
  checkHistogram();
  checkWorkload();
  checkRead();
  checkWrite();
  std::puts(failures == 0 ? "loadgen: all checks passed" : "loadgen: checks failed");
  return failures == 0 ? 0 : 1;
}
