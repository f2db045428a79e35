#include "recon/uncertainty.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

namespace tomogrid::recon {

namespace {

constexpr double kTwoTo64 = 18446744073709551616.0;

std::uint64_t threshold(double probability) {
  const double scaled = probability * kTwoTo64;
  return scaled >= kTwoTo64 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(scaled);
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t{0xD2511F53} * counter[0], second = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(second),
               static_cast<std::uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(first)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

// Weights relative to the largest, by p(k + 1) = p(k) mean / (k + 1), as far as a double tells them from nothing.
Bootstrap::Table Bootstrap::make_table(unsigned digit) {
  const double mean = static_cast<double>(std::uint64_t{1} << digit);
  constexpr double kNothing = 1e-21;
  std::vector<double> below, above{1.0};  // from the mode, p(mean), outwards
  const double mode = mean;
  for (double k = mode, weight = 1.0; k >= 1.0; k -= 1.0) {
    weight *= k / mean;
    if (weight < kNothing) break;
    below.push_back(weight);
  }
  for (double k = mode + 1.0, weight = 1.0;; k += 1.0) {
    weight *= mean / k;
    if (weight < kNothing) break;
    above.push_back(weight);
  }
  double total = 0;
  for (auto each = below.rbegin(); each != below.rend(); ++each) total += *each;
  for (const double weight : above) total += weight;
  Table table;
  table.least = static_cast<std::uint32_t>(mode) - static_cast<std::uint32_t>(below.size());
  double sum = 0;
  for (auto each = below.rbegin(); each != below.rend(); ++each)
    table.thresholds.push_back(threshold((sum += *each) / total));
  for (const double weight : above) table.thresholds.push_back(threshold((sum += weight) / total));
  table.thresholds.pop_back();  // the last is certain
  return table;
}

Bootstrap::Bootstrap(std::span<const float> counts, std::size_t view_size, std::uint64_t seed, std::uint32_t window)
    : counts_(counts), view_size_(view_size), seed_(seed), window_(window) {
  std::uint64_t used = 0;
  for (const float count : counts) used |= static_cast<std::uint64_t>(count);
  for (unsigned digit = 0; digit < static_cast<unsigned>(std::bit_width(used)); ++digit) {
    tables_.push_back((used >> digit & 1) != 0 ? make_table(digit) : Table{});
  }
}

std::vector<float> Bootstrap::replicate(std::uint32_t number) const {
  std::vector<float> drawn(counts_.size());
  const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)};
  const std::size_t views = counts_.size() / view_size_;
#pragma omp parallel for schedule(static)
  for (std::size_t view = 0; view < views; ++view) {
    for (std::size_t bin = 0; bin < view_size_; ++bin) {
      std::uint64_t rest = static_cast<std::uint64_t>(counts_[view * view_size_ + bin]), sum = 0;
      for (unsigned digit = 0; rest != 0; ++digit, rest >>= 1) {
        if ((rest & 1) == 0) continue;
        const auto words = philox(
            {number, static_cast<std::uint32_t>(view), static_cast<std::uint32_t>(bin), window_ << 8 | digit}, key);
        const std::uint64_t uniform = static_cast<std::uint64_t>(words[0]) << 32 | words[1];
        const Table& table = tables_[digit];
        const auto place = std::upper_bound(table.thresholds.begin(), table.thresholds.end(), uniform);
        sum += table.least + static_cast<std::uint64_t>(place - table.thresholds.begin());
      }
      drawn[view * view_size_ + bin] = static_cast<float>(sum);
    }
  }
  return drawn;
}

Result<void> check_are_counts(std::span<const float> counts, std::size_t view_size) {
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == std::floor(counts[i]) && counts[i] >= 0.0F && counts[i] <= 1e9F) continue;
    return Error{ErrorCode::BadInput, "uncertainty: view " + std::to_string(i / view_size) +
                                          " has a bin that is not a whole number of counts; scaled or filtered "
                                          "projections are not Poisson and cannot be drawn anew; ask without it"};
  }
  return {};
}

void Spread::add(std::span<const float> values) {
  ++count_;
  mean_.resize(values.size(), 0.0);
  squares_.resize(values.size(), 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = static_cast<double>(values[i]), before = value - mean_[i];
    mean_[i] += before / static_cast<double>(count_);
    squares_[i] = std::fma(before, value - mean_[i], squares_[i]);
  }
}

std::vector<float> Spread::deviation() const {
  TOMOGRID_ASSERT(count_ >= 2);
  std::vector<float> result(squares_.size());
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = static_cast<float>(std::sqrt(std::max(squares_[i], 0.0) / static_cast<double>(count_ - 1)));
  return result;
}

}  // namespace tomogrid::recon
