// A service's parameters from the words of a command line.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "job/service.h"

namespace tomogrid::client {

// "name=value" each. With a descriptor values get its types and ranges (BadInput names the first that does not fit);
// without one they get the narrowest type that fits: true, 3, 0.5, osem.
Result<job::Parameters> parse_parameters(const std::vector<std::string>& words,
                                         const std::optional<job::ServiceDescriptor>& service);

// Passes over the views that a reconstruction with these parameters makes; the service's default when they do not say.
double passes_of(const job::Parameters& parameters);

// "algorithm osem, iterations 4, subsets 8": for people and for the DICOM result.
std::string in_words(const job::Parameters& parameters);

}  // namespace tomogrid::client
