"""Alters one byte of a job's first placement decision in a client's journal: what `tomogrid explain` must find."""
import json
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
(body,) = database.execute("SELECT body FROM rows WHERE tab='job' AND key=?", (sys.argv[2],)).fetchone()
record = json.loads(body)
decision = bytearray.fromhex(record["decisions"][0]["decision"])
decision[len(decision) // 2] ^= 1
record["decisions"][0]["decision"] = decision.hex()
database.execute("UPDATE rows SET body=? WHERE tab='job' AND key=?", (json.dumps(record), sys.argv[2]))
database.commit()
