"""Runs queries over an archive folder with DuckDB; `sql.test.ts` starts it.

Takes JSON on stdin: {"tables": {name: {"files": glob, "columns": {name: type}}}, "queries": [{"sql", "parameters"}]}.
Gives the rows of each query as JSON on stdout.
"""

import json
import sys

import duckdb

request = json.load(sys.stdin)
connection = duckdb.connect()
for name, table in request["tables"].items():
    # Partitions are text, as in Athena: hr=08 is '08'.
    connection.execute(
        f"CREATE VIEW {name} AS SELECT * FROM read_json('{table['files']}', format='newline_delimited', "
        f"columns={table['columns']!r}, hive_partitioning=true, hive_types_autocast=false)"
    )
answers = [connection.execute(query["sql"], query["parameters"]).fetchall() for query in request["queries"]]
json.dump(answers, sys.stdout)
