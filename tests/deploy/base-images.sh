#!/usr/bin/env bash
# Make the three images that the Dockerfile and the compose file start from, without a registry of images:
#   base-images.sh PREFIX FOLDER      the prefix of a CPython 3.12 that runs on this Debian 12, and a folder to work in
# python:3.12-slim is Debian with that CPython, python:3.12 adds what a build needs, and redis:7-alpine is Debian's Redis
# with a busybox shell and the users of the original.
set -euo pipefail
prefix=$1 root=$2/rootfs
sources=/etc/apt/sources.list.d/debian.sources
libraries=libbz2-1.0,libcrypt1,libexpat1,libffi8,libgdbm6,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g

rm -rf "$root" && mkdir -p "$root"
mmdebstrap --quiet --variant=minbase --include="ca-certificates,netbase,tzdata,$libraries" bookworm - \
  "$(sed -n 's/^URIs: *//p' $sources | head -1)" | tar -C "$root" --exclude='./dev/*' -x
cp -a "$prefix"/. "$root"/usr/local/
find "$root"/usr/local -depth -type d \( -name test -o -name tests -o -name idlelib -o -name __pycache__ -o -name site-packages \) \
  -exec rm -rf {} +
rm -rf "$root"/usr/local/lib/*.a "$root"/usr/local/lib/python3.12/config-3.12-* "$root"/usr/share/{doc,man,locale}/*
find "$root"/usr/local/lib -maxdepth 1 -name 'libpython3.12.so.*' -exec strip --strip-unneeded {} +
grep -rIl "$prefix" "$root"/usr/local | xargs -r sed -i "s#$prefix#/usr/local#g"
PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" ldconfig
PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /usr/local/bin/python3.12 -m ensurepip >/dev/null 2>&1
ln -sf pip3 "$root"/usr/local/bin/pip
# What this machine trusts and downloads from, as a proxy or a mirror may stand between it and the originals
cp /etc/ssl/certs/ca-certificates.crt "$root"/etc/ssl/certs/
rm -rf "$root"/etc/apt/sources.list "$root"/var/lib/apt/lists/*
cp $sources "$root"/etc/apt/sources.list.d/
find /etc/apt/apt.conf.d -name '99*' -exec cp {} "$root"/etc/apt/apt.conf.d/ \;
tar -C "$root" -c . | docker import \
  --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
  --change 'CMD ["python3"]' - python:3.12-slim >/dev/null
rm -rf "$root"

docker build -q --network host -t python:3.12 - <<'D' >/dev/null
FROM python:3.12-slim
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils gcc libc6-dev && rm -rf /var/lib/apt/lists/*
D
docker build -q --network host -t redis:7-alpine - <<'D' >/dev/null
FROM python:3.12-slim
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends redis-server busybox-static \
    && rm -rf /var/lib/apt/lists/* /usr/local/* && userdel redis \
    && groupadd -g 1000 redis && useradd -u 999 -g 1000 -M -d /data redis && install -d -o redis -g redis /data \
    && ln -sf /bin/busybox /bin/sh && ln -sf /bin/busybox /bin/sed
WORKDIR /data
D
