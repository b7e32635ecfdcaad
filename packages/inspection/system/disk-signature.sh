# What the two ends of a disk show. Sourced; needs lib.sh.

# disk_signature: of $disk with $disk_size bytes: a word for what the first or last MiB holds, nothing when both are blank (all zeros, or all ones as erased flash is).
# `unreadable` when they cannot be read: who cannot look must not say that there is nothing.
disk_signature() {
  head_file=$STATE/signature-head
  start=$((disk_size - mebibyte))
  [ "$start" -lt $mebibyte ] && start=$mebibyte
  [ "$start" -gt "$disk_size" ] && start=$disk_size
  if read_whole 0 $((start < mebibyte ? start : mebibyte)) "$head_file" && read_whole "$start" $((disk_size - start)) "$STATE/signature-tail"; then
    known_signature
  else
    echo unreadable
  fi
  rm -f "$head_file" "$STATE/signature-tail"
}

# read_whole OFFSET LENGTH FILE: false when not every byte came.
read_whole() {
  : >"$3"
  [ "$2" = 0 ] && return
  read_range "$1" "$2" >"$3" && [ "$(wc -c <"$3")" = "$2" ]
}

known_signature() {
  is_blank "$head_file" && is_blank "$STATE/signature-tail" && return
  # OFFSET HEXADECIMAL NAME of well-known formats within the first 128 KiB; the first that fits, tables of partitions before what may lie in them.
  while read -r offset magic name; do
    if [ "$(bytes_at "$offset" $((${#magic} / 2)))" = "$magic" ]; then
      echo "$name"
      return
    fi
  done <<'END'
512 4546492050415254 gpt
4096 4546492050415254 gpt
0 4c554b53babe luks
512 4c4142454c4f4e45 lvm
4096 fc4e2ba9 mdraid
0 58465342 xfs
1080 53ef ext
65600 5f42485266535f4d btrfs
32769 4344303031 iso9660
4086 53574150535041434532 swap
3 4e5446532020 ntfs
54 4641543136 fat
82 4641543332 fat
510 55aa dos
END
  [ -n "$name" ] && return
  if [ "$(tail -c 512 "$STATE/signature-tail" | head -c 8)" = 'EFI PART' ]; then echo gpt; else echo data; fi
}

is_blank() {
  [ "$(tr -d '\000' <"$1" | head -c 1 | wc -c)" = 0 ] && return 0
  [ "$(tr -d '\377' <"$1" | head -c 1 | wc -c)" = 0 ]
}

bytes_at() {
  tail -c +$(($1 + 1)) "$head_file" | head -c "$2" | xxd -p
}
