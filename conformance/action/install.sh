#!/usr/bin/env bash
# The action's first step: fetches cni-conformance KIT_VERSION into $RUNNER_TEMP/cni-conformance, checks its digest, and installs the
# programs that it needs. Nothing runs that was not checked.
set -euo pipefail

die() {
    echo "::error::cni-conformance: $*"
    exit 1
}

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) die "there is no release for $(uname -m)" ;;
esac
archive=cni-conformance-$KIT_VERSION-linux-$arch.tar.gz
url=$KIT_URL
if [[ ! $url ]]; then
    [[ $KIT_REPOSITORY ]] || die "the repository of the action is not known: set the input url"
    url=${GITHUB_SERVER_URL:-https://github.com}/$KIT_REPOSITORY/releases/download/v$KIT_VERSION
fi
dir=$RUNNER_TEMP/cni-conformance
mkdir -p -- "$dir"
cd -- "$dir"

fetch() {
    curl --fail --silent --show-error --location --retry 3 --output "$1" "$url/$1" || die "$url/$1 could not be fetched"
}
fetch "$archive"
if [[ $KIT_SHA256 ]]; then
    printf '%s  %s\n' "$KIT_SHA256" "$archive" >expected
else
    fetch SHA256SUMS
    awk -v name="$archive" '$2 == name' SHA256SUMS >expected
    [[ -s expected ]] || die "SHA256SUMS of the release does not have $archive"
fi
sha256sum --check --strict --quiet expected || die "$archive is not the file that was released"
tar --extract --gzip --file "$archive" --no-same-owner
./cni-conformance --version

missing=()
for need in ip:iproute2 nft:nftables iptables:iptables ping:iputils-ping tcpdump:tcpdump sysctl:procps nsenter:util-linux; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
((${#missing[@]})) || exit 0
root=()
((EUID == 0)) || root=(sudo)
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
