# What the scripts of this folder share. Sourced with `me` set to the name that messages start with.

say() { printf '%s: %s\n' "$me" "$*" >&2; }
fail() { say "$*"; exit 1; }

# With the rights of root: as root itself, or through sudo, which may ask for a password only at a terminal.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# The list of packages may be old on a machine that was just made.
update_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 ||
        say "apt-get update failed; trying with the list that is there"
}
