# shellcheck shell=bash
# Completes `make demo-break HOW=` and SERVER= in bash: source scripts/completion.bash
# Outside this checkout, make's other words are completed as before: from its targets and the files.

_vllm_monitor_failures="hang hang_idle exit0 oom_log orphan 503 poison slow_start port_conflict crash crash_loop
  start_never_ends gpu_lost saturate silent_prefill paused asleep stop worker_slow client_aborts kv_leak memory_leak
  corrupt"

_vllm_monitor_make() {
  local word=${COMP_WORDS[COMP_CWORD]} name="" choice
  # bash ends a word at '=': HOW, =, ha
  if [ "$word" = "=" ]; then
    name=${COMP_WORDS[COMP_CWORD - 1]}
    word=""
  elif [ "$COMP_CWORD" -gt 1 ] && [ "${COMP_WORDS[COMP_CWORD - 1]}" = "=" ]; then
    name=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  case $name in
    HOW) choice=$_vllm_monitor_failures ;;
    SERVER) choice="1 2 3" ;;
    "") choice=$(_vllm_monitor_targets) ;;
    *) choice="" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$choice" -- "$word")
  if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}

_vllm_monitor_targets() {
  sed -nE 's/^([a-zA-Z0-9_.-]+):([^=]|$).*/\1/p' Makefile makefile GNUmakefile 2>/dev/null
  if [[ " ${COMP_WORDS[*]} " == *" demo-break "* ]]; then printf 'HOW=\nSERVER=\n'; fi
}

complete -o bashdefault -o default -F _vllm_monitor_make make
