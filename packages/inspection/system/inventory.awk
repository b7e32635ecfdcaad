# Puts facts together to the JSON of an inventory (MachineInventory of the API). Input: lines `KIND KEY VALUE` separated by tabs; everything else is read from files
# below `root`. A fact that cannot be read is left out, never null.

BEGIN { FS = "\t" }

$1 == "link" { link[$2] = $3; next }
$1 == "disk" { disks[++disk_count] = $2; next }
$1 == "cpu" { cpus[++cpu_count] = $2; next }
$1 == "node" { nodes[++node_count] = $2; next }
$1 == "memory" { memory_blocks++; next }
$1 == "nvidia" { is_nvidia[$2] = 1; next }
$1 == "partition" { partitions[++partition_count] = $2; partition_path[$2] = $3; next }
$1 == "name" { pci_name[$2] = $3; next }
$1 == "address" { addresses[$2] = addresses[$2] " " $3; next }
{ fact[$1, $2] = $3 }

END {
  read_links()
  read_cpuinfo()
  read_pci_devices()
  printf "{\"api_version\":\"1.0\",\"environment\":%s,", object(environment())
  printf "\"resources\":{\"cpu\":%s,\"memory\":%s,", cpu(), memory()
  printf "\"gpu\":%s,\"network\":%s,", gpus(), network()
  printf "\"storage\":%s,\"usb\":%s,", storage(), usb()
  printf "\"pci\":%s,\"system\":%s},", pci(), machine_system()
  printf "\"networks\":{%s}}\n", networks()
}

# --- JSON: members are collected as text `"a":1,"b":2`. -------------------------------------------------------------------------------------------------------------

function object(members) { return "{" members "}" }
function list(items) { return "[" items "]" }
function joined(a, b) { return a == "" ? b : b == "" ? a : a "," b }

function quoted(text) {
  gsub(/\\/, "\\\\", text)
  gsub(/"/, "\\\"", text)
  gsub(/[\001-\037\177]/, " ", text)
  return "\"" text "\""
}

function text_member(name, value) {
  gsub(/^[ \t]+|[ \t]+$/, "", value)
  return value == "" ? "" : "\"" name "\":" quoted(value)
}

# A whole number that is not negative; anything else is left out. `%.0f`: sizes do not fit 31 bits.
function number_member(name, value) {
  return value ~ /^[0-9]+$/ ? "\"" name "\":" sprintf("%.0f", value) : ""
}

function flag_member(name, value) { return "\"" name "\":" (value ? "true" : "false") }

# --- Files ------------------------------------------------------------------------------------------------------------------------------------------------------------

# First line of a file below root; empty when it cannot be read.
function first_line(path,   line) {
  line = ""
  if ((getline line < (root path)) <= 0) line = ""
  close(root path)
  return line
}

# `bus:device` of the USB device in a path of /sys/devices; empty when there is none.
function usb_address_in(path,   name, bus) {
  if (!match(path, /\/usb[0-9]+\/([0-9]+-[0-9.]+\/)+/)) return ""
  name = substr(path, RSTART, RLENGTH - 1)
  sub(/.*\//, "", name)
  bus = first_line("/sys/bus/usb/devices/" name "/busnum")
  return bus == "" ? "" : bus ":" first_line("/sys/bus/usb/devices/" name "/devnum")
}

function last_part(path) { sub(/.*\//, "", path); return path }

# Last PCI address in a path of /sys/devices; empty when there is none.
function pci_address_in(path,   found) {
  found = ""
  while (match(path, /[0-9a-f][0-9a-f][0-9a-f][0-9a-f]+:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]\.[0-9a-f]/)) {
    found = substr(path, RSTART, RLENGTH)
    path = substr(path, RSTART + RLENGTH)
  }
  return found
}

function by_number_then_name(names, count,   i, j, swap) {
  for (i = 2; i <= count; i++)
    for (j = i; j > 1 && names[j - 1] > names[j]; j--) { swap = names[j]; names[j] = names[j - 1]; names[j - 1] = swap }
}

function read_links(   path, name) {
  for (path in link) {
    name = last_part(path)
    if (path ~ /^\/sys\/class\/net\/[^\/]+$/) ports[++port_count] = name
    else if (path ~ /^\/sys\/bus\/pci\/devices\/[^\/]+$/) pci_devices[++pci_count] = name
    else if (path ~ /^\/sys\/bus\/usb\/devices\/[^\/]+$/) usb_devices[++usb_count] = name
  }
  by_number_then_name(ports, port_count)
  by_number_then_name(pci_devices, pci_count)
  by_number_then_name(usb_devices, usb_count)
}

function environment(   release) {
  release = first_line("/etc/selvedge-release")
  return joined(joined(text_member("kernel", fact["kernel", ""]), text_member("kernel_version", fact["kernel_version", ""])), \
    joined(text_member("kernel_architecture", fact["kernel_architecture", ""]), \
    joined("\"os_name\":\"Selvedge inspection\"", "\"os_version\":" quoted(release))))
}

# --- CPU and memory ---------------------------------------------------------------------------------------------------------------------------------------------------

function read_cpuinfo(   line, name, value, at, id) {
  id = ""
  while ((getline line < (root "/proc/cpuinfo")) > 0) {
    at = index(line, ":")
    if (at == 0) continue
    name = substr(line, 1, at - 1)
    value = substr(line, at + 2)
    gsub(/[ \t]+$/, "", name)
    if (name == "processor") id = value
    else cpuinfo[id, name] = value
    if (name == "flags" && (" " value " ") ~ / hypervisor /) is_virtual = 1
  }
  close(root "/proc/cpuinfo")
}

function cpu(   i, id, base, socket, core, thread, sockets, count, list_of, total, seen, result, order, socket_count, key, core_order, cores, members, j) {
  for (i = 1; i <= cpu_count; i++) {
    id = cpus[i]
    base = "/sys/devices/system/cpu/cpu" id
    socket = first_line(base "/topology/physical_package_id")
    # Absent on some virtual machines and while the thread is off.
    if (socket !~ /^[0-9]+$/) socket = 0
    core = first_line(base "/topology/core_id")
    if (core !~ /^[0-9]+$/) core = id
    if (!(socket in seen)) { seen[socket] = 1; order[++socket_count] = socket; first[socket] = id }
    key = socket SUBSEP core
    if (!(key in cores)) { core_order[socket] = core_order[socket] " " core; cores[key] = "" }
    if (!(key in die)) die[key] = first_line(base "/topology/die_id")
    cores[key] = joined(cores[key], object(joined("\"id\":" (id + 0) ",\"thread\":" (threads[key]++ + 0) "," \
      flag_member("online", first_line(base "/online") != "0"), number_member("numa_node", fact["cpu_node", id]))))
    total++
  }
  for (i = 1; i <= socket_count; i++) {
    socket = order[i]
    members = ""
    count = split(core_order[socket], list_of, " ")
    for (j = 1; j <= count; j++)
      members = joined(members, object(joined(joined("\"core\":" list_of[j], number_member("die", die[socket, list_of[j]])), \
        "\"threads\":" list(cores[socket, list_of[j]]))))
    result = joined(result, object(joined(joined("\"socket\":" socket, text_member("name", cpuinfo[first[socket], "model name"])), \
      joined(text_member("vendor", cpuinfo[first[socket], "vendor_id"]), \
      joined(joined(number_member("frequency", frequency(first[socket])), frequency_limits(first[socket])), \
      joined(caches(first[socket]), "\"cores\":" list(members)))))))
  }
  return object("\"architecture\":" quoted(fact["kernel_architecture", ""]) ",\"total\":" (total + 0) ",\"sockets\":" list(result))
}

# MHz: what the core can do, else what it did when it was asked.
function frequency(id,   khz, mhz) {
  khz = first_line("/sys/devices/system/cpu/cpu" id "/cpufreq/cpuinfo_max_freq")
  if (khz ~ /^[0-9]+$/) return sprintf("%.0f", khz / 1000)
  mhz = cpuinfo[id, "cpu MHz"]
  return mhz > 0 ? sprintf("%.0f", mhz) : ""
}

function frequency_limits(id,   base, least, most) {
  base = "/sys/devices/system/cpu/cpu" id "/cpufreq/cpuinfo_"
  least = first_line(base "min_freq")
  most = first_line(base "max_freq")
  return joined(number_member("frequency_minimum", least ~ /^[0-9]+$/ ? sprintf("%.0f", least / 1000) : ""), \
    number_member("frequency_turbo", most ~ /^[0-9]+$/ ? sprintf("%.0f", most / 1000) : ""))
}

# Those of one thread: those of the others are alike.
function caches(id,   i, base, level, size, items) {
  for (i = 0; i < 8; i++) {
    base = "/sys/devices/system/cpu/cpu" id "/cache/index" i
    level = first_line(base "/level")
    size = first_line(base "/size")
    if (level !~ /^[0-9]+$/ || size !~ /^[0-9]+K$/) continue
    items = joined(items, object("\"level\":" (level + 0) "," text_member("type", first_line(base "/type")) "," \
      number_member("size", size * 1024)))
  }
  return items == "" ? "" : "\"cache\":" list(items)
}

# The memory that is built in; the kernel's own total is a little less.
function memory(   line, total, block, i, nodes_text) {
  while ((getline line < (root "/proc/meminfo")) > 0)
    if (line ~ /^MemTotal:/) { split(line, words, /[ \t]+/); total = words[2] * 1024 }
  close(root "/proc/meminfo")
  block = hexadecimal(first_line("/sys/devices/system/memory/block_size_bytes")) * memory_blocks
  for (i = 1; i <= node_count; i++)
    nodes_text = joined(nodes_text, object("\"numa_node\":" (nodes[i] + 0) "," "\"total\":" sprintf("%.0f", node_bytes(nodes[i]))))
  return object(joined("\"total\":" sprintf("%.0f", block > total ? block : total), nodes_text == "" ? "" : "\"nodes\":" list(nodes_text)))
}

function node_bytes(node,   line, bytes) {
  while ((getline line < (root "/sys/devices/system/node/node" node "/meminfo")) > 0)
    if (line ~ /MemTotal:/) { sub(/.*MemTotal:[ \t]*/, "", line); bytes = line * 1024 }
  close(root "/sys/devices/system/node/node" node "/meminfo")
  return bytes
}

function hexadecimal(text,   value, i) {
  value = 0
  text = tolower(text)
  sub(/^0x/, "", text)
  for (i = 1; i <= length(text); i++) value = value * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
  return value
}

# --- PCI --------------------------------------------------------------------------------------------------------------------------------------------------------------

function read_pci_devices(   i, address, base) {
  for (i = 1; i <= pci_count; i++) {
    address = pci_devices[i]
    base = "/sys/bus/pci/devices/" address
    vendor_id[address] = substr(first_line(base "/vendor"), 3)
    product_id[address] = substr(first_line(base "/device"), 3)
    class[address] = substr(first_line(base "/class"), 3)
    numa[address] = first_line(base "/numa_node")
    driver[address] = last_part(link[base "/driver"])
    iommu[address] = last_part(link[base "/iommu_group"])
  }
}

# What PCI says of a device; of nothing when the address is empty.
function pci_facts(address,   ids) {
  if (!(address in vendor_id)) return ""
  ids = vendor_id[address] product_id[address]
  return joined(joined(joined(joined(text_member("driver", driver[address]), \
    text_member("driver_version", first_line("/sys/bus/pci/devices/" address "/driver/module/version"))), number_member("numa_node", numa[address])), \
    joined(text_member("pci_address", address), text_member("vendor", pci_name[vendor_id[address]]))), \
    joined(joined(text_member("vendor_id", vendor_id[address]), text_member("product", pci_name[ids])), \
    text_member("product_id", product_id[address])))
}

function sriov(address,   base, most, now) {
  if (address == "") return ""
  base = "/sys/bus/pci/devices/" address "/sriov_"
  most = first_line(base "totalvfs")
  now = first_line(base "numvfs")
  return most > 0 ? "\"sriov\":" object("\"current_vfs\":" (now + 0) ",\"maximum_vfs\":" (most + 0)) : ""
}

function pci(   i, items, address) {
  for (i = 1; i <= pci_count; i++) {
    address = pci_devices[i]
    items = joined(items, object(joined(pci_facts(address), \
      joined(number_member("iommu_group", iommu[address]), text_member("class", class[address])))))
  }
  return object("\"devices\":" list(items) ",\"total\":" (pci_count + 0))
}

# Display controllers (class 03): screens and accelerators.
function gpus(   i, items, address, count, extra) {
  for (i = 1; i <= pci_count; i++) {
    address = pci_devices[i]
    if (substr(class[address], 1, 2) != "03") continue
    extra = address in is_nvidia ? "\"nvidia\":" object(nvidia(address)) : ""
    items = joined(items, object(joined(joined(pci_facts(address), sriov(address)), extra)))
    count++
  }
  return object("\"cards\":" list(items) ",\"total\":" (count + 0))
}

function nvidia(address,   line, path, model, uuid) {
  path = root "/proc/driver/nvidia/gpus/" address "/information"
  while ((getline line < path) > 0) {
    if (line ~ /^Model:/) { sub(/^Model:[ \t]*/, "", line); model = line }
    else if (line ~ /^GPU UUID:/) { sub(/^GPU UUID:[ \t]*/, "", line); uuid = line }
  }
  close(path)
  return joined(text_member("model", model), text_member("uuid", uuid))
}

# --- Network ----------------------------------------------------------------------------------------------------------------------------------------------------------

# Ports that are hardware, by the card they are on; a port without a PCI card is a card of its own (USB, virtio on other buses).
function network(   i, port, base, address, key, order, count, items) {
  for (i = 1; i <= port_count; i++) {
    port = ports[i]
    base = "/sys/class/net/" port
    if (!((base "/device") in link) || first_line(base "/type") !~ /^(1|32)$/) continue
    # The PCI device above a USB adapter is the controller of the bus, not the card.
    usb_place[port] = usb_address_in(link[base])
    address = usb_place[port] == "" ? pci_address_in(link[base]) : ""
    key = address == "" ? "port " port : address
    if (!(key in members)) { order[++count] = key; members[key] = ""; place[key] = address; first_port[key] = port }
    members[key] = joined(members[key], object(port_members(port, base)))
  }
  for (i = 1; i <= count; i++) {
    key = order[i]
    items = joined(items, object(joined(joined(joined(pci_facts(place[key]), text_member("usb_address", usb_place[first_port[key]])), \
      sriov(place[key])), "\"ports\":" list(members[key]))))
  }
  return object("\"cards\":" list(items) ",\"total\":" (count + 0))
}

function port_members(port, base,   carrier, speed, number) {
  carrier = first_line(base "/carrier") == "1"
  speed = carrier ? first_line(base "/speed") : ""
  number = hexadecimal(first_line(base "/dev_port"))
  return joined(joined(joined(text_member("id", port), text_member("address", tolower(first_line(base "/address")))), \
    joined("\"port\":" (number > 0 ? number : 0), "\"protocol\":\"" (first_line(base "/type") == "32" ? "infiniband" : "ethernet") "\"")), \
    joined(flag_member("link_detected", carrier), joined(number_member("link_speed", speed), \
    carrier ? text_member("link_duplex", known_duplex(first_line(base "/duplex"))) : "")))
}

function known_duplex(duplex) { return duplex == "unknown" ? "" : duplex }

function networks(   i, port, base, items, count, words, j, parts, list_of, mtu) {
  for (i = 1; i <= port_count; i++) {
    port = ports[i]
    base = "/sys/class/net/" port
    if (first_line(base "/type") !~ /^(1|32)$/) continue
    list_of = ""
    count = split(addresses[port], words, " ")
    for (j = 1; j < count; j += 2) {
      split(words[j + 1], parts, "/")
      list_of = joined(list_of, object("\"family\":" quoted(words[j]) ",\"address\":" quoted(parts[1]) ",\"netmask\":" quoted(parts[2])))
    }
    mtu = first_line(base "/mtu")
    items = joined(items, quoted(port) ":" object("\"addresses\":" list(list_of) ",\"hwaddr\":" quoted(tolower(first_line(base "/address"))) \
      ",\"mtu\":" (mtu ~ /^[0-9]+$/ ? mtu : 0) ",\"state\":" quoted(first_line(base "/operstate") == "down" ? "down" : "up") ",\"type\":\"broadcast\""))
  }
  return items
}

# --- Disks ------------------------------------------------------------------------------------------------------------------------------------------------------------

function storage(   i, items) {
  for (i = 1; i <= disk_count; i++) items = joined(items, object(disk_members(disks[i])))
  return object("\"disks\":" list(items) ",\"total\":" (disk_count + 0))
}

function disk_members(id,   base, device, path, address, kind, serial, wwn, model, rpm, vendor, hctl) {
  base = "/sys/block/" id
  device = base "/device"
  path = link[base]
  address = pci_address_in(path)
  kind = disk_kind(id, path, first_line(device "/vendor"))
  serial = fact["serial", id]
  model = first_line(device "/model")
  if (kind == "mmc") model = first_line(device "/name")
  vendor = kind == "virtio" ? "" : first_line(device "/vendor")
  wwn = disk_wwn(base, device)
  hctl = last_part(link[device])
  if (hctl !~ /^[0-9]+:[0-9]+:[0-9]+:[0-9]+$/) hctl = ""
  rpm = first_line(base "/queue/rotational") == "1" ? 1 : 0
  return joined(joined(joined(text_member("id", id), "\"device\":" quoted(first_line(base "/dev"))), \
    joined(joined(text_member("model", model), text_member("vendor", vendor)), joined(text_member("hctl", hctl), text_member("type", kind)))), \
    joined(joined(joined(flag_member("read_only", first_line(base "/ro") == "1"), "\"size\":" bytes_of(base)), \
    joined(flag_member("removable", first_line(base "/removable") == "1"), text_member("wwn", wwn))), \
    joined(joined(number_member("numa_node", numa[address]), text_member("device_path", disk_path(address, kind, hctl, path))), \
    joined(joined(number_member("block_size", first_line(base "/queue/physical_block_size")), text_member("firmware_version", firmware(device))), \
    joined(joined("\"rpm\":" rpm, text_member("serial", serial)), joined(text_member("device_id", disk_id(kind, model, serial, wwn)), \
    joined(joined("\"partitions\":" list(disk_partitions(id)), joined(text_member("pci_address", address), text_member("usb_address", usb_address_in(path)))), \
    text_member("signature", fact["signature", id]))))))))
}

function bytes_of(base) { return sprintf("%.0f", first_line(base "/size") * 512) }

function disk_kind(id, path, vendor) {
  if (id ~ /^nvme/) return "nvme"
  if (id ~ /^mmcblk/) return "mmc"
  if (path ~ /\/usb[0-9]+\//) return "usb"
  if (path ~ /\/ata[0-9]+\// || vendor ~ /^ATA/) return "sata"
  if (path ~ /\/virtio[0-9]+\/block/) return "virtio"
  if (path ~ /\/(vbd-|xen)/) return "xen"
  return "scsi"
}

function disk_wwn(base, device,   text) {
  text = first_line(base "/wwid")
  if (text == "") text = first_line(device "/wwid")
  if (text ~ /^naa\./) return "0x" substr(text, 5)
  return text ~ /^(eui|uuid)\./ ? text : ""
}

function firmware(device,   text) {
  text = first_line(device "/firmware_rev")
  return text == "" ? first_line(device "/rev") : text
}

# As udev names the places below /dev/disk/by-path.
function disk_path(address, kind, hctl, path,   port) {
  if (address == "") return ""
  if (kind == "nvme") return "pci-" address "-nvme-1"
  if (kind == "virtio") return "pci-" address
  if (match(path, /\/ata[0-9]+\//)) {
    port = first_line("/sys/class/ata_port/" substr(path, RSTART + 1, RLENGTH - 2) "/port_no")
    if (port != "") return "pci-" address "-ata-" port
  }
  return hctl == "" ? "" : "pci-" address "-scsi-" hctl
}

# As udev names the links below /dev/disk/by-id.
function disk_id(kind, model, serial, wwn,   name) {
  if (kind == "virtio") return serial == "" ? "" : "virtio-" substr(serial, 1, 20)
  if (serial == "") return wwn == "" ? "" : "wwn-" wwn
  gsub(/^[ \t]+|[ \t]+$/, "", model)
  name = (kind == "sata" ? "ata" : kind) "-" model "_" serial
  gsub(/[ \t]+/, "_", name)
  gsub(/[^A-Za-z0-9#+.:=@_-]/, "_", name)
  return name
}

function disk_partitions(id,   i, name, path, items) {
  for (i = 1; i <= partition_count; i++) {
    name = partitions[i]
    path = partition_path[name]
    if (index(path, "/sys/block/" id "/") != 1) continue
    items = joined(items, object(text_member("id", name) ",\"device\":" quoted(first_line(path "/dev")) "," \
      flag_member("read_only", first_line(path "/ro") == "1") ",\"size\":" bytes_of(path) ",\"partition\":" (first_line(path "/partition") + 0)))
  }
  return items
}

# --- USB and the box as a whole ---------------------------------------------------------------------------------------------------------------------------------------

# Devices, neither hubs nor their interfaces.
function usb(   i, name, base, items, count, speed) {
  for (i = 1; i <= usb_count; i++) {
    name = usb_devices[i]
    base = "/sys/bus/usb/devices/" name
    if (name ~ /:/ || first_line(base "/idVendor") == "" || first_line(base "/bDeviceClass") == "09") continue
    speed = first_line(base "/speed")
    items = joined(items, object(joined(joined("\"bus_address\":" (first_line(base "/busnum") + 0), "\"device_address\":" (first_line(base "/devnum") + 0)), \
      joined(joined(text_member("product", first_line(base "/product")), text_member("product_id", first_line(base "/idProduct"))), \
      joined(joined(text_member("vendor", first_line(base "/manufacturer")), text_member("vendor_id", first_line(base "/idVendor"))), \
      speed > 0 ? "\"speed\":" (speed + 0) : "")))))
    count++
  }
  return object("\"devices\":" list(items) ",\"total\":" (count + 0))
}

function dmi(name) { return first_line("/sys/class/dmi/id/" name) }

function group(name, members) { return members == "" ? "" : "\"" name "\":" object(members) }

function machine_system(   identity, firmware_members, chassis, board, chassis_type) {
  identity = joined(joined(joined(text_member("uuid", tolower(dmi("product_uuid"))), text_member("vendor", dmi("sys_vendor"))), \
    joined(text_member("product", dmi("product_name")), text_member("family", dmi("product_family")))), \
    joined(joined(text_member("version", dmi("product_version")), text_member("sku", dmi("product_sku"))), text_member("serial", dmi("product_serial"))))
  firmware_members = joined(joined(text_member("vendor", dmi("bios_vendor")), text_member("date", dmi("bios_date"))), text_member("version", dmi("bios_version")))
  chassis = joined(joined(text_member("vendor", dmi("chassis_vendor")), text_member("type", dmi("chassis_type"))), \
    joined(text_member("serial", dmi("chassis_serial")), text_member("version", dmi("chassis_version"))))
  board = joined(joined(text_member("vendor", dmi("board_vendor")), text_member("product", dmi("board_name"))), \
    joined(text_member("serial", dmi("board_serial")), text_member("version", dmi("board_version"))))
  return object(joined(joined(identity, joined("\"type\":\"" (is_virtual ? "virtual-machine" : "physical") "\"", flag_member("efi", fact["efi", ""] == "1"))), \
    joined(group("firmware", firmware_members), joined(group("chassis", chassis), group("motherboard", board)))))
}
