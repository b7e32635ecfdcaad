#!/bin/sh
# Answers as the helm program does to the one command that the hub gives it. A chart holds what helm would print in
# recorded/stdout (RELEASE, NAMESPACE, VALUES and RANDOM are replaced), or in recorded/stderr how it would fail.
fail() { echo "Error: $1" >&2; exit 1; }
[ "$1" = template ] || fail "unknown command \"$1\" for \"helm\""
release=$2 chart=$3 values=
shift 3
while [ $# -gt 0 ]; do
  case $1 in
    --namespace) namespace=$2; shift 2 ;;
    --values) values="$values$(cat "$2")"; shift 2 ;;
    --include-crds | --no-hooks | --skip-tests) shift ;;
    *) fail "unknown flag: $1" ;;
  esac
done
[ -f "$chart/Chart.yaml" ] || fail "Chart.yaml file is missing"
if [ -f "$chart/recorded/stderr" ]; then sed "s|VALUES|$values|" "$chart/recorded/stderr" >&2; exit 1; fi
if [ -f "$chart/recorded/endless" ]; then while :; do printf '%s\n' '# more and more and more and more and more'; done; fi
random=$(od -An -N8 -tx1 /dev/urandom | tr -d ' ')
sed -e "s|RANDOM|$random|" -e "s|RELEASE|$release|" -e "s|NAMESPACE|$namespace|" -e "s|VALUES|$values|" "$chart/recorded/stdout"
