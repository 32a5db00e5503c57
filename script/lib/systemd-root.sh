#!/usr/bin/env bash
# The inner half of systemd.sh, run in new namespaces: lays a root file system over another one, in memory, puts into
# it what the test brings, and becomes its systemd.
#   systemd-root.sh STAGE POSTGRES BASE
#     STAGE      a folder whose content is copied over the root
#     POSTGRES   the folder above bin/ of a PostgreSQL, to be found as /opt/postgresql
#     BASE       the root file system below: the host's (/) or that of another distribution
set -euo pipefail
stage=$1 postgres=$2 lower=$3

mount --make-rprivate /
# A place that every system has; hidden by this only in here.
base=/mnt
mount -t tmpfs -o mode=755 tmpfs $base
mkdir $base/upper $base/work $base/root
root=$base/root
mount -t overlay -o lowerdir="$lower",upperdir=$base/upper,workdir=$base/work overlay $root

mount -t proc proc $root/proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs $root/sys
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
mount -t tmpfs -o mode=755 tmpfs $root/dev
mkdir $root/dev/pts $root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts $root/dev/pts
mount -t tmpfs -o mode=1777 tmpfs $root/dev/shm
ln -s pts/ptmx $root/dev/ptmx
ln -s /proc/self/fd $root/dev/fd
minor_of="null:3 zero:5 full:7 random:8 urandom:9"
for device in $minor_of; do mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"; done
mknod -m 666 $root/dev/tty c 5 0

# The host's hierarchies of cgroups, from this namespace's own root on.
mount -t tmpfs -o mode=755 tmpfs $root/sys/fs/cgroup
while read -r _ target type options _; do
    case $type in
    cgroup2) mkdir -p "$root$target" && mount -t cgroup2 cgroup2 "$root$target" ;;
    cgroup)
        controllers=$(tr ',' '\n' <<<"$options" | grep -Ex 'name=.*|cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|net_cls|net_prio|perf_event|hugetlb|rdma' | paste -sd,)
        mkdir -p "$root$target"
        [[ $controllers != name=* ]] || controllers=none,$controllers
        mount -t cgroup -o "$controllers" cgroup "$root$target"
        ;;
    esac
done <"$stage/mounts"

# None of the host's own units, disks and journals.
mount -t tmpfs -o mode=755 tmpfs $root/etc/systemd/system
: >$root/etc/fstab
rm -f $root/etc/resolv.conf
mkdir -p $root/etc/systemd/journald.conf.d $root/opt/postgresql
printf '[Journal]\nStorage=volatile\nForwardToSyslog=no\n' >$root/etc/systemd/journald.conf.d/test.conf
mount --bind "$postgres" $root/opt/postgresql
cp -rp "$stage/root/." $root/

cd $root
mkdir -p old
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=pgdumpd-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --unit=basic.target --show-status=no --log-target=console </dev/null >/dev/null 2>&1
