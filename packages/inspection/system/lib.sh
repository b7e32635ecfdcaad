# Shared by everything that runs in the inspection system; sourced. Also runs in tests on a developer's machine, where these point elsewhere:
: "${SYSROOT:=}" "${DEV:=/dev}" "${STATE:=/run/selvedge}" "${LIBRARY:=/usr/lib/selvedge}"

tab=$(printf '\t')
mebibyte=1048576

# To the console, and by send_logs to the rack.
log() {
  echo "selvedge: $*"
  echo "$*" >>"$STATE/log"
}

# Value of a word `NAME=value` of the kernel command line; the last one counts.
kernel_argument() {
  found=
  for word in $(cat "$SYSROOT/proc/cmdline"); do
    case $word in "$1="*) found=${word#*=} ;; esac
  done
  echo "$found"
}

# Seconds since the kernel began: the clock of the box may say anything.
uptime_seconds() {
  read -r up _ <"$SYSROOT/proc/uptime"
  echo "${up%.*}"
}

# end_box reboot|poweroff: does not come back. Where the scripts are tried out (SYSROOT), only they end: all of their process group.
end_box() {
  sync
  if [ -n "$SYSROOT" ]; then
    echo "$1" >"$STATE/ended"
    kill -9 0
  fi
  "$1" -f
  sleep 60
  echo b >/proc/sysrq-trigger
  sleep 60
}

# request PATH [BODY-FILE [TIMEOUT]]: one HTTP request to the rack, GET or POST. The answer's body is in $STATE/answer, its status in $http_status: 200 (any success), the
# status of a refusal, 000 when nothing was heard.
request() {
  set -- "$1" "$2" "${3:-60}"
  request_to "$STATE/answer" "$@"
}

# request_to FILE PATH BODY-FILE TIMEOUT: `request`, the body into FILE.
request_to() {
  answer_file=$1
  url="$(cat "$STATE/rack")$2"
  body=$3
  seconds=$4
  # busybox's wget has no time limit of its own.
  set -- -q -O "$answer_file"
  [ -n "$body" ] && set -- "$@" --post-file "$body"
  token=
  [ -e "$STATE/token" ] && read -r token <"$STATE/token"
  [ -n "$token" ] && set -- "$@" --header "Authorization: Bearer $token"
  case $url in */inventory) set -- "$@" --header 'Content-Type: application/json' ;; esac
  if timeout "$seconds" wget "$@" "$url" 2>"$answer_file.error"; then
    http_status=200
  else
    http_status=$(sed -n 's#.*HTTP/1\.[01] \([0-9][0-9][0-9]\).*#\1#p' "$answer_file.error" | head -n 1)
    http_status=${http_status:-000}
  fi
}

# As `request`, again and again until the rack answers with something that is not its own trouble.
request_until_answered() {
  pause=1
  while :; do
    request "$@"
    case $http_status in
      000 | 408 | 429 | 5??) ;;
      401) session_lost ;;
      *) return ;;
    esac
    sleep "$pause"
    [ "$pause" -lt 15 ] && pause=$((pause * 2))
  done
}

# The rack does not know this boot any more: it decides anew when the box asks its firmware.
session_lost() {
  log 'the rack does not know this session any more: the box boots again'
  sleep 3
  end_box reboot
}

# --- The present task: $STATE/task holds its lines. -------------------------------------------------------------------------------------------------------------------

# First value of a key of the task.
task_value() {
  while read -r key value; do
    [ "$key" = "$1" ] && echo "$value" && return
  done <"$STATE/task"
}

# All values of a key, one a line.
task_values() {
  while read -r key value; do
    [ "$key" = "$1" ] && echo "$value"
  done <"$STATE/task"
}

# What a task came to; lines of the body of POST /machine/v1/task/N.
result() {
  echo "$1 $2" >>"$STATE/result"
}

# finish STATUS [MESSAGE [REASON]]: ends the task.
finish() {
  result status "$1"
  [ -n "$2" ] && result message "$(one_line "$2")" && log "$task: $1: $2"
  [ -n "$3" ] && result reason "$3"
  exit 0
}

one_line() {
  printf '%s' "$1" | tr -s '\000-\037\177' ' ' | head -c 500
}

# progress STEP DONE TOTAL: tells the rack about every two seconds. False: the order has changed, stop.
progress() {
  read -r up _ <"$SYSROOT/proc/uptime"
  now=${up%.*}
  if [ "$2" != "$3" ] && [ $((now - ${progress_told:-0})) -lt 2 ]; then return 0; fi
  progress_told=$now
  tell_progress "$@"
  [ "$http_status" = 401 ] && session_lost
  if [ "$http_status" = 200 ] && [ "$(cat "$STATE/progress-answer")" = abort ]; then
    log "$task: the rack says stop"
    return 1
  fi
  return 0
}

tell_progress() {
  printf 'step %s\ndone %s\ntotal %s\n' "$1" "$2" "$3" >"$STATE/progress"
  request_to "$STATE/progress-answer" /machine/v1/progress "$STATE/progress" 10
}

# --- Disks ------------------------------------------------------------------------------------------------------------------------------------------------------------

# Kernel names of disks that can hold something: no loops, RAM disks, optical drives, pieces of other disks, or disks of a network.
disk_names() {
  for path in "$SYSROOT"/sys/block/*; do
    [ -e "$path/size" ] || continue
    # A single path of a disk that has several (NVMe): no device file, the disk itself is listed beside it.
    [ "$(cat "$path/hidden" 2>/dev/null)" = 1 ] && continue
    # Behind a Fibre Channel or iSCSI adapter: volumes of a storage network, which others may share.
    case $(readlink -f "$path") in */rport-[0-9]* | */session[0-9]*/target*) continue ;; esac
    case ${path##*/} in loop* | ram* | zram* | sr* | fd* | dm-* | md* | nbd* | mtdblock* | *boot[0-9] | *rpmb) continue ;; esac
    echo "${path##*/}"
  done
}

disk_bytes() {
  sectors=0
  read -r sectors <"$SYSROOT/sys/block/$1/size"
  echo $((sectors * 512))
}

# Bytes of a sector as the disk counts them, and so its partition tables: 512 or 4096.
disk_sector_bytes() {
  sector=512
  read -r sector 2>/dev/null <"$SYSROOT/sys/block/$1/queue/logical_block_size"
  echo "$sector"
}

# Serial number without blanks around it; nothing where the disk says none.
disk_serial() {
  directory=$SYSROOT/sys/block/$1
  for file in "$directory/serial" "$directory/device/serial"; do
    [ -r "$file" ] && tr -cd '\040-\176' <"$file" | sed 's/^ *//; s/ *$//' && return
  done
  # SCSI: page 0x80 of the vital product data, four bytes before the text.
  [ -r "$directory/device/vpd_pg80" ] && tail -c +5 "$directory/device/vpd_pg80" | tr -cd '\040-\176' | sed 's/^ *//; s/ *$//'
}

# choose_device "ID SIZE [SERIAL]": sets disk, disk_id, disk_size, or ends the task: never another disk than the rack saw.
choose_device() {
  read -r disk_id disk_size wanted_serial <<END
$1
END
  disk=$DEV/$disk_id
  case $disk_id in '' | */* | .*) finish failed "\"$disk_id\" is no disk" DiskNotFound ;; esac
  [ -e "$SYSROOT/sys/block/$disk_id/size" ] || finish failed "disk $disk_id is not there" DiskNotFound
  found_size=$(disk_bytes "$disk_id")
  found_serial=$(disk_serial "$disk_id")
  if [ "$found_size" != "$disk_size" ]; then
    finish failed "disk $disk_id has $found_size bytes, the order speaks of $disk_size" DiskNotFound
  fi
  if [ -n "$wanted_serial" ] && [ "$found_serial" != "$wanted_serial" ]; then
    finish failed "disk $disk_id has the serial number \"$found_serial\", the order speaks of \"$wanted_serial\"" DiskNotFound
  fi
  [ -e "$disk" ] || finish failed "disk $disk_id has no device file" DiskError
}

# Bytes of the disk to standard output: read_range OFFSET LENGTH. Past the kernel's cache where the disk is a device.
read_range() {
  dd if="$disk" bs=$mebibyte iflag=skip_bytes,count_bytes skip="$1" count="$2" 2>>"$STATE/dd"
}

# reads_zeros OFFSET LENGTH: every byte of the stretch can be read, and is zero.
reads_zeros() {
  # Past the end of a disk reads are short without an error: the last byte tells.
  [ "$(read_range $(($1 + $2 - 1)) 1 | wc -c)" = 1 ] || return
  [ "$({ read_range "$1" "$2" || echo unreadable; } | tr -d '\000' | head -c 1 | wc -c)" = 0 ]
}

# Standard input to the disk at an offset.
write_range() {
  dd of="$disk" bs=$mebibyte oflag=seek_bytes iflag=fullblock conv=notrunc seek="$1" 2>>"$STATE/dd"
}

# zero_range OFFSET LENGTH: true zeros, by the disk itself where it promises them.
zero_range() {
  [ "$2" -gt 0 ] || return 0
  if [ -b "$disk" ] && [ $(($1 % 4096)) = 0 ] && [ $(($2 % 4096)) = 0 ]; then
    # busybox has a blkdiscard too, without zeros.
    /usr/sbin/blkdiscard -f -z -o "$1" -l "$2" "$disk" 2>>"$STATE/dd" && return 0
  fi
  write_zeros "$1" "$2"
}

write_zeros() {
  dd if=/dev/zero of="$disk" bs=$mebibyte iflag=count_bytes oflag=seek_bytes conv=notrunc seek="$1" count="$2" 2>>"$STATE/dd"
}

# Everything is on the platters or cells, and what is read next comes from there.
settle_disk() {
  sync
  [ -b "$disk" ] || return 0
  blockdev --flushbufs "$disk" 2>/dev/null
  echo 3 >/proc/sys/vm/drop_caches 2>/dev/null
  return 0
}

# The kernel looks at the partitions anew; a disk in use by nobody must let it.
reread_partitions() {
  [ -b "$disk" ] || return 0
  for try in 1 2 3 4 5; do
    blockdev --rereadpt "$disk" 2>/dev/null && return 0
    sleep 1
  done
  return 1
}
