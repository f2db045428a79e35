// What a node can run: a program and the description of its parameters, inputs and outputs, read from JSON.
//
// Built-in services and uploaded applications are described alike; the node knows nothing else about them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "job/job.h"

namespace tomogrid::job {

enum class ParameterType : std::uint8_t { Boolean, Integer, Number, Choice };

struct ParameterDescriptor {
  std::string name;
  ParameterType type = ParameterType::Number;
  double least = 0, most = 0;               // Integer, Number; both inclusive
  std::vector<std::string> choices;         // Choice
  ParameterValue default_value;
  std::string unit;                         // "mm"; empty: none
  std::string help;
};

struct StreamDescriptor {
  std::string name;                         // the file's name in in/ or out/
  Bytes limit;                              // longest accepted
  bool required = true;
  std::string help;
};

// Parameters for a kind of study under a name; all others keep their defaults.
struct Preset {
  std::string name;
  std::string study;
  Parameters parameters;
};

struct ServiceDescriptor {
  ServiceName service;
  std::string summary;
  std::vector<std::string> command;         // argv; the first is looked for beside `tomogrid`, then in PATH
  bool streamed_input = false;              // "input": "streamed": starts at open; otherwise when all inputs are in
  bool ranks = false;                       // may be started by mpirun when granted several sockets or hosts
  Bytes memory_least;                       // refuse a grant below
  std::vector<ParameterDescriptor> parameters;
  std::vector<StreamDescriptor> inputs;
  std::vector<StreamDescriptor> outputs;
  std::vector<Preset> presets;
};

// Unknown members, wrong types, bad names and contradictory ranges are BadInput, naming the member.
Result<ServiceDescriptor> parse_service(std::string_view json);

// `given` with every default filled in. BadInput names the first parameter that is unknown, of the wrong type or out
// of range. Integers are accepted where a number is asked.
Result<Parameters> complete_parameters(const ServiceDescriptor& service, const Parameters& given);

// nullptr: no such name.
const Preset* find_preset(const ServiceDescriptor& service, std::string_view name);
// Two lines for each: name and study, then its parameters.
std::string list_of_presets(const ServiceDescriptor& service);

// One line of JSON, keys sorted, shortest round-trip numbers: equal parameters give equal text. What receipts bind.
std::string canonical_text(const Parameters& parameters);
Result<Parameters> parse_parameters(std::string_view json);

}  // namespace tomogrid::job
