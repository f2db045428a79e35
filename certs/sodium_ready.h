// Private to this folder.
#pragma once

namespace tomogrid::certs {

// libsodium picks its implementations once; anything before that is slow or unsafe. Thread safe, cheap after the first.
// Throws Failure.
void require_sodium();

}  // namespace tomogrid::certs
