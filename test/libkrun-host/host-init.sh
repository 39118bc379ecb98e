#!/bin/busybox sh
# PID 1 of the emulated KVM host: loads KVM, mounts the job disk at /job with a writable layer over it, runs
# /job/run.sh, and writes /out as a tar to the disk named "out".
B=/bin/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
uptime() { $B cut -d' ' -f1 /proc/uptime; }
disk() {
  for d in /sys/block/vd*; do
    [ "$($B cat "$d/serial")" = "$1" ] && echo "/dev/${d##*/}"
  done
}
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B grep -q ' /dev ' /proc/mounts || $B mount -t devtmpfs dev /dev
$B mkdir -p /dev/pts /dev/shm /sys/fs/cgroup /job /out /layer
$B mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$B mount -t tmpfs tmpfs /dev/shm
$B mount -t tmpfs -o mode=755 tmpfs /run
$B mount -t cgroup2 cgroup2 /sys/fs/cgroup
$B chmod 1777 /tmp
$B ln -sfn /proc/self/fd /dev/fd
$B hostname kvm-host
$B ifconfig lo 127.0.0.1 up
echo 3 > /proc/sys/kernel/printk
for module in kvm-amd overlay erofs loop virtio-rng; do modprobe "$module"; done
$B chmod 666 /dev/kvm
echo "HOST UP at $(uptime) s"
$B mkdir -p /layer/below /layer/above /layer/work
$B mount -t erofs -o ro "$(disk job)" /layer/below
$B mount -t overlay -o lowerdir=/layer/below,upperdir=/layer/above,workdir=/layer/work overlay /job
cd /job && $B sh ./run.sh < /dev/null
echo $? > /out/exit
echo "JOB END at $(uptime) s"
$B tar -C /out -cf "$(disk out)" .
$B sync
$B poweroff -f
