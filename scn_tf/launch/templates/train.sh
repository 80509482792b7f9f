#!/bin/bash
# bash train.sh: starts a worker on each host by ssh, and waits for all. Start it again after an interruption: the run resumes.
# Every host needs scn-tf and the data set; relative paths begin in the home folder. Hosts must reach each other's ports from @port@ on.
# worker.sh is what each host runs. When a connection or a worker ends, all workers end.
cd "$(dirname "$0")" || exit 1
hosts=(@hosts@)
addresses=@addresses@
workers=()
for rank in "${!hosts[@]}"; do
  ssh -o BatchMode=yes "${hosts[rank]}" "env SCN_TF_WORKERS=$addresses SCN_TF_RANK=$rank sh -s" < worker.sh > "worker$rank.log" 2>&1 &
  workers+=($!)
done
status=0
for rank in "${!hosts[@]}"; do
  if ! wait "${workers[rank]}"; then
    echo "worker $rank (${hosts[rank]}) failed, see worker$rank.log" >&2
    status=1
  fi
done
exit $status
