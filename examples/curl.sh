#!/usr/bin/env bash
# The whole tour by curl: curves, a job from submit to its files, a range test, an experiment, a webhook.
#
#     lrserve up &
#     examples/curl.sh [http://localhost:8000] [FOLDER]       files go to FOLDER, by default the present one
#
# Where keys are asked for, LRSERVE_KEY holds one.
set -euo pipefail
URL=${1:-http://localhost:8000}
cd "${2:-.}"

ask() { # PATH [curl's arguments]: fails on any answer but 2xx, which it shows
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' \
    ${LRSERVE_KEY:+--header "Authorization: Bearer $LRSERVE_KEY"} "$URL$1" "${@:2}"
}
field() { # of a JSON object on standard input
  python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, name: value[name], sys.argv[1].split("."), json.load(sys.stdin)))' "$1"
}
ended() { # ID: wait until the job has ended, and print its state
  local state=queued
  while [[ $state == queued || $state == running ]]; do
    state=$(ask "/v1/jobs/$1" --header 'Prefer: wait=10' | field state)
  done
  echo "$state"
}
STEP='{"type": "StepLR", "step_size": 5, "gamma": 0.5}'

echo "== What there is"
ask /v1/schedules >schedules.json
ask /v1/schedules/OneCycleLR | field formula
ask /v1/models >models.json && ask /v1/datasets >datasets.json && ask /v1/optimizers >optimizers.json

echo "== A curve, in every form, by POST and by GET"
ask /v1/curves --data "{\"schedule\": $STEP, \"base_lr\": 0.1, \"steps\": 20}" | field summary
for form in json csv npy arrow png svg; do
  ask "/v1/curves/StepLR?step_size=5&gamma=0.5&base_lr=0.1&steps=20&format=$form" --output "curve.$form"
done
ask '/v1/curves/compare?format=png' --output compare.png --data "{\"steps\": 20, \"curves\": [
  {\"name\": \"steps\", \"schedule\": $STEP, \"base_lr\": 0.1},
  {\"name\": \"cosine\", \"schedule\": {\"type\": \"CosineAnnealingLR\", \"T_max\": 20}, \"base_lr\": 0.1}]}"

echo "== From a log back to the schedule, and into another framework"
ask /v1/schedules/fit --data '{"lr": [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]}' >fit.json
ask /v1/schedules/translate --data "{\"schedule\": $STEP, \"base_lr\": 0.1, \"to\": \"optax\"}" | field code

echo "== A job"
SETUP='"model": {"type": "mlp"}, "dataset": {"type": "digits"}, "batch_size": 64'
SGD='{"type": "SGD", "lr": 0.1, "momentum": 0.9}'
JOB="{$SETUP, \"optimizer\": $SGD, \"schedule\": $STEP, \"epochs\": 10, \"labels\": [\"tour\"]}"
ask '/v1/jobs?dry_run=true' --data "$JOB" >dry-run.json
ID=$(ask /v1/jobs --data "$JOB" | field id)
ask "/v1/jobs/$ID/events" --no-buffer --max-time 120 | grep '^event:' | sort | uniq -c
ended "$ID"
ask "/v1/jobs/$ID" | field best
ask "/v1/jobs/$ID/metrics?format=csv" --output metrics.csv
ask "/v1/jobs/$ID/plot.png" --output job.png
ask "/v1/jobs/$ID/artifacts" >artifacts.json
ask "/v1/jobs/$ID/artifacts/best.safetensors" --output best.safetensors
CLONE=$(ask "/v1/jobs/$ID/clone" --data '{"optimizer": {"lr": 0.05}}' | field id)
ended "$CLONE"
ask '/v1/jobs?label=tour&state=succeeded' >jobs.json

# The rates that the job trained with are the curve's, bit for bit
ask /v1/curves --data "{\"schedule\": $STEP, \"base_lr\": 0.1, \"steps\": 10}" >wanted.json
python3 - <<'CHECK'
import csv, json
used = [float(row.get("lr") or row["lr_0"]) for row in csv.DictReader(open("metrics.csv"))]
assert used == json.load(open("wanted.json"))["lr"], used
print(len(used), "rates used, the curve's own, bit for bit")
CHECK

echo "== A range test"
RANGE=$(ask /v1/lr-range-tests --data "{$SETUP, \"start_lr\": 1e-5, \"end_lr\": 10, \"num_iter\": 50}" | field id)
ended "$RANGE"
ask "/v1/jobs/$RANGE" | field result.suggestion

echo "== An experiment"
EXPERIMENT=$(ask /v1/experiments --data "{\"name\": \"tour\", \"base\": {$SETUP, \"optimizer\": $SGD, \"epochs\": 3},
  \"grid\": {\"schedule\": [null, $STEP], \"seed\": [0, 1]}}" | field id)
ended "$EXPERIMENT"
ask "/v1/experiments/$EXPERIMENT/leaderboard?format=csv"
ask "/v1/experiments/$EXPERIMENT/plot.png" --output experiment.png

echo "== A webhook"
HOOK=$(ask /v1/webhooks --data '{"url": "https://example.org/hook", "events": ["job.succeeded"]}' | field id)
ask "/v1/webhooks/$HOOK/deliveries" >deliveries.json
ask "/v1/webhooks/$HOOK" --request DELETE

echo "== Away with it"
for id in "$ID" "$CLONE" "$RANGE" "$EXPERIMENT"; do ask "/v1/jobs/$id" --request DELETE; done
ask /readyz >ready.json
echo done
