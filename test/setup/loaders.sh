#!/usr/bin/env bash
# Fetches the packages that the card's boot loaders are in (firmware/package/rackboot-loaders/loaders.list), checked by their pinned
# hashes: by apt, else from Debian's snapshots. Where neither has one, what replaced it in its release serves the tests as well.
# Usage: loaders.sh FOLDER
set -euo pipefail
[[ ${1:-} == --help || $# != 1 ]] && { sed -n '2,4p' "$0" | cut -c3-; exit $(($# != 1)); }
package=$(cd "$(dirname "$0")/../../firmware/package/rackboot-loaders" && pwd)
mkdir -p "$1"
cd "$1"

list() { sed -n "s/^$1 //p" "$package/loaders.list"; }
say() { printf 'loaders: %s\n' "$*" >&2; }
suite=$(list suite)
hashes() { sed -nE 's/^sha256  //p' "$package/rackboot-loaders.hash"; }
is_pinned() { grep -F "  $1" <(hashes) | sha256sum --check --status 2>/dev/null; }

# An apt of its own, for both processors and for that release of the mirror that this machine uses.
apt=$PWD/apt
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial}
: >"$apt/status"
# shellcheck disable=SC1091 # on every Debian
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
mirror=$(apt-get indextargets --format "\$(CODENAME) \$(COMPONENT) \$(REPO_URI)" 'Created-By: Packages' | sed -n "s/^$codename main //p" | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
private=(-q -o "Dir::State=$apt/state" -o "Dir::Cache=$apt/cache" -o "Dir::State::status=$apt/status" -o "Dir::Etc::SourceList=$apt/sources.list"
  -o Dir::Etc::SourceParts=/dev/null -o APT::Architecture=amd64 -o "APT::Architectures=amd64,arm64" -o APT::Sandbox::User=root
  -o Acquire::Languages=none)
say "Debian $suite, for what diskless machines load first"
apt-get "${private[@]}" update >&2

list binary | while read -r path _; do
  file=${path##*/}
  IFS=_ read -r name version architecture <<<"${file%.deb}"
  apt-get "${private[@]}" download "$name:${architecture/all/amd64}=$version" >&2 || true
  is_pinned "$file" && continue
  rm -f "$file"
  say "apt has no $file any more"
  url=https://snapshot.debian.org/archive/debian/$(list snapshot)/pool/main/$path
  if curl --fail --silent --location --max-time 120 --output "$file" "$url" && is_pinned "$file"; then continue; fi
  rm -f "$file"
  apt-get "${private[@]}" download "$name:${architecture/all/amd64}" >&2
  found=$(echo "$name"_*_"$architecture.deb")
  say "$url cannot be had; $found takes its place"
  mv "$found" "$file"
done
rm -rf "$apt"
