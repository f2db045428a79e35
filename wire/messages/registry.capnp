# Who is here. Bounds are in registry.cpp, which alone reads these.
@0xb2f4c1d07a3e9102;
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tomogrid::wire::schema");

struct ServiceName {
  name @0 :Text;
  version @1 :UInt32;
}

struct Route {
  kind @0 :Text;
  host @1 :Text;
  controlPort @2 :UInt16;
}

# Body of a Signed of kind "advert".
struct Advert {
  node @0 :Data;                 # 32
  name @1 :Text;
  boot @2 :UInt64;
  sequence @3 :UInt64;
  transportKey @4 :Data;         # 32
  routes @5 :List(Route);
  services @6 :List(ServiceName);
  labels @7 :List(Text);
  coresTotal @8 :UInt32;
  coresFree @9 :UInt32;
  coresPerJobMax @10 :UInt32;
  ratePerCore @11 :Float64;      # FLOP/s
  memoryFree @12 :UInt64;        # bytes
  scratchFree @13 :UInt64;
  draining @14 :Bool;
  recentTickets @15 :List(Data); # 16 each
  jobsRunning @16 :UInt32;
  jobsQueued @17 :UInt32;
  issuedMs @18 :Int64;
  software @19 :Text;
  signingKey @20 :Data;          # 32
  memoryTotal @21 :UInt64;       # bytes
  scratchTotal @22 :UInt64;
}

struct Announce { advert @0 :Data; }
struct Renew {
  boot @0 :UInt64;
  sequence @1 :UInt64;
}
struct Withdraw { boot @0 :UInt64; }
struct LeaseGranted {
  boot @0 :UInt64;
  sequence @1 :UInt64;
  leaseMs @2 :Int64;
}
struct LeaseRefused {
  code @0 :Text;
  reason @1 :Text;
}
struct Watch {}
struct Listing {
  advert @0 :Data;
  remainingMs @1 :Int64;
}
struct Snapshot {
  listings @0 :List(Listing);
  last @1 :Bool;
}
struct Changed { listing @0 :Listing; }
struct Lost {
  node @0 :Data;                 # 32
  boot @1 :UInt64;
  reason @2 :Text;
}
struct Pulse { number @0 :UInt64; }
