// Numbers that know their unit, so that a rate is never added to a count.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace tomogrid {

// A number of `Tag`'s unit. Same unit: add, subtract, compare; scale by a plain number; the ratio of two is a plain
// number. Kernels unwrap with count() outside the loop.
template <class Tag, class Rep>
class Quantity {
 public:
  using rep = Rep;
  constexpr Quantity() = default;
  explicit constexpr Quantity(Rep value) : value_(value) {}
  constexpr Rep count() const { return value_; }

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity& operator+=(Quantity other) { value_ += other.value_; return *this; }
  constexpr Quantity& operator-=(Quantity other) { value_ -= other.value_; return *this; }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.value_ + b.value_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity(a.value_ - b.value_); }
  friend constexpr Quantity operator*(Quantity a, Rep factor) { return Quantity(a.value_ * factor); }
  friend constexpr Quantity operator*(Rep factor, Quantity a) { return Quantity(a.value_ * factor); }
  friend constexpr Quantity operator/(Quantity a, Rep divisor) { return Quantity(a.value_ / divisor); }
  friend constexpr double operator/(Quantity a, Quantity b) {
    return static_cast<double>(a.value_) / static_cast<double>(b.value_);
  }

 private:
  Rep value_{};
};

using FlopCount = Quantity<struct FlopCountTag, double>;          // work to do
using FlopRate = Quantity<struct FlopRateTag, double>;            // work per second
using Bytes = Quantity<struct BytesTag, std::uint64_t>;
using Millimetres = Quantity<struct MillimetresTag, double>;
using PerMillimetre = Quantity<struct PerMillimetreTag, double>;  // attenuation coefficient mu
using Radians = Quantity<struct RadiansTag, double>;
using Seconds = std::chrono::duration<double>;

constexpr Seconds operator/(FlopCount work, FlopRate rate) { return Seconds(work.count() / rate.count()); }
constexpr Bytes mebibytes(std::uint64_t n) { return Bytes(n << 20); }
constexpr Bytes gibibytes(std::uint64_t n) { return Bytes(n << 30); }

}  // namespace tomogrid
