# A program that runs until it is asked to end.

trap 'exit 0' TERM
while :; do sleep 0.1; done
