"""Reads archive lines with Python's json, with jq and with DuckDB, and compares what they read; `readers.test.ts` starts it.

Takes JSON on stdin: {"lines": file, "columns": {name: type}}. Gives on stdout how many lines and values were compared.
"""

import datetime
import json
import sys

import duckdb
import jq

request = json.load(sys.stdin)
# A tenant and its id name one line.
NAME = "events.tenant || '/' || events.id"


def once(pairs):
    """The rule of the OpenX JSON SerDe, which Athena reads with: no name twice in an object."""
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a name is there twice: {names}"
    return dict(pairs)


def leaves(value):
    if isinstance(value, dict):
        return [leaf for member in value.values() for leaf in leaves(member)]
    if isinstance(value, list):
        return [leaf for element in value for leaf in leaves(element)]
    return [value]


def as_double(value):
    """jq has no other numbers."""
    if isinstance(value, dict):
        return {name: as_double(member) for name, member in value.items()}
    if isinstance(value, list):
        return [as_double(element) for element in value]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else value


def name(line):
    return line["tenant"] + "/" + line["id"]


with open(request["lines"], encoding="utf-8", newline="\n") as file:
    texts = [line for line in file.read().split("\n") if line]
texts.sort(key=lambda text: name(json.loads(text)))
by_python = [json.loads(text, object_pairs_hook=once) for text in texts]
by_jq = [jq.compile(".").input_text(text).first() for text in texts]

connection = duckdb.connect()
connection.execute(
    f"CREATE VIEW events AS SELECT * FROM read_json('{request['lines']}', format='newline_delimited', "
    f"columns={request['columns']!r})"
)
by_duckdb = connection.execute(f"SELECT * FROM events ORDER BY {NAME}").fetchall()
columns = [column[0] for column in connection.description]
# It fails as a whole if one time cannot be read.
times = connection.execute(f"SELECT event_time::TIMESTAMP::VARCHAR FROM events ORDER BY {NAME}").fetchall()
atoms = {}
for line, atom in connection.execute(f"SELECT {NAME}, tree.atom FROM events, json_tree(fields) AS tree").fetchall():
    if atom is not None:
        atoms.setdefault(line, []).append(json.loads(atom))

assert len(by_python) == len(by_duckdb)
values = 0
for python, of_jq, row, (time,) in zip(by_python, by_jq, by_duckdb, times):
    line = name(python)
    assert as_double(python) == as_double(of_jq), f"jq reads line {line} as {of_jq}"
    row = {name: value for name, value in zip(columns, row) if value is not None}
    row |= {name: json.loads(row[name], object_pairs_hook=once) for name in ["fields"] if name in row}
    assert python == row, f"DuckDB reads line {line} as {row}"
    # An element that is an empty object or array is no atom.
    expected = [leaf for leaf in leaves(python.get("fields", {})) if leaf is not None]
    found = [atom for atom in atoms.get(line, []) if atom is not None]
    assert sorted(map(repr, expected)) == sorted(map(repr, found)), f"DuckDB has other values in line {line}: {found}"
    assert (time is None) == ("event_time" not in python)
    if time is not None:
        datetime.datetime.fromisoformat(python["event_time"])
    values += len(leaves(python))
json.dump({"lines": len(texts), "values": values}, sys.stdout)
