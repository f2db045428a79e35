// Starting points for common studies: parameters of the service under a name. Values within what guidelines and the
// literature use with resolution recovery; a physicist is to check them with a phantom of their own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "job/service.h"

namespace tomogrid::recon {

struct Preset {
  std::string name, study;
  job::Parameters parameters;  // of the service; all others keep their defaults
};
const std::vector<Preset>& presets();
// nullptr: no such name.
const Preset* find_preset(std::string_view name);
// A line for each: name, study, parameters.
std::string list_of_presets();

}  // namespace tomogrid::recon
