// Who may speak: keys, certificates, roles, revocation, audit; the hash, signature and seal that other rooms call.
//
//   keys.h          MemberId, public keys, SecretKeys
//   secret.h        locked memory, passphrases, sealed files, harden_process()
//   signed.h        Signed: a body with a signature over exactly its bytes
//   roles.h         Roles, Verb, may(): the table of who may do what
//   certificate.h   Certificate, CertificateChain, verify_chain()
//   revocation.h    RevocationList and its store on disk
//   identity.h      Identity: this member, with its keys
//   member.h        a member's folder: create, install, load
//   authority.h     the federation's root of trust: create, issue, revoke
//   content_hash.h  the tree hash of streams and results
//   audit.h         the hash-chained log
//   random.h        random ids
//   commands.h      `tomogrid certs ...`
//
// A member's life: create_member() makes keys and a request; Authority::issue() answers with a chain; install_member()
// puts it beside the keys; load_identity() yields the Identity that wire/ speaks with. A peer's chain is judged by
// verify_chain(), what it asks for by may(), and what it signed by verify(). docs/security.md says why.
#pragma once

#include "certs/audit.h"
#include "certs/authority.h"
#include "certs/certificate.h"
#include "certs/content_hash.h"
#include "certs/identity.h"
#include "certs/keys.h"
#include "certs/member.h"
#include "certs/random.h"
#include "certs/revocation.h"
#include "certs/roles.h"
#include "certs/secret.h"
#include "certs/signed.h"
