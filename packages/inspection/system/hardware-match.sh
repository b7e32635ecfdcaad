# Whether a box has the hardware that a script is for (`for_hardware` of the MAAS script header). Sourced; needs lib.sh.

# has_any_hardware FILE: a wish on each line: `modalias:PATTERN`, `pci:VENDOR:PRODUCT`, `usb:VENDOR:PRODUCT`, or `system_vendor:`, `system_product:`, `system_version:`,
# `mainboard_vendor:`, `mainboard_product:` with a text.
has_any_hardware() {
  while read -r wish; do
    value=${wish#*:}
    case $wish in
      modalias:*) has_modalias "$value" && return 0 ;;
      pci:*) has_identifiers "$SYSROOT/sys/bus/pci/devices" vendor:device "$value" && return 0 ;;
      usb:*) has_identifiers "$SYSROOT/sys/bus/usb/devices" idVendor:idProduct "$value" && return 0 ;;
      system_vendor:*) dmi_is sys_vendor "$value" && return 0 ;;
      system_product:*) dmi_is product_name "$value" && return 0 ;;
      system_version:*) dmi_is product_version "$value" && return 0 ;;
      mainboard_vendor:*) dmi_is board_vendor "$value" && return 0 ;;
      mainboard_product:*) dmi_is board_name "$value" && return 0 ;;
    esac
  done <"$1"
  return 1
}

has_modalias() {
  find "$SYSROOT/sys/devices" -name modalias -exec cat {} + 2>/dev/null >"$STATE/modaliases"
  while read -r alias; do
    # shellcheck disable=SC2254 # the pattern is meant as one
    case $alias in $1) return 0 ;; esac
  done <"$STATE/modaliases"
  return 1
}

# has_identifiers FOLDER FILE:FILE VENDOR:PRODUCT
has_identifiers() {
  wanted=$(echo "$3" | tr 'A-F' 'a-f')
  for path in "$1"/*; do
    [ -r "$path/${2%:*}" ] && [ -r "$path/${2#*:}" ] || continue
    read -r vendor <"$path/${2%:*}"
    read -r product <"$path/${2#*:}"
    [ "${vendor#0x}:${product#0x}" = "$wanted" ] && return 0
  done
  return 1
}

dmi_is() {
  text=
  read -r text 2>/dev/null <"$SYSROOT/sys/class/dmi/id/$1"
  [ "$text" = "$2" ]
}
