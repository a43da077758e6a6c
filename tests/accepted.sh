#!/bin/sh
# `make accepted`: what `tidegate accept` prints for each recipe, as docs/recipes/accepted.md.
# accepted.sh PROGRAM FILE [OPTION…]   the options are those of `tidegate accept`
# Ends with 1 if a line failed; the file is written all the same, so that the line can be read there.
set -eu

program=$1 file=$2
shift 2

new=$(mktemp)
trap 'rm -f "$new"' EXIT
processor=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
failed=0
{
	echo '# The five acceptances'
	echo
	echo 'What `tidegate accept` printed for each recipe, without `--url`. `make accepted` writes this page.'
	echo
	echo "- $(date -u '+%d %B %Y'), $("$program" --version), commit $(git rev-parse --short HEAD)"
	echo "- $(nproc) processors (${processor:-$(uname -m)}), load average before: $(cut -d ' ' -f 1 /proc/loadavg)"
	echo "- options: ${*:-none}, so the loads and time limits are $([ $# -eq 0 ] && echo "the documents'" || echo 'what these say')"
	echo
	echo '```text'
} >"$new"

first=yes
for recipe in event-bridge event-receiver event-streaming http-ingestion robust-data-processor; do
	[ -n "$first" ] || printf '\n\n' >>"$new"
	first=
	echo "$recipe …" >&2
	"$program" accept "$recipe" "$@" >>"$new" || failed=1
done
echo '```' >>"$new"
cp "$new" "$file"
exit "$failed"
