# Bodies that are signed, and the envelope that carries a signature. Always one canonical segment without a segment
# table: equal values have equal bytes, and anything else is refused. A change of meaning takes a new version in the
# signed prefix ("tomogrid/certificate/2"), never a new field here: a signature covers exactly what its reader
# understands.
@0xe4abf51593e171af;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tomogrid::certs::schema");

struct Signed {
  kind @0 :Text;
  body @1 :Data;
  signature @2 :Data;          # Ed25519, 64 bytes
}

struct Chain {
  links @0 :List(Signed);      # leaf first, 1 to 3
}

struct Anchor {
  federation @0 :Text;
  authority @1 :Data;          # Ed25519, 32 bytes
}

struct Quota {
  jobs @0 :UInt32;
  opensPerMinute @1 :UInt32;
  scratchBytes @2 :UInt64;
}

struct IssuingLimits {
  roles @0 :UInt32;
  mayDelegate @1 :Bool;
  validityMaxMs @2 :Int64;
  nameSuffix @3 :Text;
  groups @4 :List(Text);
  quota @5 :Quota;
}

struct Certificate {
  federation @0 :Text;
  serial @1 :Data;             # 16 bytes
  issuer @2 :Data;             # 32 bytes: BLAKE2b-256 of the key that signs this
  subject @3 :Text;
  transportKey @4 :Data;       # Curve25519, 32 bytes
  signingKey @5 :Data;         # Ed25519, 32 bytes
  roles @6 :UInt32;            # bit n is Role n of certs/roles.h
  groups @7 :List(Text);       # sorted, unique
  issuedMs @8 :Int64;          # Unix time in milliseconds, as all times
  notBeforeMs @9 :Int64;
  notAfterMs @10 :Int64;
  quota @11 :Quota;
  issuing @12 :IssuingLimits;  # absent: may not sign certificates
}

struct Request {
  federation @0 :Text;         # may be empty
  subject @1 :Text;
  transportKey @2 :Data;
  signingKey @3 :Data;
  roles @4 :UInt32;
  groups @5 :List(Text);
  madeMs @6 :Int64;
}

struct Revocation {
  serial @0 :Data;
  member @1 :Data;
  transportKey @2 :Data;
  revokedMs @3 :Int64;
  notAfterMs @4 :Int64;
}

struct Revocations {
  federation @0 :Text;
  number @1 :UInt64;
  issuedMs @2 :Int64;
  staleAfterMs @3 :Int64;
  entries @4 :List(Revocation); # by serial, unique
}
