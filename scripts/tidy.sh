#!/usr/bin/env bash
# What must not exist in the tree: files too long to read, names that say nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh
bad=0
while read -r file; do
  lines=$(awk '/#\[cfg\(test\)\]/{exit} {n++} END{print n+0}' "$file")
  [ "$lines" -le 500 ] || { say "$file: $lines lines of product code; 500 is the limit, split it"; bad=1; }
done < <(git ls-files '*.rs' | grep -vE '(^|/)(tests?/|tests\.rs|suite)')
names=$(git ls-files | grep -E '(^|/)(mod|utils?|helpers?|common|misc)\.rs$' || :)
[ -z "$names" ] || { say "names that say nothing: $names"; bad=1; }
exit $bad
