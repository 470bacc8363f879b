# Programs out of Debian's packages, for scripts that source this: nothing is installed, and root is not needed.
# The packages run on older releases and on others than Debian too: they need libc alone. The caller sets `work`,
# a folder that exists.

# A file of which nothing is known yet may be half written, or another one than was asked for.
is_whole() { # FILE SHA256
  echo "$2  $1" | sha256sum --check --status || { echo "${1##*/}: not the checksum"; return 1; }
}

# Where apt would look for its lists, which may be empty; then Debian's own.
mirrors() {
  { apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/.*/InRelease'.*|\1|p" | sort -u
    echo http://deb.debian.org/debian; } | awk '!seen[$0]++'
}

# Unpacks one of the pool into `work`. By apt's own means, so that its settings hold, such as a proxy.
package() { # POOL_PATH SHA256
  local apt=/usr/lib/apt/apt-helper file=$work/package.deb mirror
  [ -x "$apt" ] || return
  for mirror in $(mirrors); do
    "$apt" -o Acquire::Retries=1 -o Acquire::http::Timeout=20 download-file "$mirror/pool/main/$1" "$file" || continue
    is_whole "$file" "$2" || continue
    dpkg-deb --fsys-tarfile "$file" | tar -x -C "$work"
    return
  done
  return 1
}
