// Private to this folder: a file that only its owner may read, straight into locked memory.
#pragma once

#include <filesystem>
#include <memory>

#include "base/result.h"
#include "certs/secret.h"

namespace tomogrid::certs {

// NotFound; Refused when group or others have any right to it or it is another user's; BadInput when empty or longer
// than `limit`.
Result<std::unique_ptr<SecretBytes>> read_private_file(const std::filesystem::path& path, std::size_t limit);

}  // namespace tomogrid::certs
