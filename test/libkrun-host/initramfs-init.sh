#!/bin/busybox sh
# First process of the emulated KVM host: loads the disk drivers and starts from the disk named "root".
B=/bin/busybox
$B mount -t devtmpfs dev /dev
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
for module in $($B cat /modules/order); do $B insmod "/modules/$module"; done
for disk in /sys/block/vd*; do
  [ "$($B cat "$disk/serial")" = root ] && root=/dev/${disk##*/}
done
$B mount -t ext4 "$root" /mnt || $B poweroff -f
$B umount /sys
exec $B switch_root /mnt /msb-host-init
