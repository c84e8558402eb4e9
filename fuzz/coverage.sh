#!/usr/bin/env bash
# Which lines of the formats and of recovery the corpora reach: fuzz/coverage.sh [FILE..]
#
# Runs every input of fuzz/corpus through its target, once, and prints the line coverage of the files
# (those that read bytes from a disk, if none is named); `LINES=1` prints the lines that nobody reached.
# Needs llvm-profdata and llvm-cov of the compiler's LLVM version (`rustc -vV`): rustup's component
# llvm-tools, or Debian's llvm-22 and such.
set -euo pipefail
cd "$(dirname "$0")/.."

tool() {
  local version sysroot
  version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  sysroot=$(rustc --print sysroot)
  local found
  for found in "$sysroot"/lib/rustlib/*/bin/"$1" "$(command -v "$1-$version" || true)"; do
    [ -x "$found" ] && { echo "$found"; return; }
  done
  echo "error: no $1 for LLVM $version: rustup component add llvm-tools, or apt-get install llvm-$version" >&2
  return 1
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)

out=fuzz/target/coverage
rm -rf "$out/profiles"
mkdir -p "$out/profiles"
RUSTFLAGS="-C instrument-coverage" LLVM_PROFILE_FILE="$PWD/$out/profiles/%p.profraw" CARGO_TARGET_DIR="$out" \
  cargo run --quiet --release --manifest-path fuzz/Cargo.toml --bin corpus
"$profdata" merge -sparse "$out"/profiles/*.profraw -o "$out/all.profdata"

files=("$@")
[ ${#files[@]} -gt 0 ] || files=(src/entry.rs src/frame.rs src/segment.rs src/scan.rs src/recovery.rs src/muopdb.rs)
printf '%-20s %8s %8s %9s\n' file lines reached coverage
for file in "${files[@]}"; do
  "$cov" show "$out/release/corpus" -instr-profile "$out/all.profdata" "$PWD/$file" > "$out/shown"
  # A line of a generic function is shown once for each instance behind the whole: the whole comes first.
  awk -F'|' -v file="$file" -v lines="${LINES:-0}" '
    $1 ~ /^ *[0-9]+$/ && $2 ~ /[0-9]/ && !($1 in seen) {
      seen[$1] = 1; all++
      if ($2 + 0 > 0) reached++; else if (lines) unreached[++n] = $1 "|" $3
    }
    END {
      printf "%-20s %8d %8d %8.1f%%\n", file, all, reached, 100 * reached / all
      for (i = 1; i <= n; i++) print unreached[i]
    }' "$out/shown"
done
