#!/usr/bin/env bash
# Looks for what building and running needs and installs what is missing: a linker for Rust, the Vulkan loader and a
# driver. Mesa's software driver (lavapipe) is enough, a GPU is not needed. Nothing is touched that is there already.
set -euo pipefail

me=setup
. "$(dirname "$0")/common.sh"

have_loader() {
    # ldconfig is not on the path of an ordinary user on Debian. No pipe to grep -q: closing it early would make
    # ldconfig, and with pipefail the whole test, fail.
    local libraries
    libraries=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null) || return 1
    [[ $libraries == *libvulkan.so.1* ]]
}

have_driver() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    local folder
    for folder in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/share/vulkan/icd.d \
        "${XDG_DATA_HOME:-$HOME/.local/share}/vulkan/icd.d"; do
        compgen -G "$folder/*.json" >/dev/null && return 0
    done
    return 1
}

install_packages() {
    say "installing $*"
    command -v apt-get >/dev/null ||
        fail "there is no apt-get here; install by hand what corresponds to: $*"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
        fail "neither root nor sudo; ask an administrator for: apt-get install $*"
    update_packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2 ||
        fail "apt-get could not install them; install by hand: $*"
}

command -v cargo >/dev/null || fail "cargo is not on the path; install Rust 1.88 or later with rustup (https://rustup.rs)"

missing=()
if [ "$(uname -s)" = Linux ]; then
    command -v cc >/dev/null || { say "no C compiler, which Rust links with"; missing+=(gcc libc6-dev); }
    have_loader || { say "no Vulkan loader (libvulkan.so.1)"; missing+=(libvulkan1); }
    have_driver || { say "no Vulkan driver (no file in /usr/share/vulkan/icd.d)"; missing+=(mesa-vulkan-drivers); }
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
    have_loader && have_driver || fail "the Vulkan loader or driver is still missing"
else
    say "not Linux: build with --features portable for Metal or DX12"
fi

# Only linting needs these, so that their absence is no failure here.
for component in fmt:rustfmt clippy:clippy; do
    cargo "${component%%:*}" --version >/dev/null 2>&1 ||
        rustup component add "${component##*:}" >&2 ||
        say "no ${component##*:}: make lint will not work"
done
