#!/bin/sh
# What action.yml runs: a preview of all of $FILES, with its exit code, and the picture
# of each in the job's summary and, if $COMMENT is true, as one comment on $PULL_REQUEST.
set -eu

set --
for file in $FILES; do set -- "$@" -f "$file"; done
for workload in ${WORKLOADS:-}; do set -- "$@" --workload "$workload"; done
code=0
CLICOLOR_FORCE=1 kubectl-serviceconnections preview --settings "$SETTINGS" "$@" || code=$?

pictures=$(mktemp)
trap 'rm -f "$pictures"' EXIT
for file in $FILES; do
	printf '### %s\n\n```mermaid\n' "$file"
	kubectl-serviceconnections graph -f "$file" || echo '%% It has no picture; the log says why.'
	printf '```\n\n'
done > "$pictures"
cat "$pictures" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
if [ "${COMMENT:-}" = true ] && [ -n "${PULL_REQUEST:-}" ]; then
	gh pr comment "$PULL_REQUEST" --edit-last --create-if-none --body-file "$pictures"
fi
exit "$code"
