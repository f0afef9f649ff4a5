#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

// Contents that say where they belong: every 512-octet sector is derived from its own address and a generation, so that
// a lost, stale, torn or misplaced write is told apart from every other kind of damage.
namespace loadgen {

inline constexpr std::uint32_t kSectorBytes = 512;

// Fills whole sectors that lie at `byteOffset` of the disk. Both are multiples of 512.
void fillPattern(std::span<std::uint8_t> to, std::uint64_t byteOffset, std::uint32_t generation);

// What a mismatch at `byteOffset` looks like to a person: what should be there, what the sector says it is.
// `found` starts at the sector; it may be shorter than one.
std::string describeMismatch(std::uint64_t byteOffset, std::uint32_t generation, std::span<const std::uint8_t> found);

}  // namespace loadgen
