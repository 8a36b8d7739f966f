#!/usr/bin/env bash
# The action's second step: tests the plugins, writes the reports into $RUNNER_TEMP/cni-conformance-report and a summary of the job,
# and ends with the exit status of cni-conformance.
set -euo pipefail

kit=$RUNNER_TEMP/cni-conformance/cni-conformance
report=$RUNNER_TEMP/cni-conformance-report
rm -rf -- "$report"
mkdir -p -- "$report"

arguments=(--bin-dir "$KIT_BIN_DIR")
# option NAME VALUE   adds the option, unless the value is empty.
option() { [[ ! $2 ]] || arguments+=("$1" "$2"); }
# lines NAME VALUES   adds the option for each line that is not empty.
lines() {
    local line
    while IFS= read -r line; do option "$1" "$line"; done <<<"$2"
}
lines --config "$KIT_CONFIG"
lines --path "$KIT_PATH"
option --plugins "$KIT_PLUGINS"
option --label "$KIT_LABEL"
option --level "$KIT_LEVEL"
option --baseline "$KIT_BASELINE"
option --known "$KIT_KNOWN"
read -r -d '' -a more <<<"$KIT_ARGS" || true
arguments+=("${more[@]}")

# Without root, the kernel's policy may refuse namespaces.
root=()
if ((EUID != 0)) && sudo --non-interactive true 2>/dev/null; then root=(sudo); fi
status=0
"${root[@]}" "$kit" run "${arguments[@]}" --json "$report/report.json" --html "$report/report.html" \
    --junit "$report/junit.xml" --badge "$report/badge.svg" | tee "$report/report.txt" || status=${PIPESTATUS[0]}

claim=$(sed -n 's/^claim: //p' "$report/report.txt" | tail -n 1)
{
    echo "claim=$claim"
    echo "status=$status"
    echo "report=$report"
} >>"$GITHUB_OUTPUT"
# GitHub accepts a summary of 1 MiB. The end has the claim and the table.
{
    printf '### CNI conformance\n\n%s\n\n' "${claim:-The tests did not run; see the log of this step.}"
    printf '<details><summary>Report</summary>\n\n````text\n'
    tail -c 900000 -- "$report/report.txt"
    printf '\n````\n\n</details>\n'
} >>"$GITHUB_STEP_SUMMARY"
exit "$status"
