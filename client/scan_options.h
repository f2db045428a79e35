// How a command line says which scan is meant: options that every command with a SCAN takes.
#pragma once

#include <optional>
#include <vector>

#include "base/options.h"
#include "client/scan.h"

namespace tomogrid::client {

// --window, --radius, --collimator-gap, --sum-gates, --axis.
std::vector<Option> scan_options();
image::LoadOptions load_options(const Arguments& arguments);

// --attenuation with --attenuation-unit, which has no default: no format says what the numbers are, and a wrong guess
// is wrong by ten. Throws Failure (Usage) when one is given without the other.
std::vector<Option> attenuation_options();
std::optional<AttenuationFile> attenuation_of(const Arguments& arguments);

// --scatter-window N of the scan's own file, --scatter FILE: an energy window below the photopeak, one above, or both.
std::vector<Option> scatter_options();
std::vector<ScatterWindow> scatter_of(const Arguments& arguments, const std::filesystem::path& scan);

}  // namespace tomogrid::client
