#!/bin/sh
# Fills the templates from the environment once, then serves them. As first process of its container the shell has to
# pass SIGTERM on by itself.
set -eu
mkdir -p /tmp/www
for file in index.html site.json; do
  awk -v file="$file" '
    function escaped(text) {
      if (file ~ /json$/) { gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text) }
      else { gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/"/, "\\&quot;", text) }
      return text
    }
    {
      rest = $0; line = ""
      while (match(rest, /\{\{[A-Z]+\}\}/)) {
        line = line substr(rest, 1, RSTART - 1) escaped(ENVIRON[substr(rest, RSTART + 2, RLENGTH - 4)])
        rest = substr(rest, RSTART + RLENGTH)
      }
      print line rest
    }
  ' "/app/$file" >"/tmp/www/$file"
done
echo "$SITE serves release $RELEASE"
httpd -f -p 8080 -h /tmp/www &
trap 'kill $!' TERM INT
wait $!
