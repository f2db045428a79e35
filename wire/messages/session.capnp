# How two members come to speak. Bounds are in session.cpp, which alone reads these.
@0xb2f4c1d07a3e9101;
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tomogrid::wire::schema");

struct Greet { versions @0 :List(UInt16); }

struct Hello {
  version @0 :UInt16;
  federation @1 :Text;
  chain @2 :List(Data);          # leaf first; encoded certs Signed
  wallMs @3 :Int64;
  revocationNumber @4 :UInt64;
  nonce @5 :Data;                # 32
}

struct Welcome {
  session @0 :Data;              # 16
  bulkPort @1 :UInt16;
}

struct RevocationList { signedList @0 :Data; }

struct Bye {
  code @0 :Text;
  reason @1 :Text;
}
