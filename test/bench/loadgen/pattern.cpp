#include "pattern.hpp"

#include <cstring>

namespace loadgen {
namespace {

constexpr std::uint64_t kMagic = 0x7261636b626f6f74;

// splitmix64 (Steele, Lea, Flood): one multiply chain a word, full period.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

std::uint64_t wordOf(const std::uint8_t* from) {
  std::uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

}  // namespace

void fillPattern(std::span<std::uint8_t> to, std::uint64_t byteOffset, std::uint32_t generation) {
  for (std::size_t at = 0; at + kSectorBytes <= to.size(); at += kSectorBytes) {
    const std::uint64_t sector = (byteOffset + at) / kSectorBytes;
    std::uint64_t words[kSectorBytes / 8];
    words[0] = sector ^ kMagic;
    words[1] = generation;
    const std::uint64_t seed = mix(sector ^ static_cast<std::uint64_t>(generation) << 40);
    for (std::size_t i = 2; i < std::size(words); ++i) words[i] = mix(seed + i);
    std::memcpy(to.data() + at, words, kSectorBytes);
  }
}

std::string describeMismatch(std::uint64_t byteOffset, std::uint32_t generation, std::span<const std::uint8_t> found) {
  std::string text = "sector " + std::to_string(byteOffset / kSectorBytes) + " should hold generation " + std::to_string(generation);
  if (found.size() < 16) return text + "; it holds something else";
  const std::uint64_t sector = wordOf(found.data()) ^ kMagic;
  const std::uint64_t itsGeneration = wordOf(found.data() + 8);
  if (wordOf(found.data()) == 0 && itsGeneration == 0) return text + "; it holds zeroes";
  if (itsGeneration >> 32 != 0) return text + "; it holds foreign data";
  return text + "; it starts like sector " + std::to_string(sector) + " of generation " + std::to_string(itsGeneration);
}

}  // namespace loadgen
