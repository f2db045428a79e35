// The words for nuclides and collimators that may leave the client: tables, so that nothing else can. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/quantity.h"

namespace tomogrid::image {

// "Tc-99m" of "^99m^Technetium", "Technetium Tc^99m^", "Tc99m", "TC-99M"; nullopt unless it is one we know.
std::optional<std::string> nuclide_in(std::string_view text);
// Physical half-life (ENSDF, rounded) of a nuclide that nuclide_in() returns.
std::optional<Seconds> half_life_of(std::string_view nuclide);
// "LEHR" of "SY-LEHR PAR"; nullopt unless a word of it is a kind of collimator we know.
std::optional<std::string> collimator_in(std::string_view text);

}  // namespace tomogrid::image
