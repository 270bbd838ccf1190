#!/usr/bin/env bash
# Prints the path of an ICD file of SwiftShader, Google's software Vulkan driver, for VK_DRIVER_FILES. Takes the one named
# by SWIFTSHADER_ICD, else one that came with an installed Chromium, else the one kept from the last time; else unpacks the
# driver, two files, from Debian's package of Chromium, which is not installed.
set -euo pipefail

me=swiftshader
. "$(dirname "$0")/common.sh"

root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/target/swiftshader
icd=vk_swiftshader_icd.json
library=libvk_swiftshader.so

# Folders in which distributions keep Chromium.
places=(/usr/lib/chromium /usr/lib64/chromium-browser /usr/lib/chromium-browser /opt/google/chrome)
# Packages of Debian that hold, or once held, the driver.
packages=(chromium-common chromium)

# The library that an ICD file names: the loader takes a relative path from the file's folder, a bare name from its own.
library_of() {
    local path
    path=$(sed -n 's/.*"library_path" *: *"\([^"]*\)".*/\1/p' "$1")
    case $path in
        /*) printf '%s' "$path" ;;
        */*) printf '%s/%s' "$(dirname "$1")" "$path" ;;
    esac
}

# Prints the ICD file if it leads to a library, or a corrected one if the library lies beside it.
offer() {
    [ -r "$1" ] || return 1
    local named beside
    named=$(library_of "$1")
    beside=$(dirname "$1")/$library
    if [ -n "$named" ] && [ -r "$named" ]; then
        printf '%s\n' "$1"
    elif [ -r "$beside" ]; then
        mkdir -p "$cache"
        local corrected
        corrected=$(mktemp "$cache/.icd.XXXXXX")
        printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
            "$beside" >"$corrected"
        mv "$corrected" "$cache/corrected.json"
        printf '%s\n' "$cache/corrected.json"
    else
        return 1
    fi
}

# Downloads a package into a folder and unpacks the two files there.
unpack() {
    local package=$1 into=$2 log=$2/log
    # As root, apt would hand the download to a user who may not write here.
    if ! (cd "$into" && apt-get download -q -o APT::Sandbox::User="$(id -un)" "$package" >"$log" 2>&1); then
        say "apt-get cannot download $package: $(tail -n 1 "$log")"
    elif ! dpkg-deb --fsys-tarfile "$into/$package"_*.deb |
        tar -x -C "$into" --wildcards --transform='s|.*/||' "*/$icd" "*/$library" 2>"$log"; then
        say "the package $package has no $icd and $library: $(head -n 1 "$log")"
    else
        return 0
    fi
    return 1
}

# Both files appear under their names only when they are complete, the ICD file last.
download() {
    local package
    for package in "${packages[@]}"; do
        rm -f "$draft"/*
        if unpack "$package" "$draft"; then
            mv "$draft/$library" "$cache/$library"
            mv "$draft/$icd" "$cache/$icd"
            return 0
        fi
    done
    return 1
}

if [ -n "${SWIFTSHADER_ICD:-}" ]; then
    offer "$(realpath -m "$SWIFTSHADER_ICD")" ||
        fail "SWIFTSHADER_ICD is $SWIFTSHADER_ICD, which is no ICD file or names no $library; correct or unset it"
    exit
fi
for folder in "${places[@]}" "$cache"; do
    ! offer "$folder/$icd" || exit 0
done

remedy="install Chromium, or set SWIFTSHADER_ICD to the $icd of any build of SwiftShader"
command -v apt-get >/dev/null ||
    fail "no $icd in ${places[*]}, and no apt-get to download it with; $remedy"
mkdir -p "$cache"
draft=$(mktemp -d "$cache/.download.XXXXXX")
trap 'rm -rf "$draft"' EXIT
say "unpacking SwiftShader from Debian's package of Chromium (some 30 MB) into $cache"
if ! download; then
    say "trying again with a fresh list of packages"
    update_packages
    download || fail "apt-get found no package with $icd, see above; $remedy"
fi
offer "$cache/$icd" || fail "$cache/$icd does not lead to $library beside it; remove $cache and run this again, or $remedy"
