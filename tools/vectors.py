"""Writes the vectors of schema/vectors/, one file for each case.

    python3 tools/vectors.py DIRECTORY

It makes valid bytes as the pages of schema/ say (tools/writer.py), breaks one rule of them at a time (the
files cases_*.py beside this one), and says in the file's header what a reader must answer. Seeds are fixed,
so that it always writes the same bytes. Of tools/verify.py, tlog.py and fold.py it takes hashes, the trees'
shapes and digests.
"""

import os
import sys

import cases_bundles
import cases_messages
import cases_proofs
import cases_tlog

FORMATS = {
    "bundle": cases_bundles.bundles,
    "event-file": cases_proofs.event_files,
    "heads-file": cases_proofs.heads_files,
    "fork-file": cases_proofs.forks,
    "head": cases_proofs.heads,
    "record": cases_proofs.records,
    "inclusion": cases_proofs.inclusions,
    "consistency": cases_proofs.consistencies,
    "payload": cases_messages.payloads,
    "claim": cases_messages.claims,
    "request": cases_messages.requests,
    "response": cases_messages.responses,
    "hash": cases_proofs.hashes,
    "checkpoint": cases_tlog.checkpoints,
    "tlog-proof": cases_tlog.tlog_proofs,
}


def main(folder):
    os.makedirs(folder, exist_ok=True)
    written = set()
    for form, cases in FORMATS.items():
        for name, title, expected, data in cases():
            prefix = form if form == "tlog-proof" else form.split("-")[0]
            name = name if name.startswith(prefix) else f"{form}-{name}"
            path = os.path.join(folder, f"{name}.txt")
            if path in written:
                raise SystemExit(f"two cases have the name {name}")
            written.add(path)
            lines = {"format": form, "title": title} | expected
            digits = data.hex()
            rows = [digits[at : at + 64] for at in range(0, len(digits), 64)]
            with open(path, "w", encoding="ascii") as file:
                file.write("".join(f"{key}: {value}\n" for key, value in lines.items()))
                file.write("\n" + "".join(f"{row}\n" for row in rows))
    for name in os.listdir(folder):
        if name.endswith(".txt") and os.path.join(folder, name) not in written:
            os.remove(os.path.join(folder, name))
    print(f"{len(written)} vectors in {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
