# Drivers and the network. Sourced; needs lib.sh.

# Loads what the hardware asks for. Twice: a bus that a first driver opens shows more devices.
load_drivers() {
  modprobe -a -q virtio_rng efivarfs fat vfat 2>/dev/null
  for round in 1 2 3; do
    # By the buses: a walk through all of /sys/devices takes seconds on slow boxes.
    printf '%s\0' /sys/bus/*/devices/*/modalias /sys/class/*/*/modalias /sys/devices/system/cpu/modalias |
      xargs -0 cat 2>/dev/null | sort -u >/run/selvedge/aliases.now
    # Nothing new since the last round.
    cmp -s /run/selvedge/aliases.now /run/selvedge/aliases && break
    cp /run/selvedge/aliases.now /run/selvedge/aliases
    xargs modprobe -a -q -b </run/selvedge/aliases 2>/dev/null
    sleep "$((round / 2))"
  done
  modprobe -a -q sd_mod 2>/dev/null
}

# Names of ports that are hardware, one a line.
network_ports() {
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] || continue
    read -r kind <"$path/type"
    [ "$kind" = 1 ] && echo "${path##*/}"
  done
}

# The port that the firmware booted from (BOOTIF=01-aa-bb-cc-dd-ee-ff), else all, the ones with a cable first.
boot_ports() {
  bootif=$(kernel_argument BOOTIF | tr 'A-F-' 'a-f:')
  bootif=${bootif#01:}
  for port in $(network_ports); do
    read -r mac <"/sys/class/net/$port/address"
    [ "$mac" = "$bootif" ] && echo "$port" && return
  done
  for wanted in 1 0; do
    for port in $(network_ports); do
      carrier=0
      read -r carrier 2>/dev/null <"/sys/class/net/$port/carrier"
      [ "$carrier" = "$wanted" ] && echo "$port"
    done
  done
}

# Returns when a port has an address; until then it tries all of them in turn, for ever.
bring_network_up() {
  ip link set lo up
  while :; do
    for port in $(network_ports); do ip link set "$port" up; done
    for port in $(boot_ports); do
      wait_for_carrier "$port"
      if udhcpc -i "$port" -s /usr/lib/selvedge/udhcpc-script -t 6 -T 2 -n >/dev/null 2>&1; then
        log "$port has the address $(ip -o -4 addr show "$port" | awk '{ print $4; exit }')"
        return
      fi
      log "no DHCP answer on $port"
    done
    [ -n "$(network_ports)" ] || log 'no network port has a driver'
    sleep 3
    load_drivers
  done
}

# At most ten seconds: switches with spanning tree are slow, a port without a cable is not waited for longer.
wait_for_carrier() {
  for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    carrier=0
    read -r carrier 2>/dev/null <"/sys/class/net/$1/carrier"
    [ "$carrier" = 1 ] && return
    usleep 500000
  done
}
