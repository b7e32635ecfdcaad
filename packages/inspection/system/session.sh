# Session, inventory and tasks. Sourced by `work`; needs lib.sh.

# Shows the nonce of this boot. It is good once: refused means that somebody used it, or that it is old, and another boot gets another.
open_session() {
  {
    echo "nonce $(kernel_argument selvedge.boot)"
    for path in "$SYSROOT"/sys/class/net/*; do
      [ -e "$path/device" ] && read -r mac <"$path/address" && echo "mac $mac"
    done
    for field in uuid serial; do
      read -r text 2>/dev/null <"$SYSROOT/sys/class/dmi/id/product_$field" && [ -n "$text" ] && echo "$field $text"
    done
  } >"$STATE/proof"
  request_until_answered /machine/v1/session "$STATE/proof" 30
  rm -f "$STATE/proof"
  token=$(sed -n 's/^token //p' "$STATE/answer" 2>/dev/null)
  if [ "$http_status" != 200 ] || [ -z "$token" ]; then
    log "the rack refuses this boot ($http_status): the box boots again in 15 seconds"
    sleep 15
    end_box reboot
  fi
  echo "$token" >"$STATE/token"
  rm -f "$STATE/answer"
  log 'the rack knows this box'
}

send_inventory() {
  sh "$LIBRARY/inventory" >"$STATE/inventory.json" 2>"$STATE/inventory.errors"
  request_until_answered /machine/v1/inventory "$STATE/inventory.json" 60
  if [ "$http_status" = 200 ]; then
    echo fresh >"$STATE/inventory-sent"
  else
    log "the rack refuses the inventory ($http_status)"
    return 1
  fi
}

# What was logged, in pieces as it comes.
send_logs() {
  while sleep 2; do send_log; done
}

# Once the rack took it, it is not kept. What a sender that was ended in the middle left comes first: it may be told twice, but it is told.
send_log() {
  [ -e "$STATE/token" ] || return
  [ -e "$STATE/log.sending" ] && take_log_back
  [ -s "$STATE/log" ] || return
  mv "$STATE/log" "$STATE/log.sending"
  tail -c 100000 "$STATE/log.sending" >"$STATE/log.body"
  # In a subshell with an answer file of its own: tasks use the other.
  if (request_to "$STATE/log.answer" /machine/v1/log "$STATE/log.body" 20; [ "$http_status" != 000 ]); then
    rm -f "$STATE/log.sending"
  else
    take_log_back
  fi
}

take_log_back() {
  cat "$STATE/log.sending" "$STATE/log" 2>/dev/null | tail -c 100000 >"$STATE/log.both"
  mv "$STATE/log.both" "$STATE/log"
  rm -f "$STATE/log.sending"
}

# say_goodbye TEXT: the last line of the log, told at once.
say_goodbye() {
  log "$1"
  kill "$log_sender"
  # Until it is gone it may still take the log away.
  wait "$log_sender" 2>/dev/null
  send_log
}

# Asks for the task; false when there is none yet.
next_task() {
  request_until_answered /machine/v1/task '' 60
  if [ "$http_status" != 200 ]; then
    log "the rack gives no task ($http_status)"
    sleep 5
    return 1
  fi
  [ -s "$STATE/answer" ] || return 1
  mv "$STATE/answer" "$STATE/task"
  task_id=$(task_value id)
  task=$(task_value task)
  [ -n "$task_id" ] && [ -n "$task" ]
}

do_task() {
  rm -f "$STATE/result" "$STATE/output" "$STATE/abort"
  began=$(uptime_seconds)
  log "task $task_id: $task $(task_value name)"
  case $task in
    collect) collect ;;
    reboot | poweroff) result status ok ;;
    script | test | erase | write | seed | rescue) sh "$LIBRARY/task-$task" "$task_id" ;;
    *)
      result status failed
      result reason Internal
      result message "this inspection system does not know the task \"$task\"; build a newer one"
      ;;
  esac
  # The rack learns of changed disks before it learns that the task is done.
  case $task in erase | write | seed) send_inventory ;; esac
  [ -e "$STATE/inventory-sent" ] && : >"$STATE/inventory-sent"
  if ! grep -q '^status ' "$STATE/result" 2>/dev/null; then
    result status failed
    result reason Internal
    result message "the program of task $task ended without a result"
  fi
  result seconds $(($(uptime_seconds) - began))
}

collect() {
  progress Collecting 0 1
  # What was told when this session began is still true at its first task.
  if [ -s "$STATE/inventory-sent" ] || send_inventory; then
    result status ok
  else
    result status failed
    result reason InspectionFailed
    result message "the rack refused the inventory ($http_status)"
  fi
}

# Told to stop: the order has changed, and nobody waits for this result.
answer_task() {
  [ -e "$STATE/abort" ] && return
  if [ -s "$STATE/output" ]; then
    echo output >>"$STATE/result"
    # What is no text would end the text for busybox's wget.
    tail -c 60000 "$STATE/output" | tr -d '\000' >>"$STATE/result"
  fi
  request_until_answered "/machine/v1/task/$task_id" "$STATE/result" 60
  [ "$http_status" = 200 ] || log "the rack does not take the result of task $task_id ($http_status)"
  [ "$http_status" = 200 ] || return
  case $task in
    reboot)
      say_goodbye 'the box boots again'
      end_box reboot
      ;;
    poweroff)
      say_goodbye 'the box switches off'
      end_box poweroff
      ;;
  esac
}
